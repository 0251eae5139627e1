// The client of a fault run: enqueues, sends, starts, and its operators, who cancel, change, approve, retry and replay. Plain
// HTTP. Before each request a line with what it is, after it one with what is known: `ok`, `refused`, or nothing at all, when no
// answer came. Imports nothing of Rotor.
import { createHash, randomUUID } from "node:crypto";
import { appender, diceOf, sleep } from "./log.mjs";

/** For one answer; what takes longer is unknown, and asked again. */
const ANSWER_MS = 10_000;
/** Until an operation that was never answered is left alone. */
const PATIENCE_MS = 90_000;
/** Operations under way at one time: what comes while the servers are away waits no longer than they. */
const MOST = 80;
export const BATCH = 20;

/** Characters that have been lost on the way elsewhere. */
const PAD = "é \u0001 \u2028 \ud83d\udc36 9007199254740993";

/** Queues that share the keys of `plain`. */
export const GUESTS = ["guest-1", "guest-2", "guest-3", "guest-4"];

/** What is done, how often, and where. Jobs go to a queue, runs begin with an event. `failures` are honest ones, before a success. */
const KINDS = [
  { kind: "ok", queue: "plain", weight: 6 },
  { kind: "crowded", queue: "narrow", weight: 2, ms: [20, 120] },
  { kind: "keyed", queue: "plain", weight: 2, ms: [20, 120] },
  // Their keys are shared over queues: the lock on a queue does not keep their claims apart.
  ...GUESTS.map((queue) => ({ kind: "keyed", queue, weight: 1, ms: [20, 120] })),
  { kind: "slow", queue: "plain", weight: 3, ms: [500, 4_000] },
  { kind: "plodding", queue: "plain", weight: 1, ms: [3_000, 5_000] },
  { kind: "flaky", queue: "plain", weight: 2, failures: [1, 2] },
  // Its next attempt is under way while the end of the last one is still being told.
  { kind: "stubborn", queue: "plain", weight: 1, failures: [2, 4], ms: [600, 1_200] },
  { kind: "doomed", queue: "plain", weight: 1, failures: [1_000, 1_000], options: { max_attempts: 2 } },
  { kind: "retried", queue: "plain", weight: 1, failures: [1, 1], options: { max_attempts: 1 } },
  { kind: "delayed", queue: "plain", weight: 2, waitMs: [1_000, 4_000] },
  { kind: "changed", queue: "plain", weight: 1, waitMs: [2_000, 4_000] },
  { kind: "cancelled", queue: "plain", weight: 1, waitMs: [1_000, 4_000] },
  { kind: "aborted", queue: "plain", weight: 1, ms: [1_500, 2_500], failures: [1_000, 1_000] },
  { kind: "async", queue: "plain", weight: 2 },
  { kind: "expired", queue: "forgetful", weight: 1 },
  { kind: "approved", queue: "guarded", weight: 1 },
  { kind: "fleeting", queue: "fleeting", weight: 1 },
  { kind: "inbox", queue: "plain", weight: 2 },
  ...["hanging", "dripping", "torn", "flooding", "endless", "bomb", "busy"].map((kind) => ({
    kind,
    queue: "lying",
    weight: 1,
  })),
  { kind: "march", weight: 1, stepMs: [500, 1_000] },
  // Each step takes longer than the run takes to be delivered again: whoever goes on with it has company.
  { kind: "trek", weight: 1, stepMs: [2_500, 3_500] },
  ...["sequence", "parallel", "sleeper", "retrier", "parent"].map((kind) => ({ kind, weight: 2 })),
  ...["replayed", "gathered", "deadlined"].map((kind) => ({ kind, weight: 1 })),
  { kind: "waiter", weight: 3 },
  { kind: "signalled", weight: 2 },
];

/**
 * Starts it: `rate` operations a second, and besides so many jobs a second in batches. `only` names the kinds that are done, where
 * not all are. `stop` lets what has begun come to its end, and resolves then.
 */
