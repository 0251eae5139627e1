/**
 * What a queue promises, as plainly as it can be said: jobs in a map, loops, no SQL. The model test does everything to
 * this and to the store, and compares. What the store may choose (which of several due jobs, who waits in line for a key)
 * is not predicted here: it is read, and judged by `queue-model-checks.ts`.
 */
import type { State } from "../core/job.js";
import { limits } from "../core/limits.js";

/** Durations of every queue of a history, in milliseconds. */
export const TERMS = {
  backoffMs: 10_000,
  timeoutMs: 30_000,
  asyncTimeoutMs: 60_000,
  approvalTimeoutMs: 120_000,
  keptMs: 60_000,
  breaker: { failures: 2, minMs: 10_000, maxMs: 40_000 },
  maxAttempts: 2,
} as const;

export type ModelQueue = {
  id: number;
  readonly name: string;
  concurrency: number | null;
  /** A function: its jobs are runs, with keys of its own and a rate that counts those that begin. */
  readonly isFunction: boolean;
  /** Of its own keys, by their place among those that are not strict; and of the strict one. */
  limits: readonly [number, number];
  readonly strictLimit: number;
  rate: { limit: number; periodMs: number; readonly by: "queue" | "customer" | "one" } | null;
  /** Deliveries that began before do not count against what the limit is now. */
  periodChangedAt: number;
  readonly approval: boolean;
  readonly strict: boolean;
  readonly breaker: boolean;
  paused: boolean;
  failures: number;
  trips: number;
  openAt: number;
  /** Deliveries that began, and under which value of the rate key. */
  readonly begun: { readonly at: number; readonly rateKey: string | null }[];
  /** Slots in use that are not too many: its concurrency, or what was in use when that was lowered. */
  allowed: number;
};

export type ModelKey = { limit: number; allowed: number };

export type ModelJob = {
  readonly id: string;
  readonly queue: ModelQueue;
  readonly clientId: string | null;
  body: string;
  /** Its concurrency keys, as `World.keys` names them. */
  key: string | null;
  second: string | null;
  /** It has its first key's turn from its first delivery to its end. */
  strict: boolean;
  rateKey: string | null;
  state: State;
  dueAt: number | null;
  runAt: number;
  attempt: number;
  delivery: number;
  rescues: number;
  maxAttempts: number | null;
  node: string | null;
  /** What it waits in line for, as the store says. */
  blocked: "turn" | "second" | "rate" | null;
  readonly createdAt: number;
  finishedAt: number;
};

/** A slot of a strict queue that its job has left. */
export type ModelSlot = {
  readonly jobId: string;
  readonly queue: ModelQueue;
  readonly key: string | null;
  readonly until: number;
};

export type ModelNode = { readonly id: string; alive: boolean; leaseUntil: number };

export type World = {
  now: number;
  readonly queues: readonly ModelQueue[];
  readonly keys: Map<string, ModelKey>;
  readonly jobs: Map<string, ModelJob>;
  slots: ModelSlot[];
  /** How each delivery ended, by job and number. */
  readonly log: Map<string, { readonly outcome: string; readonly attempt: number }>;
  nodes: ModelNode[];
};

export const finished = (job: ModelJob): boolean => job.dueAt === null;
export const isDue = (world: World, job: ModelJob): boolean =>
  job.state === "waiting" && job.blocked === null && job.dueAt! <= world.now;

const logged = (job: ModelJob): string => `${job.id} ${job.delivery}`;
export const logOf = (world: World, jobId: string, delivery: number) => world.log.get(`${jobId} ${delivery}`);

function note(world: World, job: ModelJob, outcome: string): void {
  const before = world.log.get(logged(job))?.outcome;
  // Written once; but what was accepted ends later.
  if (before === undefined || before === "accepted") world.log.set(logged(job), { outcome, attempt: job.attempt });
}

function finish(world: World, job: ModelJob, state: "completed" | "failed" | "cancelled"): void {
  Object.assign(job, { state, dueAt: null, node: null, blocked: null, finishedAt: world.now });
}

function wait(job: ModelJob, dueAt: number): void {
  Object.assign(job, { state: "waiting", dueAt, node: null });
}

