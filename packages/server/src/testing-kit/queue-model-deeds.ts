/** What is done to jobs, one function a deed: to the store, to the model, and what the store answers is judged. */
import { decide, type End } from "../core/job.js";
import { AGAIN } from "../store/batch.js";
import { changeJob } from "../store/change.js";
import { claim } from "../store/claim.js";
import { approve, cancel, reject, retry } from "../store/control.js";
import { type Enqueued, enqueue } from "../store/enqueue.js";
import { replay } from "../store/replay.js";
import { renewAccepted } from "../store/rescue.js";
import { settle } from "../store/settle.js";
import { newJob, POLICY } from "./fixtures.js";
import * as model from "./queue-model.js";
import { type Ending, finished, type ModelJob, type ModelQueue, ownKey, TERMS } from "./queue-model.js";
import { ask, BrokenPromise, busyKeys, check, choseWell, mayBegin, noIdleTurns } from "./queue-model-checks.js";
import type { Patch, Sent } from "./queue-model-commands.js";
import type { Begun, Stage } from "./queue-model-stage.js";

/**
 * `nothing` was done; `turns` may have ended and were passed on, those of the jobs that moved or of every key; or what else
 * is to be judged after the comparison.
 */
export type After = "nothing" | "done" | "turns" | "all turns" | (() => void);

/** The n-th of them, counted round and round. */
export const nth = <T>(all: readonly T[], n: number): T | undefined => all[n % all.length];

const bodyOf = (customer: number): string => JSON.stringify({ customer });

/** Nothing has ended this delivery yet. */
export const isHeld = ({ world }: Stage, { jobId, delivery }: Begun): boolean => {
  const job = world.jobs.get(jobId);
  return job?.state === "active" && job.delivery === delivery;
};

/** enqueue, one or a batch: an id that is known answers with the first job under it. */
export async function send(stage: Stage, queue: ModelQueue, all: readonly Sent[], replaces: boolean): Promise<After> {
  const { db, world } = stage;
  const made = all.map((sent) =>
    newJob(queue.id, {
      key: sent.clientId,
      body: Buffer.from(bodyOf(sent.customer)),
      delayMs: sent.delayMs,
      priority: sent.priority,
      replaces,
      ...(sent.maxAttempts === null ? {} : { maxAttempts: sent.maxAttempts }),
      ...keysOf(queue, sent),
    }),
  );
  const answers = await db.transact((t) => enqueue(t, made));
  const specs = all.map((sent) => ({ ...sent, ...namesOf(queue, sent), body: bodyOf(sent.customer) }));
  for (const [place, answer] of answers.entries()) {
    if (answer.duplicate) continue;
    check(answer.id === made[place]!.id, () => `a new job is ${answer.id}`);
    const { clientId } = all[place]!;
    const known = clientId === null ? undefined : under(stage, queue, clientId);
    check(known === undefined, () => `${answer.id} has the id of ${known!.id}`);
    model.enqueue(world, queue, answer.id, clientId, specs[place]!);
  }
  for (const [place, answer] of answers.entries()) {
    if (answer.duplicate) again(stage, queue, answer, all[place]!.clientId, specs[place]!, replaces);
    check(answer.state === world.jobs.get(answer.id)!.state, () => `${answer.id} was said to be ${answer.state}`);
  }
  return "done";
}

/** What is sent of the keys: one of the workspace's, or a run's own. */
function keysOf(queue: ModelQueue, { key, strict, values, strictPlace }: Sent) {
  if (queue.isFunction)
    return {
      functionKeys: placesOf({ values, strictPlace }).map((place, at) => ({
        key: values[at]!,
        limit: place === "strict" ? queue.strictLimit : queue.limits[place]!,
        strict: place === "strict",
      })),
    };
  return key === null ? {} : { concurrencyKey: key, keyOrder: strict ? ("strict" as const) : ("started" as const) };
}

/** Of each value, its place among those that are not strict. */
const placesOf = ({ values, strictPlace }: Pick<Sent, "values" | "strictPlace">): (number | "strict")[] =>
  values.map((_, at) => (at === strictPlace ? "strict" : at > strictPlace ? at - 1 : at));

