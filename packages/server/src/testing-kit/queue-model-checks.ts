/** Where the store may choose, what it must not choose; and what holds after every command. No SQL, no store. */
import { finished, isDue, logOf, type ModelJob, type ModelQueue, TERMS, type World } from "./queue-model.js";

/** The store does not do what it promises. */
export class BrokenPromise extends Error {}

export function check(holds: boolean, promise: () => string): void {
  if (!holds) throw new BrokenPromise(promise());
}

/** Jobs as a message shows them. */
export const shown = (jobs: readonly ModelJob[]): string =>
  JSON.stringify(jobs.map((job) => ({ ...job, queue: job.queue.name })));

/** A job as the store has it. */
export type Seen = {
  readonly id: string;
  readonly state: string;
  readonly dueAt: number | null;
  readonly attempt: number;
  readonly delivery: number;
  readonly rescues: number;
  readonly node: string | null;
  readonly blocked: ModelJob["blocked"];
};

/** A rate's counts are of parts of its period: what began counts for up to so much longer. */
const SPREAD = 1.05;

const jobsOf = (world: World): ModelJob[] => [...world.jobs.values()];
const slotsOf = (world: World) => world.slots.filter((slot) => slot.until > world.now);
const inUse = (world: World, queue: ModelQueue): number =>
  jobsOf(world).filter((job) => job.queue === queue && job.state === "active").length +
  slotsOf(world).filter((slot) => slot.queue === queue).length;

const hasKey = (job: ModelJob, key: string | null): boolean => key !== null && (job.key === key || job.second === key);
/** The concurrency key that it waits in line for. */
const awaited = (job: ModelJob): string | null =>
  job.blocked === "turn" ? job.key : job.blocked === "second" ? job.second : null;
/** Its first key's turn is its own from its first delivery on. */
const keeps = (job: ModelJob, key: string): boolean => job.key === key && job.strict && job.delivery > 0;

/** Jobs that have a turn of a key: active, between two attempts of a strict one, or with an endpoint at work still. */
function turnsOf(world: World, key: string): number {
  const holders = jobsOf(world).filter(
    (job) =>
      hasKey(job, key) &&
      (job.state === "active" || (job.state === "waiting" && keeps(job, key) && job.blocked !== "turn")),
  );
  const lingering = slotsOf(world).filter((slot) => slot.key === key);
  return new Set([...holders.map((job) => job.id), ...lingering.map((slot) => slot.jobId)]).size;
}

/** The same as the store counts: a slot that lingers beside its own job's turn takes another. Careful, not wrong. */
const mostTurnsOf = (world: World, key: string): number =>
  turnsOf(world, key) + slotsOf(world).filter((slot) => slot.key === key).length;

/** It has its key's turn, and waits all the same: as many as may be are active, or may be at work still. */
function waitsForPlace(world: World, job: ModelJob): boolean {
  if (job.key === null || !job.strict || job.delivery === 0) return false;
  const active = jobsOf(world).filter((other) => hasKey(other, job.key) && other.state === "active").length;
  const lingering = slotsOf(world).filter((slot) => slot.key === job.key).length;
  return active + lingering >= world.keys.get(job.key)!.limit;
}

/** What began and counts, at least and at most. */
function begunOf(world: World, queue: ModelQueue, rateKey: string | null): { least: number; most: number } {
  const { periodMs } = queue.rate!;
  const begun = queue.begun.filter((each) => each.rateKey === rateKey);
  // Of another period, what began counts as begun when it is looked at next, and is written so with what begins then.
  const since = begun.find((each) => each.at > queue.periodChangedAt)?.at ?? Number.POSITIVE_INFINITY;
  const settled = queue.periodChangedAt < 0 || world.now - since > periodMs * SPREAD;
  return {
    least: begun.filter((each) => each.at > Math.max(world.now - periodMs, queue.periodChangedAt)).length,
    most: settled ? begun.filter((each) => each.at >= world.now - periodMs * SPREAD).length : Number.POSITIVE_INFINITY,
  };
}

/** How many more may begin under a queue's own rate for sure. */
const rateRoom = (world: World, queue: ModelQueue): number =>
  queue.rate === null || queue.rate.by !== "queue"
    ? Number.POSITIVE_INFINITY
    : queue.rate.limit - begunOf(world, queue, null).most;

const isOpen = (world: World, queue: ModelQueue): boolean => !queue.paused && queue.openAt <= world.now;