/** What a client sends. */
export type Spec = {
  readonly delayMs: number;
  readonly priority: number;
  readonly body: string;
  readonly key: string | null;
  readonly second: string | null;
  readonly strict: boolean;
  readonly maxAttempts: number | null;
};

const dueOf = (world: World, spec: Pick<Spec, "delayMs" | "priority">): number =>
  spec.delayMs > 0 ? world.now + spec.delayMs : world.now - spec.priority * 1_000;

/** A function's key, by its place among those that are not strict. */
export const ownKey = (queue: ModelQueue, place: number | "strict", value: string): string =>
  `${queue.name} ${place}:${value}`;

/** What begins under a rate with a key counts for one value of it; null where it is the queue's, or counts no more. */
function rateKeyOf(queue: ModelQueue, body: string, delivery: number): string | null {
  if (queue.rate === null || queue.rate.by === "queue" || !counts(queue, delivery)) return null;
  return queue.rate.by === "one" ? "one" : String(JSON.parse(body).customer);
}

/** A run is counted when it begins, a job with each delivery. */
const counts = (queue: ModelQueue, delivery: number): boolean => !queue.isFunction || delivery === 0;

/** Stores what was sent as a new job. */
export function enqueue(world: World, queue: ModelQueue, id: string, clientId: string | null, spec: Spec): void {
  world.jobs.set(id, {
    id,
    queue,
    clientId,
    body: spec.body,
    key: spec.key,
    second: spec.second,
    strict: spec.strict && spec.key !== null,
    rateKey: rateKeyOf(queue, spec.body, 0),
    state: queue.approval ? "pending_approval" : "waiting",
    dueAt: queue.approval ? world.now + TERMS.approvalTimeoutMs : dueOf(world, spec),
    runAt: world.now + spec.delayMs,
    attempt: 0,
    delivery: 0,
    rescues: 0,
    maxAttempts: spec.maxAttempts,
    node: null,
    blocked: null,
    createdAt: world.now,
    finishedAt: 0,
  });
}

/** A job that waits becomes what was sent in its place. */
export function replace(world: World, job: ModelJob, spec: Spec): void {
  change(world, job, spec);
  job.maxAttempts = spec.maxAttempts;
}

/** Some parts of a job that waits are changed; what is left out stays. */
export function change(world: World, job: ModelJob, parts: Partial<Spec>): void {
  if (parts.delayMs !== undefined || parts.body !== undefined) Object.assign(job, { attempt: 0, rescues: 0 });
  if (parts.delayMs !== undefined) {
    const when = { delayMs: parts.delayMs, priority: parts.priority ?? 0 };
    job.runAt = world.now + when.delayMs;
    if (job.state === "waiting") job.dueAt = dueOf(world, when);
  } else if (parts.priority !== undefined && job.state === "waiting" && job.dueAt! <= world.now) {
    job.dueAt = Math.min(job.runAt, world.now) - parts.priority * 1_000;
  }
  if (parts.body !== undefined) job.body = parts.body;
  if (parts.body !== undefined || parts.key !== undefined) {
    job.rateKey = rateKeyOf(job.queue, job.body, job.delivery);
  }
  if (parts.key !== undefined) {
    job.key = parts.key;
    job.second = parts.second ?? null;
    job.strict = parts.key !== null && parts.strict === true;
  }
  if (parts.maxAttempts !== undefined) job.maxAttempts = parts.maxAttempts;
}

/** A node takes a job. */
export function begin(world: World, job: ModelJob, node: string): void {
  const { queue } = job;
  if (counts(queue, job.delivery)) queue.begun.push({ at: world.now, rateKey: job.rateKey });
  Object.assign(job, { state: "active", node, attempt: job.attempt + 1, delivery: job.delivery + 1 });
  job.dueAt = world.now + (queue.isFunction ? limits.runTimeoutMs : TERMS.timeoutMs);
  if (queue.isFunction) job.rateKey = null;
}

/** An endpoint that may be at work still keeps the slot of a delivery that a node posted. */
export function linger(world: World, job: ModelJob): void {
  if (!job.queue.strict || job.state !== "active" || job.node === null) return;
  const until = job.dueAt! + limits.expiryGraceMs;
  if (until > world.now) world.slots.push({ jobId: job.id, queue: job.queue, key: job.key, until });
}