/** The same as the model names them: what is strict comes first. */
function namesOf(queue: ModelQueue, { key, strict, values, strictPlace }: Sent) {
  if (!queue.isFunction) return { key, second: null, strict };
  const names = placesOf({ values, strictPlace }).map((place, at) => ownKey(queue, place, values[at]!));
  if (strictPlace === 1) names.reverse();
  return { key: names[0]!, second: names[1] ?? null, strict: strictPlace < values.length };
}

const under = ({ world }: Stage, queue: ModelQueue, clientId: string): ModelJob | undefined =>
  [...world.jobs.values()].find((job) => job.queue === queue && job.clientId === clientId);

function again(
  stage: Stage,
  queue: ModelQueue,
  answer: Enqueued,
  clientId: string | null,
  spec: model.Spec,
  replaces: boolean,
): void {
  const first = clientId === null ? undefined : under(stage, queue, clientId);
  check(first?.id === answer.id, () => `${answer.id} answers for ${first?.id}`);
  const replaced = replaces && (first!.state === "waiting" || first!.state === "pending_approval");
  check(
    answer.replaced === replaced,
    () => `${first!.id}, which is ${first!.state}, was${replaced ? " not" : ""} replaced`,
  );
  check(
    answer.payloadDiffers === (!replaced && first!.body !== spec.body),
    () => `the payload of ${first!.id} is said to differ`,
  );
  if (replaced) model.replace(stage.world, first!, spec);
}

/** claim, by one of the nodes that live. */
export async function take(stage: Stage, n: number, queues: readonly ModelQueue[], room: number): Promise<After> {
  const { db, world, begun } = stage;
  const node = nth(
    world.nodes.filter((each) => each.alive),
    n,
  )!;
  const asked = ask(world, queues, room);
  const busy = busyKeys(world);
  const { taken } = await claim(
    db,
    node.id,
    queues.map((queue) => queue.id),
    room,
  );
  mayBegin(world, asked, taken);
  const jobs = taken.map(({ jobId }) => world.jobs.get(jobId)!);
  const dueAts = new Map(jobs.map((job) => [job.id, job.dueAt!]));
  for (const job of jobs) {
    model.begin(world, job, node.id);
    begun.push({ jobId: job.id, delivery: job.delivery, attempt: job.attempt });
    if (job.queue.breaker && job.queue.trips > 0) job.queue.openAt = world.now + model.openFor(job.queue.trips);
  }
  return () => {
    choseWell(world, asked, jobs, dueAts);
    noIdleTurns(world, busy);
  };
}

const ENDS: Readonly<Record<Ending, End>> = {
  done: { kind: "done", output: null },
  retry: { kind: "failed", final: false, error: { name: "Error", message: "not now" } },
  final: { kind: "failed", final: true, error: { name: "Error", message: "no" } },
  accepted: { kind: "accepted" },
  released: { kind: "released" },
};

/** settle; by whoever holds the delivery, or held it once. */
export async function end(stage: Stage, delivery: Begun, ending: Ending, lingers: boolean): Promise<After> {
  await endAll(stage, [delivery], ending, lingers);
  return "turns";
}

/** The same of several at once. */
export async function endAll(
  { db, world }: Stage,
  deliveries: readonly Begun[],
  ending: Ending,
  mayLinger: boolean,
): Promise<void> {
  const items = deliveries.map((delivery) => settlementOf(world.jobs.get(delivery.jobId), delivery, ending, mayLinger));
  const answers = await settle(db, items);
  for (const [place, { jobId, delivery, outcome, lingers }] of items.entries()) {
    const answer = answers[place];
    if (answer === AGAIN || answer === undefined) throw new BrokenPromise("a row that nobody holds is in other hands");
    const job = world.jobs.get(jobId);
    const held = job?.state === "active" && job.delivery === delivery;
    // A repetition of what was written already counts as done, and writes nothing.
    const before = job && model.logOf(world, jobId, delivery)?.outcome;
    const repeated =
      before !== undefined && (before === outcome.outcome || (before === "retry" && outcome.outcome === "failed"));
    check(
      (answer.kind === "settled") === (held || repeated),
      () => `delivery ${delivery} of ${jobId} was ${answer.kind} (${ending})`,
    );
    if (held) model.settle(world, job, ending, lingers);
  }
}