/** Every job is as the model has it. Reads from the store who waits in line, and judges whether he has to. */
export function compare(world: World, seen: readonly Seen[]): void {
  check(seen.length === world.jobs.size, () => `there are ${seen.length} jobs instead of ${world.jobs.size}`);
  const late: ModelJob[] = [];
  for (const row of seen) {
    const job = world.jobs.get(row.id);
    check(job !== undefined, () => `${row.id} is nobody's job`);
    for (const part of ["state", "dueAt", "attempt", "delivery", "rescues", "node"] as const) {
      check(row[part] === job![part], () => `${part} of ${row.id} is ${row[part]}, not ${job![part]}`);
    }
    check(row.blocked === null || row.state === "waiting", () => `${row.id} is ${row.state} and blocked`);
    if (row.blocked !== null && row.blocked !== job!.blocked) late.push(job!);
    job!.blocked = row.blocked;
  }
  for (const job of late)
    check(hasToWait(world, job, late), () => `${job.id} waits for its ${job.blocked} without a reason`);
  limitsHold(world);
}

/** Somebody else has its key, or is in line before it; or its queue is closed and it asks when that opens. */
function hasToWait(world: World, job: ModelJob, late: readonly ModelJob[]): boolean {
  if (!isOpen(world, job.queue)) return true;
  const others = jobsOf(world).filter((other) => other !== job && other.state === "waiting");
  const key = awaited(job);
  if (key !== null) {
    const inLine = others.some((other) => awaited(other) === key && !late.includes(other));
    const due = others.filter((other) => hasKey(other, key) && isDue(world, other)).length;
    return inLine || mostTurnsOf(world, key) + due >= world.keys.get(key)!.limit || rateRoom(world, job.queue) <= 0;
  }
  const before = others.filter((other) => other.queue === job.queue && other.rateKey === job.rateKey);
  const inLine = before.some((other) => other.blocked === "rate" && !late.includes(other));
  const due = before.filter((other) => isDue(world, other)).length;
  return inLine || job.queue.rate === null || begunOf(world, job.queue, job.rateKey).most + due >= job.queue.rate.limit;
}

/** No queue and no key has more than it allows, or than it had when that was lowered. */
function limitsHold(world: World): void {
  for (const queue of world.queues) {
    const used = inUse(world, queue);
    const limit = queue.concurrency ?? Number.POSITIVE_INFINITY;
    check(
      used <= Math.max(limit, queue.allowed),
      () => `${used} jobs are active in ${queue.name}, which allows ${limit}`,
    );
    queue.allowed = Math.max(limit, Math.min(queue.allowed, used));
  }
  for (const [name, key] of world.keys) {
    const turns = turnsOf(world, name);
    check(
      turns <= Math.max(key.limit, key.allowed),
      () => `${turns} jobs have a turn of ${name}, which has ${key.limit}`,
    );
    key.allowed = Math.max(key.limit, Math.min(key.allowed, turns));
  }
}

/** After a limit was set: what is in use already stays. */
export function allow(world: World): void {
  for (const queue of world.queues) queue.allowed = inUse(world, queue);
  for (const [name, key] of world.keys) key.allowed = turnsOf(world, name);
}

/** Who waits for a key in an open queue waits because its turns are had, or promised. */
export function noIdleTurns(world: World, keys: Iterable<string | null>): void {
  for (const name of new Set(keys)) {
    const idle = name === null ? undefined : idleTurns(world, name);
    check(idle === undefined, () => `${idle!.free} turns of ${name} are free while jobs wait: ${shown(idle!.inLine)}`);
  }
}

/** Turns of a key that nobody has, and who waits for them all the same. */
function idleTurns(world: World, name: string): { free: number; inLine: readonly ModelJob[] } | undefined {
  const mine = jobsOf(world).filter((job) => hasKey(job, name) && job.state === "waiting");
  const inLine = mine.filter(
    (job) => awaited(job) === name && isOpen(world, job.queue) && rateRoom(world, job.queue) > 0,
  );
  const free = world.keys.get(name)!.limit - mostTurnsOf(world, name);
  const promised = mine.filter((job) => job.blocked === null && !keeps(job, name)).length;
  return inLine.length === 0 || promised >= free ? undefined : { free, inLine };
}

/** Keys of which no turn is idle now: a claim leaves none of theirs idle either. */
export const busyKeys = (world: World): string[] =>
  [...world.keys.keys()].filter((name) => idleTurns(world, name) === undefined);