/** How the holder of a delivery says that it ended. */
export type Ending = "done" | "retry" | "final" | "accepted" | "released";

/** Ends the job's delivery as its holder says. */
export function settle(world: World, job: ModelJob, ending: Ending, lingers: boolean): void {
  if (lingers) linger(world, job);
  job.rescues = 0;
  switch (ending) {
    case "done":
      note(world, job, "completed");
      finish(world, job, "completed");
      break;
    case "final":
      note(world, job, "failed");
      finish(world, job, "failed");
      break;
    case "retry":
      tryAgain(world, job, "retry");
      break;
    case "accepted":
      note(world, job, "accepted");
      Object.assign(job, { node: null, dueAt: world.now + TERMS.asyncTimeoutMs });
      break;
    case "released":
      release(world, job);
  }
}

function tryAgain(world: World, job: ModelJob, outcome: "retry" | "expired"): void {
  const last = job.attempt >= (job.maxAttempts ?? TERMS.maxAttempts);
  note(world, job, last && outcome === "retry" ? "failed" : outcome);
  if (last) finish(world, job, "failed");
  else wait(job, world.now + TERMS.backoffMs);
}

/** A node that does not know of the delivery gives it back, the attempt too. */
export function release(world: World, job: ModelJob): void {
  job.attempt = Math.max(0, job.attempt - 1);
  wait(job, world.now);
}

/** Ends deliveries that are past their limit. */
export function expire(world: World): void {
  for (const job of world.jobs.values()) {
    if (job.state === "active" && job.dueAt! < world.now - limits.expiryGraceMs) tryAgain(world, job, "expired");
  }
}

/** Gives back what dead nodes held. */
export function rescue(world: World): void {
  const dead = world.nodes.filter((node) => node.leaseUntil <= world.now);
  for (const job of world.jobs.values()) {
    if (job.state !== "active" || !dead.some((node) => node.id === job.node)) continue;
    linger(world, job);
    job.attempt = Math.max(0, job.attempt - 1);
    job.rescues += 1;
    note(world, job, "orphaned");
    if (job.rescues > limits.rescues) finish(world, job, "failed");
    else wait(job, world.now);
  }
  world.nodes = world.nodes.filter((node) => !dead.includes(node));
}

export function cancel(world: World, job: ModelJob): void {
  linger(world, job);
  if (job.state !== "active") job.delivery += 1;
  note(world, job, "cancelled");
  finish(world, job, "cancelled");
}

export const approve = (world: World, job: ModelJob): void => wait(job, Math.max(world.now, job.runAt));

/** Nobody said yes: by a person, or by time. */
export function refuse(world: World, job: ModelJob, outcome: "rejected" | "expired"): void {
  job.delivery += 1;
  note(world, job, outcome);
  finish(world, job, "failed");
}

/** What was never approved asks again; the rest is due now. */
export function retry(world: World, job: ModelJob): void {
  const last = logOf(world, job.id, job.delivery)!;
  const refused = (last.outcome === "rejected" || last.outcome === "expired") && last.attempt === 0;
  Object.assign(job, { attempt: 0, rescues: 0 });
  if (refused && job.queue.approval)
    Object.assign(job, { state: "pending_approval", dueAt: world.now + TERMS.approvalTimeoutMs });
  else wait(job, world.now);
}

/** A failure of a queue's endpoint. */
export function fail(world: World, queue: ModelQueue, probe: boolean): void {
  if (!queue.breaker) return;
  queue.failures += 1;
  const opens = probe || (queue.trips === 0 && queue.failures >= TERMS.breaker.failures);
  if (!opens) return;
  queue.trips += 1;
  queue.openAt = world.now + openFor(queue.trips);
}

/** Twice as long each time in a row. */
export const openFor = (trips: number): number => Math.min(TERMS.breaker.minMs * 2 ** (trips - 1), TERMS.breaker.maxMs);

/** Its endpoint answered, or somebody changed its settings. */
export const closeBreaker = (queue: ModelQueue): void => {
  Object.assign(queue, { failures: 0, trips: 0, openAt: Number.NEGATIVE_INFINITY });
};