function settlementOf(
  job: ModelJob | undefined,
  { jobId, delivery, attempt }: Begun,
  ending: Ending,
  mayLinger: boolean,
) {
  const backoff = { ...POLICY.backoff, minMs: TERMS.backoffMs, maxMs: TERMS.backoffMs };
  const policy = { maxAttempts: job?.maxAttempts ?? TERMS.maxAttempts, backoff };
  const outcome = decide({ kind: "callback", attempt, asyncTimeoutMs: TERMS.asyncTimeoutMs }, ENDS[ending], policy, 0)!;
  const lingers = mayLinger && (ending === "retry" || ending === "final");
  return { jobId, delivery, attempt, outcome, policy, parentId: null, status: 200, durationMs: 1, random: 0, lingers };
}

export async function decideAbout(
  { db, world }: Stage,
  job: ModelJob,
  what: "cancel" | "approve" | "reject",
): Promise<After> {
  const pending = job.state === "pending_approval";
  const able = what === "cancel" ? !finished(job) : pending;
  const moved = await (what === "cancel"
    ? cancel(db, [job.id])
    : what === "approve"
      ? approve(db, [job.id])
      : reject(db, [job.id], null));
  check(moved.length > 0 === able, () => `${what} of ${job.id}, which is ${job.state}, moved ${moved.length}`);
  if (!able) return "done";
  if (what === "cancel") model.cancel(world, job);
  else if (what === "approve") model.approve(world, job);
  else model.refuse(world, job, "rejected");
  // What asks for approval has no turn.
  return what === "cancel" ? "turns" : "done";
}

/** retry; by so many in a row: on its one connection none of them sees the other under way. `queue-model-crowd.ts` has them meet. */
export async function retryOne({ db, world }: Stage, job: ModelJob, times: number): Promise<After> {
  const moved = (await Promise.all(Array.from({ length: times }, () => retry(db, [job.id])))).flat();
  const expected = job.state === "failed" ? [job.id] : [];
  check(String(moved) === String(expected), () => `a retry of ${job.id}, which is ${job.state}, moved ${moved.length}`);
  if (job.state === "failed") model.retry(world, job);
  return "turns";
}

export async function replayOne({ db, world }: Stage, job: ModelJob): Promise<After> {
  const id = await replay(db, job.id, {});
  if (id === undefined) throw new BrokenPromise(`${job.id} was not replayed`);
  // A copy has no concurrency key but those of its function.
  const keys = job.queue.isFunction ? {} : { key: null, second: null, strict: false };
  model.enqueue(world, job.queue, id, null, { ...job, delayMs: 0, priority: 0, ...keys });
  return "done";
}

/** A sign of life, by whoever holds the delivery, or held it once. */
export async function beat(stage: Stage, delivery: Begun): Promise<After> {
  const { db, world } = stage;
  const alive = await renewAccepted(db, delivery.jobId, delivery.delivery);
  check(
    alive === isHeld(stage, delivery),
    () => `a sign of life of ${delivery.jobId} was ${alive ? "taken" : "refused"}`,
  );
  if (alive) world.jobs.get(delivery.jobId)!.dueAt = world.now + TERMS.asyncTimeoutMs;
  return "done";
}

export async function patch({ db, world }: Stage, job: ModelJob, parts: Patch): Promise<After> {
  const { customer, keyed: asked, ...rest } = parts;
  // A run has the keys of its function.
  const keyed = job.queue.isFunction ? undefined : asked;
  const body = customer === undefined ? undefined : bodyOf(customer);
  const waits = job.state === "waiting" || job.state === "pending_approval";
  const changed = await changeJob(db, job.id, {
    ...rest,
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
    ...(keyed === undefined ? {} : { concurrencyKey: keyed.key, keyOrder: keyed.strict ? "strict" : "started" }),
  });
  check(changed === waits, () => `a change of ${job.id}, which is ${job.state}, was ${changed ? "made" : "refused"}`);
  if (changed) model.change(world, job, { ...rest, ...(body === undefined ? {} : { body }), ...keyed });
  return "done";
}