/** What a claim was asked, and from what it had to choose. */
export type Asked = {
  readonly queues: readonly ModelQueue[];
  readonly room: number;
  /** Jobs that were due and not in line. */
  readonly due: readonly ModelJob[];
  /** Of each queue, what was in use, and whether its breaker lets one through only. */
  readonly before: ReadonlyMap<
    ModelQueue,
    { readonly used: number; readonly rateRoom: number; readonly probing: boolean; readonly open: boolean }
  >;
};

export const ask = (world: World, queues: readonly ModelQueue[], room: number): Asked => ({
  queues,
  room,
  due: jobsOf(world).filter((job) => queues.includes(job.queue) && isDue(world, job)),
  before: new Map(
    queues.map((queue) => [
      queue,
      {
        used: inUse(world, queue),
        rateRoom: rateRoom(world, queue),
        probing: queue.trips > 0,
        open: isOpen(world, queue),
      },
    ]),
  ),
});

/** Before a claim's answer is believed: each of these jobs was there to be taken. */
export function mayBegin(
  world: World,
  asked: Asked,
  taken: readonly { readonly jobId: string; readonly delivery: number }[],
): void {
  check(taken.length <= asked.room, () => `${taken.length} jobs were claimed for a room of ${asked.room}`);
  for (const { jobId, delivery } of taken) {
    const job = world.jobs.get(jobId);
    check(
      job !== undefined && asked.due.includes(job),
      () => `${jobId} was claimed: ${job?.state}, due ${job?.dueAt}, in line for ${job?.blocked}`,
    );
    check(asked.before.get(job!.queue)!.open, () => `${jobId} was claimed of ${job!.queue.name}, which is closed`);
    check(delivery === job!.delivery + 1, () => `${jobId} was claimed as delivery ${delivery} after ${job!.delivery}`);
    check(logOf(world, jobId, delivery) === undefined, () => `delivery ${delivery} of ${jobId} has ended already`);
  }
}

/** After a claim: not too many, not too few, the first due first. To be called when the store was compared. */
export function choseWell(
  world: World,
  asked: Asked,
  taken: readonly ModelJob[],
  dueAts: ReadonlyMap<string, number>,
): void {
  const cap = Math.max(1, Math.ceil(asked.room / asked.queues.length));
  for (const queue of asked.queues) {
    const before = asked.before.get(queue)!;
    const mine = taken.filter((job) => job.queue === queue);
    if (mine.length > 0) fairly(world, queue, mine, before.probing ? 1 : cap);
    const left = asked.due.filter((job) => job.queue === queue && isDue(world, job) && !waitsForPlace(world, job));
    const latest = Math.max(...mine.map((job) => dueAts.get(job.id)!));
    const passed = left.find((job) => job.dueAt! < latest);
    check(passed === undefined, () => `${shown([passed!])} was passed over by a job that is due later`);
    if (!before.open || left.length === 0 || taken.length === asked.room) continue;
    const room = Math.min(
      before.probing ? 1 : cap,
      (queue.concurrency ?? Number.POSITIVE_INFINITY) - before.used,
      before.rateRoom,
    );
    check(
      mine.length >= room,
      () =>
        `${mine.length} jobs of ${queue.name} were claimed, which has room for ${room}; these are left: ${shown(left)}`,
    );
  }
}

function fairly(world: World, queue: ModelQueue, mine: readonly ModelJob[], most: number): void {
  check(mine.length <= most, () => `${mine.length} jobs of ${queue.name} were claimed instead of ${most}`);
  const used = inUse(world, queue);
  check(
    used <= (queue.concurrency ?? used),
    () => `${used} jobs are active in ${queue.name} after a claim; it allows ${queue.concurrency}`,
  );
  if (queue.rate === null) return;
  for (const rateKey of new Set(queue.begun.filter((each) => each.at === world.now).map((each) => each.rateKey))) {
    const begun = begunOf(world, queue, rateKey).least;
    check(
      begun <= queue.rate.limit,
      () => `${begun} deliveries of ${queue.name} began within its period; it allows ${queue.rate!.limit}`,
    );
  }
}

/** A job may be forgotten when its time is over, and its client's id is a day old. */
export const mayLeave = (world: World, job: ModelJob): boolean =>
  finished(job) &&
  job.finishedAt < world.now - TERMS.keptMs &&
  (job.clientId === null || job.createdAt < world.now - 86_400_000);
