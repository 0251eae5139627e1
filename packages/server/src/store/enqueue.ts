/**
 * enqueue: → waiting, or pending_approval. One statement for any number of jobs; what came before under the same key
 * answers in place of what is not inserted.
 */
import type { State } from "../core/job.js";
import { limits } from "../core/limits.js";
import { turnKeys } from "../core/turns.js";
import { bindKeys, type Keyed } from "./bind-keys.js";
import { replaceWaiting } from "./change.js";
import { type Begun, claimAlong, type PlainClaim } from "./claim-plain.js";
import { atOnce, type Db, hot, type Queryable, sparse, sql } from "./db.js";
import { tellApprovals } from "./tell.js";

/** A job to be. `id` is ours; `key` is the client's, unique in its queue. */
export type NewJob = {
  readonly id: string;
  readonly queueId: number;
  readonly key: string | null;
  readonly body: Buffer;
  readonly contentType: string;
  /** From now; ignored where `runAt` is given. */
  readonly delayMs?: number;
  /** A date that the user wrote, ISO 8601. */
  readonly runAt?: string;
  /** Seconds of head start; only for a job that is due now. */
  readonly priority?: number;
  readonly maxAttempts?: number;
  readonly timeoutMs?: number;
  /** All of it: from its due time on, whatever it waits for. A job that has not ended by then fails. */
  readonly deadlineMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly tags?: readonly string[];
  /** Jobs of one key take turns, over all queues of the workspace. */
  readonly concurrencyKey?: string;
  /** `strict`: others of its key wait while it is between two attempts, too. Default `started`. */
  readonly keyOrder?: "started" | "strict";
  /**
   * Of a run, in place of a `concurrencyKey`: values of its function's keys, at most two, in the order of the function's list,
   * by which those are told apart that are not strict. `limit` runs of one value may be active at a time. `strict`, of one of
   * them at most: a run keeps its turn from its first delivery to its end, asleep too.
   */
  readonly functionKeys?: readonly { readonly key: string; readonly limit: number; readonly strict?: boolean }[];
  /** A job under the same key that waits takes this one's place: its payload, its due time, its options. */
  readonly replaces?: boolean;
  /** The run that started it. */
  readonly parentId?: string;
  readonly eventId?: string;
  readonly replayOf?: string;
};

export type Enqueued = {
  readonly id: string;
  readonly state: State;
  readonly duplicate: boolean;
  /** The first job under this key has another payload. */
  readonly payloadDiffers: boolean;
  /** The first job under this key waited, and is now what was sent. */
  readonly replaced: boolean;
  /** It has to wait for a rate limit that opens by time. */
  readonly blocked: boolean;
  /** Nobody need look for it: its queue was paused or without an address, or it was claimed by the same commit. */
  readonly idle: boolean;
};

/** What most jobs are. */
const JSON_TYPE = "application/json";

/**
 * Inserts payload and job together, unless the key is taken in this queue. A racer's insert waits for the other's commit;
 * who then loses is answered by the statement after this one, whose snapshot sees the winner. In the order of the keys,
 * so that two batches with the same ones do not wait for each other. What is due now is due in the order of the batch, by
 * microseconds. A repetition, after the reply to a commit was lost, finds its own row. With `$19` only what needs nothing
 * beside its rows: of queues without a rate key or approvals.
 */
