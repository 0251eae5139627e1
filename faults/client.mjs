// The client of a fault run: enqueues, sends, starts, cancels over plain HTTP. Before each request a line with what it
// is, after it one with what is known: `ok`, `refused`, or nothing at all, when no answer came. Imports nothing of Rotor.
import { randomUUID } from "node:crypto";
import { appender, diceOf, sleep } from "./log.mjs";

const WORKERS = 8;
/** For one answer; what takes longer is unknown, and asked again. */
const ANSWER_MS = 10_000;
/** Until an operation that was never answered is left alone. */
const PATIENCE_MS = 90_000;

/** What is done, how often, and what it needs to be told. Jobs go to a queue, runs begin with an event. */
const KINDS = [
  { kind: "ok", queue: "plain", weight: 6 },
  { kind: "ok", queue: "narrow", weight: 3 },
  { kind: "slow", queue: "plain", weight: 3 },
  { kind: "flaky", queue: "plain", weight: 2 },
  { kind: "doomed", queue: "plain", weight: 1 },
  { kind: "delayed", queue: "plain", weight: 2 },
  { kind: "cancelled", queue: "plain", weight: 1 },
  { kind: "async", queue: "plain", weight: 2 },
  ...["sequence", "parallel", "sleeper", "retrier", "parent"].map((kind) => ({ kind, weight: 2 })),
  { kind: "waiter", weight: 3 },
  { kind: "signalled", weight: 2 },
];

/** Starts it. `stop` lets what has begun come to its end, and resolves then. */
export function startClient({ seed, nodes, apiKey, path, everyMs }) {
  const log = appender(path);
  const dice = diceOf(seed, "client");
  const bag = KINDS.flatMap((each) => Array.from({ length: each.weight }, () => each));
  let stopping = false;
  /** From then on what was asked without an answer is not asked again: it may be done, and answer "no" for ever. */
  let peaceBy = Number.POSITIVE_INFINITY;
  let made = 0;
  const later = new Set();

  /** One request, asked again under the same id until it is answered. Undefined: it never was. */
  async function ask(op, what, method, route, body, isRefusal = (status) => status < 500) {
    const until = Date.now() + PATIENCE_MS;
    let isUnknown = false;
    for (let tries = 0; Date.now() < until && !(isUnknown && Date.now() > peaceBy); tries++) {
      log({ phase: "before", op, what, tries });
      const answer = await fetch(dice.pick(nodes) + route, {
        method,
        headers: { "content-type": "application/json", authorization: `Bearer ${apiKey}` },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(ANSWER_MS),
      })
        .then(async (response) => ({ status: response.status, body: await response.json() }))
        .catch(() => undefined);
      if (answer !== undefined && answer.status < 300) {
        log({ phase: "ok", op, what, tries, id: answer.body.id ?? answer.body.events?.[0]?.runs?.[0] });
        return answer.body;
      }
      if (answer !== undefined && isRefusal(answer.status)) {
        log({ phase: "refused", op, what, status: answer.status, said: answer.body?.error?.message });
        return undefined;
      }
      isUnknown ||= answer === undefined || answer.status >= 500;
      await sleep(100);
    }
    log({ phase: "gave up", op, what });
    return undefined;
  }

  const send = (op, what, name, data) => ask(op, what, "POST", "/v1/events", [{ name, data, id: `${op}-${what}` }]);

  async function job(op, { kind, queue }) {
    const plan = { op, kind, ms: kind === "slow" ? dice.between(500, 4_000) : dice.between(0, 60) };
    if (kind === "flaky") plan.failures = dice.between(1, 2);
    if (kind === "doomed") plan.failures = 1_000;
    const waitMs = kind === "delayed" || kind === "cancelled" ? dice.between(1_000, 4_000) : 0;
    log({ phase: "plan", queue, waitMs, ...plan });
    const done = await ask(op, "enqueue", "POST", `/v1/queues/${queue}/jobs`, {
      payload: plan,
      job_id: op,
      ...(waitMs > 0 ? { delay: waitMs / 1_000 } : {}),
      ...(kind === "doomed" ? { max_attempts: 2 } : {}),
    });
    if (kind === "cancelled" && done !== undefined)
      await ask(op, "cancel", "DELETE", `/v1/queues/${queue}/jobs/${done.id}`);
  }

  async function run(op, { kind }) {
    const data = { op, ms: dice.between(0, 150), napMs: dice.between(300, 6_000) };
    const word = randomUUID();
    log({ phase: "plan", kind, word, ...data });
    const pauseMs = dice.between(0, 4_000);
    await send(op, "start", `faults.${kind}`, data);
    if (kind === "waiter") {
      await sleep(pauseMs);
      await send(op, "poke", "faults.poke", { op, word });
    }
    if (kind === "signalled") {
      await sleep(pauseMs);
      // Too early is a clean 404; so is too late, when the answer to one before was lost.
      await ask(op, "signal", "POST", `/v1/signals/signal-${op}/complete`, { data: word }, () => false);
    }
  }

  async function work() {
    while (!stopping) {
      const which = dice.pick(bag);
      const op = `op-${++made}`;
      const doing = (which.queue === undefined ? run(op, which) : job(op, which)).finally(() => later.delete(doing));
      later.add(doing);
      // What waits for its own moment must not keep the others from theirs.
      await Promise.race([doing, sleep(2_000)]);
      await sleep(dice.between(0, everyMs));
    }
  }

  const workers = Promise.all(Array.from({ length: WORKERS }, work));
  return {
    made: () => made,
    async stop() {
      stopping = true;
      peaceBy = Date.now() + 20_000;
      await workers;
      await Promise.all(later);
    },
  };
}
