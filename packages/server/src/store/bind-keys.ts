/**
 * Gives jobs their keys, in the transaction that stores them. A job whose key is taken, or has others waiting for it, is
 * blocked on it from the start: it never enters the index of what is due.
 */
import { rateKeyOf } from "../core/rate-key.js";
import { type Queryable, sql } from "./db.js";
import type { NewJob } from "./enqueue.js";
import { type KeyName, lockNamedKeys, roomsOf } from "./keys.js";
import { countRates } from "./rate-keys.js";

/** A stored job that has a concurrency key, or whose queue has a rate for each value of a key. */
export type Keyed = {
  readonly id: string;
  readonly job: Pick<NewJob, "queueId" | "concurrencyKey" | "body" | "contentType">;
  /** The queue's expression. */
  readonly rateKey: string | null;
};

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
  `update rotor.jobs job set key_id = item.key_id, rate_key_id = item.rate_key_id, blocked_on = item.blocked_on
     from unnest($1::uuid[], $2::int[], $3::int[], $4::int[]) as item (id, key_id, rate_key_id, blocked_on)
    where job.id = item.id and job.state in ('waiting', 'pending_approval')`,
);

/** Binds jobs to their keys, the first one first. Answers those that wait for a rate limit. */
export async function bindKeys(t: Queryable, jobs: readonly Keyed[]): Promise<ReadonlySet<string>> {
  const late = new Set<string>();
  if (jobs.length === 0) return late;
  const queueIds = [...new Set(jobs.map(({ job }) => job.queueId))];
  void t.query(markQueues, [queueIds]);
  const [queues, askers] = await Promise.all([
    t.query<{ id: number; workspace: string }>(workspaces, [queueIds]),
    t.query<{ id: string; due: boolean; begun: boolean }>(asking, [jobs.map((each) => each.id)]),
  ]);
  const workspaceOf = new Map(queues.map((queue) => [queue.id, queue.workspace]));
  const asks = new Map(askers.map((row) => [row.id, row]));
  const named = jobs.map(({ id, job, rateKey }) => {
    const workspace = workspaceOf.get(job.queueId)!;
    const value = rateKey === null ? undefined : rateKeyOf(rateKey, job);
    const turn: KeyName | undefined =
      job.concurrencyKey === undefined ? undefined : { workspace, kind: "turn", queueId: 0, key: job.concurrencyKey };
    const rate: KeyName | undefined =
      value === undefined ? undefined : { workspace, kind: "rate", queueId: job.queueId, key: value };
    return { id, turn, rate };
  });
  const names = named.flatMap(({ turn, rate }) => [turn, rate].filter((name) => name !== undefined));
  const locked = await lockNamedKeys(t, names);
  const rooms = await roomsOf(t, locked);
  const ids = new Map(locked.map((key) => [nameOf(key), key.id]));
  /** What of each key is left for those that come now: none where others wait already. */
  const left = new Map([...rooms].map(([id, key]) => [id, key.blocks ? 0 : Math.max(0, key.room - key.waiting)]));
  const bound = named.map(({ id, turn, rate }) => {
    const keyId = turn === undefined ? null : ids.get(nameOf(turn))!;
    const rateKeyId = rate === undefined ? null : ids.get(nameOf(rate))!;
    const asked = asks.get(id);
    if (asked === undefined) return { id, keyId, rateKeyId, blockedOn: null };
    const needed = (asked.due ? [keyId, rateKeyId] : [keyId]).filter((key) => key !== null);
    const blockedOn = needed.find((key) => left.get(key)! <= 0) ?? null;
    if (blockedOn !== null && blockedOn === rateKeyId) late.add(id);
    // What waits for one key leaves the other to those behind it, unless it has begun: then its turn is its own.
    const has = blockedOn === null ? needed : needed.filter((key) => asked.begun && key === keyId && key !== blockedOn);
    for (const key of has) left.set(key, left.get(key)! - 1);
    return { id, keyId, rateKeyId, blockedOn };
  });
  const on = bound.flatMap((job) => (job.blockedOn === null ? [] : [{ on: job.blockedOn }]));
  countRates(t, locked, rooms, [], on);
  void t.query(bind, [
    bound.map((job) => job.id),
    bound.map((job) => job.keyId),
    bound.map((job) => job.rateKeyId),
    bound.map((job) => job.blockedOn),
  ]);
  return late;
}

const nameOf = (name: KeyName): string => JSON.stringify([name.workspace, name.kind, name.queueId, name.key]);