export function startClient({ seed, nodes, apiKey, path, database, schema, rate, batched = 0, only }) {
  const log = appender(path);
  const dice = diceOf(seed, "client");
  const kinds = only === undefined ? KINDS : KINDS.filter(({ kind }) => only.includes(kind));
  const bag = kinds.flatMap((each) => Array.from({ length: each.weight }, () => each));
  let stopping = false;
  /** From then on what was asked without an answer is not asked again: it may be done, and answer "no" for ever. */
  let peaceBy = Number.POSITIVE_INFINITY;
  let made = 0;
  let keyed = 0;
  const later = new Set();

  /** One request, asked again until it is answered; `again` says of an answer that is none yet. Undefined: it never was. */
  async function ask(op, what, method, route, body, again = (status) => status >= 500, once = false) {
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
      if (answer !== undefined && !again(answer.status)) {
        log({ phase: "refused", op, what, status: answer.status, said: answer.body?.error?.message, isUnknown });
        return undefined;
      }
      isUnknown ||= answer === undefined || answer.status >= 500;
      if (once && isUnknown) break;
      // Whoever asks again without a pause keeps those from their feet who are getting up.
      await sleep(Math.min(2_000, 100 * 1.5 ** tries) * (0.5 + dice.roll()));
    }
    log({ phase: "gave up", op, what });
    return undefined;
  }

  const send = (op, what, name, data) => ask(op, what, "POST", "/v1/events", [{ name, data, id: `${op}-${what}` }]);
  const draw = (range) => (range === undefined ? 0 : dice.between(...range));

  async function job(op, { kind, queue, ms, failures, waitMs, options = {} }) {
    const plan = { op, kind, ms: draw(ms ?? [0, 60]), failures: draw(failures), pad: PAD };
    const wait = draw(waitMs);
    const hash = createHash("sha1").update(JSON.stringify(plan)).digest("base64");
    log({ phase: "plan", queue, waitMs: wait, hash, ...plan, pad: undefined });
    const route = `/v1/queues/${queue}/jobs`;
    if (kind === "inbox") return insert(op, queue, plan);
    const done = await ask(
      op,
      "enqueue",
      "POST",
      route,
      {
        payload: plan,
        ...(kind === "fleeting" ? {} : { job_id: op }),
        ...(wait > 0 ? { delay: wait / 1_000 } : {}),
        // Some in a row have the same one, that was free for a while: claims of different queues then meet over it.
        ...(kind === "keyed" ? { concurrency_key: `key-${1 + (Math.floor(keyed++ / 6) % 3)}` } : {}),
        ...options,
      },
      undefined,
      // Without an id of its own, a second one would be another job.
      kind === "fleeting",
    );
    if (done === undefined) return;
    if (kind === "cancelled") await ask(op, "cancel", "DELETE", `${route}/${done.id}`);
    if (kind === "aborted") {
      // It is being delivered then, and fails until it is cancelled.
      await sleep(700);
      await ask(op, "abort", "DELETE", `${route}/${done.id}`);
    }
    if (kind === "approved") await ask(op, "approve", "POST", `/v1/approvals/${done.id}/approve`, {});
    if (kind === "changed") {
      const changed = { ...plan, changed: true };
      const hash = createHash("sha1").update(JSON.stringify(changed)).digest("base64");
      log({ phase: "changing", op, hash });
      await ask(op, "change", "PATCH", `${route}/${done.id}`, { payload: changed });
    }
    if (kind === "retried") {
      // Until it has failed there is nothing to retry; and nothing more when it was.
      for (let tries = 0; tries < 200 && Date.now() < peaceBy; tries++) {
        const seen = await ask(op, "look", "GET", `${route}/${done.id}`);
        if (seen === undefined || seen.state === "failed" || seen.state === "completed") break;
        await sleep(250);
      }
      await ask(op, "retry", "POST", `${route}/${done.id}/retry`, {});
    }
  }

  /** A row that commits, or not, in a transaction of the user's own. */
  async function insert(op, queue, plan) {
    log({ phase: "before", op, what: "enqueue", tries: 0 });
    try {
      await database(`insert into ${schema}.inbox (kind, target, id, payload) values ('job', $1, $2, $3)`, [
        queue,
        op,
        JSON.stringify(plan),
      ]);
      log({ phase: "ok", op, what: "enqueue", tries: 0 });
    } catch {
      // Postgres was away: it is there, or it is not.
      log({ phase: "gave up", op, what: "enqueue" });
    }
  }

  async function batch(op) {
    log({ phase: "plan", op, kind: "batch", queue: "plain", size: BATCH });
    const jobs = Array.from({ length: BATCH }, (_, n) => ({
      payload: { op: `${op}.${n}`, kind: "ok", ms: 0 },
      job_id: `${op}.${n}`,
    }));
    await ask(op, "enqueue", "POST", "/v1/queues/plain/jobs/batch", { jobs });
  }

  async function run(op, { kind, stepMs = [0, 150] }) {
    const data = { op, ms: draw(stepMs), napMs: dice.between(300, 6_000) };
    const word = randomUUID();
    log({ phase: "plan", kind, word, ...data });
    const pauseMs = dice.between(0, 4_000);
    const signal = (body, again) => ask(op, "signal", "POST", `/v1/signals/signal-${op}/complete`, body, again);
    const early = kind === "signalled" && pauseMs < 2_000;
    const keep = () => signal({ data: word, buffer_for: "10m" }, (status) => status >= 500);
    // Some are kept before there is a run that could wait for them.
    if (early && pauseMs < 1_000) await keep();
    const sent = await send(op, "start", `faults.${kind}`, data);
    if (kind === "gathered") await send(op, "again", "faults.gathered", data);
    if (kind === "waiter") {
      await sleep(pauseMs);
      await send(op, "poke", "faults.poke", { op, word });
    }
    if (kind === "signalled" && pauseMs >= 1_000) {
      await sleep(pauseMs);
      if (early) return keep();
      // Too early is a clean 404; so is too late, when the answer to one before was lost.
      await signal({ data: word }, () => true);
    }
    const runId = sent?.events?.[0]?.runs?.[0];
    if (kind === "replayed" && runId !== undefined) {
      await sleep(2_000);
      await ask(op, "replay", "POST", `/v1/runs/${runId}/replay`, {}, undefined, true);
    }
  }

  const begin = (work) => {
    const doing = work
      .catch((error) => log({ phase: "broken", error: error.stack }))
      .finally(() => later.delete(doing));
    later.add(doing);
  };
  const nextOp = () => `op-${++made}`;
  async function every(perSecond, act) {
    for (let next = Date.now(); !stopping; next += 1_000 / perSecond) {
      await sleep(Math.max(0, next - Date.now()));
      if (later.size < MOST) act();
      // What was not done while nobody answered is not made up for all at once.
      next = Math.max(next, Date.now() - 1_000);
    }
  }
  const workers = [
    every(rate, () => {
      const which = dice.pick(bag);
      begin((which.queue === undefined ? run : job)(nextOp(), which));
    }),
    ...(batched > 0 ? [every(batched / BATCH, () => begin(batch(nextOp())))] : []),
  ];
  return {
    made: () => made,
    async stop() {
      stopping = true;
      peaceBy = Date.now() + 20_000;
      await Promise.all(workers);
      await Promise.all(later);
    },
  };
}
