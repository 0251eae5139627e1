/**
 * Work whose holder is gone. orphaned: its node's lease ran out; the attempt is given back. expired: past its limit,
 * whoever holds it; the attempt counts. And what a node holds by the database but not in memory: released.
 */

import type { Backoff } from "../core/backoff.js";
import { type Policy, retryOrFail } from "../core/job.js";
import { limits } from "../core/limits.js";
import { exist, lockFree } from "./checkpoint.js";
import { type Db, type Queryable, sql } from "./db.js";
import { type LogEntry, logEnds, sharedAmong } from "./finish.js";
import { grantTurns, type HasKeys, KEYS_OF } from "./keys.js";
import { linger } from "./slots.js";

/** One dead node; its row is locked, and deleted in the transaction that gives its jobs back. */
const dead = sql(
  "rescue.dead",
  "select id from rotor.nodes where lease_until <= rotor.clock() order by lease_until limit 1 for update skip locked",
);

const held = sql(
  "rescue.held",
  `select id, parent_id as "parentId" from rotor.jobs where state = 'active' and node_id = $1 order by id limit $2`,
);

/** Active rows whose node has no row: cannot be, unless somebody deleted it by hand. Mended all the same. */
const forsaken = sql(
  "rescue.forsaken",
  `select distinct node_id as id from rotor.jobs
    where state = 'active' and node_id is not null and not exists (select 1 from rotor.nodes where nodes.id = jobs.node_id)`,
);

/** Due now, the attempt given back; at the sixth rescue in a row the job itself is the likely killer, and fails. */
const orphan = sql(
  "rescue.orphan",
  `update rotor.jobs job
      set state = case when job.rescues >= $2 then 'failed' else 'waiting' end,
          due_at = case when job.rescues >= $2 then null else rotor.clock() end,
          attempt = greatest(job.attempt - 1, 0), rescues = job.rescues + 1, node_id = null, woken = false
    where job.id = any($1::uuid[]) and (job.state || '') = 'active' and job.node_id = $3
   returning job.id as "jobId", job.delivery, job.attempt, job.state, job.parent_id as "parentId", ${KEYS_OF}`,
);

const removeNode = sql("rescue.remove", "delete from rotor.nodes where id = $1");

type Moved = HasKeys & {
  readonly jobId: string;
  readonly delivery: number;
  readonly attempt: number;
  readonly state: "waiting" | "failed";
  readonly parentId: string | null;
};

/** Rows given back in one transaction. */
const BATCH = 1_000;

/**
 * Gives a dead node's jobs back, in bounded steps; its row goes with the last. Answers how many; undefined: there is
 * nothing to do just now.
 */
export async function rescueDead(db: Db): Promise<number | undefined> {
  return db.transact(async (t) => {
    const [node] = await t.query<{ id: string }>(dead);
    const [lost] = node === undefined ? await t.query<{ id: string }>(forsaken) : [];
    const nodeId = node?.id ?? lost?.id;
    if (nodeId === undefined) return undefined;
    const rows = await t.query<{ id: string; parentId: string | null }>(held, [nodeId, BATCH]);
    const free = await lockWhole(t, rows);
    void t.query(linger, [free.map((row) => row.id), limits.expiryGraceMs]);
    const moved = await t.query<Moved>(orphan, [free.map((row) => row.id), limits.rescues, nodeId]);
    const error = JSON.stringify({ name: "OrphanedError", message: "The node that delivered it died." });
    await logMoved(t, moved, "orphaned", () => error);
    // Its row stays while one of its jobs is in other hands: whoever looks next goes on.
    const all = free.length === rows.length && rows.length < BATCH;
    if (all) await t.query(removeNode, [nodeId]);
    await grantTurns(t, moved);
    return all || moved.length > 0 ? moved.length : undefined;
  });
}

/** Locks jobs and their parents where nobody else holds them; answers those that are locked whole. */
export async function lockWhole<Row extends { id: string; parentId: string | null }>(
  t: Queryable,
  rows: readonly Row[],
): Promise<Row[]> {
  const ids = [...new Set(rows.flatMap((row) => (row.parentId === null ? [row.id] : [row.id, row.parentId])))];
  const locked = new Set((await t.query<{ id: string }>(lockFree, [ids])).map((row) => row.id));
  const missing = ids.filter((id) => !locked.has(id));
  // A parent that was pruned has no row to lock, and nothing that could wait.
  const busy = new Set(
    missing.length === 0 ? [] : (await t.query<{ id: string }>(exist, [missing])).map((row) => row.id),
  );
  return rows.filter((row) => !busy.has(row.id) && (row.parentId === null || !busy.has(row.parentId)));
}

async function logMoved(
  t: Queryable,
  moved: readonly Moved[],
  outcome: "orphaned" | "expired",
  error: (job: Moved) => string,
): Promise<void> {
  const failed = moved.filter((job) => job.state === "failed").map((job) => job.jobId);
  const shared = await sharedAmong(t, failed);
  await logEnds(
    t,
    moved.map(
      (job): LogEntry => ({
        jobId: job.jobId,
        delivery: job.delivery,
        attempt: job.attempt,
        outcome,
        state: job.state,
        status: null,
        durationMs: 0,
        output: null,
        error: error(job),
        shared: shared.has(job.jobId),
      }),
    ),
    new Map(moved.flatMap((job) => (job.parentId === null ? [] : [[job.jobId, job.parentId] as const]))),
  );
}

