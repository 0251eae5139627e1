/**
 * Gives jobs their keys, in the transaction that stores them. A job whose key is taken, or has others waiting for it, is
 * blocked on it from the start: it never enters the index of what is due.
 */
import { rateKeyOf } from "../core/rate-key.js";
import type { TurnKey } from "../core/turns.js";
import { type Queryable, sql } from "./db.js";
import type { NewJob } from "./enqueue.js";
import { roomsOf } from "./keys.js";
import { type KeyName, lockNamedKeys, nameOf } from "./named-keys.js";
import { countRates } from "./rate-keys.js";

/** A stored job that has concurrency keys, or whose queue has a rate for each value of a key. */
export type Keyed = {
  readonly id: string;
  readonly job: Pick<NewJob, "queueId" | "body" | "contentType">;
  /** At most two; the first is the one that may be strict. */
  readonly turns: readonly TurnKey[];
  /** It has its turns' keys already, and asks for the rate alone. */
  readonly onlyRate?: boolean;
  /** The queue's expression; null where it has none, and of a run that has begun: it was counted. */
  readonly rateKey: string | null;
};

/** Of a row `job` of jobs: the concurrency keys that it has, as they are in `Keyed`. */
export const TURNS_OF_JOB = `(select coalesce(jsonb_agg(jsonb_build_object('queueId', key.queue_id, 'key', key.key) order by key.id = job.second_key_id), '[]')
            from rotor.keys key where key.id in (job.key_id, job.second_key_id))`;

/** From now on claims of these queues look at keys. Said before a job with a key can be seen. */
const markQueues = sql(
  "keys.mark-queues",
  "update rotor.queues set keyed = true where id = any($1::int[]) and not keyed",
);

const workspaces = sql(
  "keys.workspaces",
  `select id, workspace_id as workspace from rotor.queues where id = any($1::int[])`,
);

/**
 * Jobs that are due and may be blocked; one that is delayed asks for its turn when it is due. But one of a strict order
 * that has begun would have a turn by that alone, so it asks for it at once.
 */
const asking = sql(
  "keys.asking",
  `select id, due_at <= rotor.clock() as due, keeps_turn and delivery > 0 as begun from rotor.jobs
    where id = any($1::uuid[]) and state = 'waiting' and (due_at <= rotor.clock() or (keeps_turn and delivery > 0))`,
);

const bind = sql(
  "keys.bind",
  `update rotor.jobs job
      set key_id = item.key_id, second_key_id = item.second_key_id, rate_key_id = item.rate_key_id, blocked_on = item.blocked_on
     from unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::int[]) as item (id, key_id, second_key_id, rate_key_id, blocked_on)
    where job.id = item.id and job.state in ('waiting', 'pending_approval')`,
);

/** What was bound. */
export type Bound = {
  /** Jobs that wait for a rate limit. */
  readonly late: ReadonlySet<string>;
  /** Keys that this transaction has locked. */
  readonly locked: ReadonlySet<number>;
};

/** Binds jobs to their keys, the first one first. Whoever needs other keys in this transaction has them locked with these. */
export async function bindKeys(t: Queryable, jobs: readonly Keyed[], others: readonly number[] = []): Promise<Bound> {
  const late = new Set<string>();
  if (jobs.length === 0) return { late, locked: new Set() };
  const queueIds = [...new Set(jobs.map(({ job }) => job.queueId))];
  void t.query(markQueues, [queueIds]);
  const [queues, askers] = await Promise.all([
    t.query<{ id: number; workspace: string }>(workspaces, [queueIds]),
    t.query<{ id: string; due: boolean; begun: boolean }>(asking, [jobs.map((each) => each.id)]),
  ]);
  const workspaceOf = new Map(queues.map((queue) => [queue.id, queue.workspace]));
  const asks = new Map(askers.map((row) => [row.id, row]));
  const named = jobs.map(({ id, job, turns, rateKey, onlyRate = false }) => {
    const workspace = workspaceOf.get(job.queueId)!;
    const value = rateKey === null ? undefined : rateKeyOf(rateKey, job);
    const rate: KeyName | undefined =
      value === undefined ? undefined : { workspace, kind: "rate", queueId: job.queueId, key: value };
    return { id, turns: turns.map((key): KeyName => ({ workspace, kind: "turn", ...key })), rate, onlyRate };
  });
  const names = named.flatMap(({ turns, rate }) => (rate === undefined ? turns : [...turns, rate]));
  const locked = await lockNamedKeys(t, names, others);
  const rooms = await roomsOf(t, locked);
  const ids = new Map(locked.map((key) => [nameOf(key), key.id]));
  /** What of each key is left for those that come now: none where others wait already. */
  const left = new Map([...rooms].map(([id, key]) => [id, key.blocks ? 0 : Math.max(0, key.room - key.waiting)]));
  const bound = named.map(({ id, turns, rate, onlyRate }) => {
    const [keyId = null, secondKeyId = null] = turns.map((name) => ids.get(nameOf(name))!);
    const rateKeyId = rate === undefined ? null : ids.get(nameOf(rate))!;
    const keys = { id, keyId, secondKeyId, rateKeyId };
    const asked = asks.get(id);
    if (asked === undefined) return { ...keys, blockedOn: null };
    const all = onlyRate ? [rateKeyId] : asked.due ? [keyId, secondKeyId, rateKeyId] : [keyId];
    const needed = all.filter((key) => key !== null);
    const blockedOn = needed.find((key) => left.get(key)! <= 0) ?? null;
    if (blockedOn !== null && blockedOn === rateKeyId) late.add(id);
    // What waits for one key leaves the others to those behind it, unless it has begun: then its turn is its own.
    const has = blockedOn === null ? needed : needed.filter((key) => asked.begun && key === keyId && key !== blockedOn);
    for (const key of has) left.set(key, left.get(key)! - 1);
    return { ...keys, blockedOn };
  });
  const on = bound.flatMap((job) => (job.blockedOn === null ? [] : [{ on: job.blockedOn }]));
  countRates(t, locked, rooms, [], on);
  void t.query(bind, [
    bound.map((job) => job.id),
    bound.map((job) => job.keyId),
    bound.map((job) => job.secondKeyId),
    bound.map((job) => job.rateKeyId),
    bound.map((job) => job.blockedOn),
  ]);
  return { late, locked: new Set(locked.map((key) => key.id)) };
}