const insert = hot(
  "enqueue.insert",
  `with clock as materialized (select rotor.clock() as now),
   item as (
     select item.*
       from unnest($1::uuid[], $2::int[], $3::text[], $4::bytea[], $5::text[], $6::float8[], $7::timestamptz[], $8::int[],
                   $9::int[], $10::int[], $11::text[], $12::text[], $13::uuid[], $14::uuid[], $15::uuid[], $16::bool[], $18::float8[]) with ordinality
              as item (id, queue_id, key, body, content_type, delay_ms, run_at, priority, max_attempts, timeout_ms, headers, tags, parent_id, event_id, replay_of, keeps_turn, deadline_ms, place)
      where not $19::bool or item.queue_id in (select id from rotor.queues where id = any($2::int[]) and rate_key is null and not approval_required)
   ),
   kept as (
     insert into rotor.payloads (job_id, queue_id, key, body, content_type, created_at, run_at, headers, tags, event_id, replay_of, deadline_ms)
     select item.id, item.queue_id, item.key, item.body, coalesce(item.content_type, '${JSON_TYPE}'), clock.now,
            coalesce(item.run_at, clock.now + coalesce(item.delay_ms, 0) * interval '1 millisecond'),
            item.headers::jsonb, case when item.tags is null then '{}' else array(select jsonb_array_elements_text(item.tags::jsonb)) end, item.event_id, item.replay_of, item.deadline_ms
       from item, clock
      order by item.queue_id, item.key, item.id
     on conflict do nothing
     returning job_id, run_at
   ),
   made as (
     insert into rotor.jobs (id, queue_id, parent_id, state, due_at, max_attempts, timeout_ms, keeps_turn, deadline_at)
     select item.id, item.queue_id, item.parent_id,
            case when queue.approval_required then 'pending_approval' else 'waiting' end,
            case when queue.approval_required then clock.now + queue.approval_timeout_ms * interval '1 millisecond'
                 when kept.run_at <= clock.now then clock.now - coalesce(item.priority, 0) * interval '1 second' - greatest(0, $17 - item.place) * interval '1 microsecond'
                 else kept.run_at end,
            item.max_attempts, item.timeout_ms, coalesce(item.keeps_turn, false), greatest(kept.run_at, clock.now) + item.deadline_ms * interval '1 millisecond'
       from kept join item on item.id = kept.job_id join rotor.queues queue on queue.id = item.queue_id, clock
     returning id, queue_id, state
   )
   select made.id, made.state, queue.rate_key as "rateKey", queue.paused_at is not null or queue.url is null as idle
     from made join rotor.queues queue on queue.id = made.queue_id`,
);

/** The first jobs under these keys; without one, the job itself. */
const known = sql(
  "enqueue.known",
  `select item.id as asked, payload.job_id as id, job.state, payload.body is distinct from item.body as differs
     from unnest($1::uuid[], $2::int[], $3::text[], $4::bytea[]) as item (id, queue_id, key, body)
    cross join lateral (
      select job_id, body from rotor.payloads where queue_id = item.queue_id and key = item.key
      union all
      select job_id, body from rotor.payloads where item.key is null and job_id = item.id
    ) payload
     join rotor.jobs job on job.id = payload.job_id`,
);

const insertAll = (t: Queryable, jobs: readonly NewJob[], plain = false) =>
  t.query<{ id: string; state: State; rateKey: string | null; idle: boolean }>(insert, [
    jobs.map((job) => job.id),
    jobs.map((job) => job.queueId),
    sparse(jobs, (job) => job.key),
    jobs.map((job) => job.body),
    sparse(jobs, (job) => (job.contentType === JSON_TYPE ? null : job.contentType)),
    sparse(jobs, (job) => job.delayMs || null),
    sparse(jobs, (job) => job.runAt),
    sparse(jobs, (job) => job.priority || null),
    sparse(jobs, (job) => job.maxAttempts),
    sparse(jobs, (job) => job.timeoutMs),
    sparse(jobs, (job) => (job.headers ? JSON.stringify(job.headers) : null)),
    sparse(jobs, (job) => (job.tags?.length ? JSON.stringify(job.tags) : null)),
    sparse(jobs, (job) => job.parentId),
    sparse(jobs, (job) => job.eventId),
    sparse(jobs, (job) => job.replayOf),
    sparse(jobs, (job) => turnKeys(job).strict || null),
    limits.batch,
    sparse(jobs, (job) => job.deadlineMs),
    plain,
  ]);

/**
 * Enqueues jobs that have nothing to do with each other: each is there or not by itself. Those that need no more than their
 * rows are one statement, a transaction by itself, or with the claim that comes along; what is left, which came before under
 * its key or is limited by one, goes the way of all (`enqueue`). Answers in order.
 */
export async function enqueueEach(db: Db, jobs: readonly NewJob[], claim?: PlainClaim): Promise<EnqueuedEach> {
  const apt = jobs.filter(isApt);
  const [inserted, begun] = apt.length === 0 ? [[]] : await insertEach(db, apt, claim);
  const made = new Map(inserted.map((row) => [row.id, row]));
  const claimed = new Set(begun?.jobs.map((job) => job.jobId));
  const others = jobs.filter((job) => !made.has(job.id));
  const rest = others.length === 0 ? [] : await db.transact((t) => enqueue(t, others), "hot");
  const enqueued = jobs.map((job) => {
    const row = made.get(job.id);
    return row === undefined ? rest.shift()! : fresh(job.id, row.state, false, row.idle || claimed.has(job.id));
  });
  return { enqueued, begun };
}