const overdue = sql(
  "rescue.overdue",
  `select job.id, job.delivery, job.attempt, job.parent_id as "parentId", coalesce(job.max_attempts, queue.max_attempts) as "maxAttempts", queue.backoff
     from rotor.jobs job join rotor.queues queue on queue.id = job.queue_id
    where job.state = 'active' and job.due_at < rotor.clock() - $1 * interval '1 millisecond'
    order by job.id limit $2`,
);

/** Takes an overdue job from its holder; a sign of life that came meanwhile has moved its limit, and it stays. */
const expire = sql(
  "rescue.expire",
  `update rotor.jobs job
      set state = item.state, due_at = rotor.clock() + item.delay_ms * interval '1 millisecond', node_id = null, woken = false
     from unnest($1::uuid[], $2::int[], $3::text[], $4::float8[]) as item (id, delivery, state, delay_ms)
    where job.id = item.id and job.delivery = item.delivery and (job.state || '') = 'active'
      and job.due_at < rotor.clock() - $5 * interval '1 millisecond'
   returning job.id as "jobId", job.delivery, job.attempt, job.state, job.parent_id as "parentId", ${KEYS_OF}`,
);

type Overdue = {
  readonly id: string;
  readonly delivery: number;
  readonly attempt: number;
  readonly parentId: string | null;
  readonly maxAttempts: number;
  readonly backoff: Backoff;
};

/** Ends deliveries that outlived their limit. Answers how many. */
export async function expireOverdue(db: Db, random: () => number): Promise<number> {
  return db.transact(async (t) => {
    const rows = await t.query<Overdue>(overdue, [limits.expiryGraceMs, BATCH]);
    if (rows.length === 0) return 0;
    const free = await lockWhole(t, rows);
    const error = { name: "TimeoutError", message: "Nothing was heard of this delivery within its time limit." };
    const decided = free.map((row) => {
      const policy: Policy = { maxAttempts: row.maxAttempts, backoff: row.backoff };
      return { row, outcome: retryOrFail(row.attempt, error, undefined, policy, random()) };
    });
    const moved = await t.query<Moved>(expire, [
      decided.map(({ row }) => row.id),
      decided.map(({ row }) => row.delivery),
      decided.map(({ outcome }) => outcome.state),
      decided.map(({ outcome }) => outcome.delayMs),
      limits.expiryGraceMs,
    ]);
    await logMoved(t, moved, "expired", () => JSON.stringify(error));
    await grantTurns(t, moved);
    return moved.length;
  });
}

const mine = sql(
  "rescue.mine",
  `select id as "jobId", delivery from rotor.jobs where state = 'active' and node_id = $1`,
);

/** What the database says this node holds. */
export const heldBy = (db: Queryable, nodeId: string): Promise<{ jobId: string; delivery: number }[]> =>
  db.query(mine, [nodeId]);

const releaseAll = sql(
  "rescue.release",
  `update rotor.jobs job
      set state = 'waiting', due_at = rotor.clock(), attempt = greatest(job.attempt - 1, 0), node_id = null, woken = false
     from unnest($1::uuid[], $2::int[]) as item (id, delivery)
    where job.id = item.id and job.delivery = item.delivery and (job.state || '') = 'active'
   returning job.id, ${KEYS_OF}`,
);

/**
 * release: active → waiting, now, the attempt given back; for claims that were not posted. Answers how many; what is in
 * other hands stays until the next time.
 */
export async function release(
  db: Db,
  jobs: readonly { readonly jobId: string; readonly delivery: number }[],
): Promise<number> {
  if (jobs.length === 0) return 0;
  return db.transact(async (t) => {
    const locked = new Set(
      (await t.query<{ id: string }>(lockFree, [jobs.map((job) => job.jobId)])).map((row) => row.id),
    );
    const free = jobs.filter((job) => locked.has(job.jobId));
    // Whether it was posted is not known here.
    void t.query(linger, [free.map((job) => job.jobId), limits.expiryGraceMs]);
    const moved = await t.query<HasKeys>(releaseAll, [free.map((job) => job.jobId), free.map((job) => job.delivery)]);
    await grantTurns(t, moved);
    return moved.length;
  });
}

const renewOne = sql(
  "rescue.renew-accepted",
  `update rotor.jobs job set due_at = rotor.clock() + queue.async_timeout_ms * interval '1 millisecond'
     from rotor.queues queue
    where job.id = $1 and job.delivery = $2 and (job.state || '') = 'active' and queue.id = job.queue_id
   returning job.id`,
);

/** A heartbeat of an accepted job: its limit begins anew. False: it is another's, or finished. */
export const renewAccepted = async (db: Queryable, jobId: string, delivery: number): Promise<boolean> =>
  (await db.query(renewOne, [jobId, delivery])).length > 0;