/** Needs no more than its rows, as far as it says itself. */
const isApt = (job: NewJob): boolean => !job.replaces && turnKeys(job).keys.length === 0;

/**
 * Enqueues jobs of one queue, all or none. Where each needs no more than its rows, the one statement is the transaction: what it does not
 * insert was there before, or, where the queue asks for more, is all of them. Answers in order.
 */
export const enqueueAll = async (db: Db, jobs: readonly NewJob[]): Promise<readonly Enqueued[]> =>
  jobs.every((job) => isApt(job) && job.queueId === jobs[0]!.queueId)
    ? (await enqueueEach(db, jobs)).enqueued
    : db.transact((t) => enqueue(t, jobs), "hot");

/** `begun` is what the claim took: jobs of these, or of those that were due before them. */
export type EnqueuedEach = { readonly enqueued: readonly Enqueued[]; readonly begun: Begun | undefined };

const insertEach = async (db: Db, jobs: readonly NewJob[], claim?: PlainClaim) =>
  claim === undefined
    ? ([await insertAll(db, jobs, true)] as const)
    : atOnce(db, (t) => [insertAll(t, jobs, true), claimAlong(t, claim)]);

const fresh = (id: string, state: State, blocked: boolean, idle = false): Enqueued => ({
  id,
  state,
  duplicate: false,
  payloadDiffers: false,
  replaced: false,
  blocked,
  idle,
});

/** Enqueues in the caller's transaction. Answers in order; an id that is in no queue any more is an error. */
export async function enqueue(t: Queryable, jobs: readonly NewJob[]): Promise<Enqueued[]> {
  if (jobs.length === 0) return [];
  const inserted = await insertAll(t, jobs);
  const made = new Map(inserted.map((row) => [row.id, row.state]));
  const others = jobs.filter((job) => !made.has(job.id));
  const first = new Map<string, { id: string; state: State; differs: boolean }>();
  if (others.length > 0) {
    const rows = await t.query<{ asked: string; id: string; state: State; differs: boolean }>(known, [
      others.map((job) => job.id),
      others.map((job) => job.queueId),
      others.map((job) => job.key),
      others.map((job) => job.body),
    ]);
    for (const row of rows) first.set(row.asked, row);
    // The first job under a key may have been pruned between the two statements: then the key is free.
    const free = others.filter((job) => !first.has(job.id));
    if (free.length > 0) inserted.push(...(await insertAll(t, free)));
    for (const row of inserted) made.set(row.id, row.state);
  }
  const pending = inserted.filter(({ state }) => state === "pending_approval").map(({ id }) => id);
  await tellApprovals(t, "pending", pending);
  const replaced = await replaceWaiting(
    t,
    others.flatMap((job) => {
      const other = first.get(job.id);
      return job.replaces && other !== undefined && other.id !== job.id ? [{ job, id: other.id }] : [];
    }),
  );
  const rateKeys = new Map(inserted.map((row) => [row.id, row.rateKey]));
  const keyed: Keyed[] = jobs.flatMap((job) => {
    const target = made.has(job.id) ? job.id : replaced.get(job.id)?.id;
    if (target === undefined) return [];
    const rateKey = replaced.get(job.id)?.rateKey ?? rateKeys.get(job.id) ?? null;
    const turns = turnKeys(job).keys;
    return turns.length === 0 && rateKey === null ? [] : [{ id: target, job, turns, rateKey }];
  });
  // A job may have been inserted and replaced in one batch: what came last counts.
  const { late: blocked } = await bindKeys(t, [...new Map(keyed.map((each) => [each.id, each])).values()]);
  return jobs.map((job) => {
    const state = made.get(job.id);
    if (state !== undefined) return fresh(job.id, state, blocked.has(job.id));
    const other = first.get(job.id);
    if (other === undefined) throw new Error(`Queue ${job.queueId} is gone.`);
    const now = replaced.get(job.id);
    return {
      id: other.id,
      state: now?.state ?? other.state,
      duplicate: other.id !== job.id,
      payloadDiffers: now === undefined && other.differs,
      replaced: now !== undefined,
      blocked: blocked.has(other.id),
      idle: false,
    };
  });
}
