/**
 * claim: waiting → active. Due jobs of queues that are open and have room, for one node. The queue row is locked by a
 * statement of its own, so that the one which counts sees every claim before it.
 */
import { limits } from "../core/limits.js";
import { type Db, type Queryable, sql } from "./db.js";
import { endDueWaits } from "./resume.js";

/** A queue with something due, now or later. */
export type Due = { readonly queueId: number; readonly kind: "callback" | "function"; readonly dueInMs: number };

/** For each queue that may be visited, when its first job is due; the most urgent first. */
const look = sql(
  "claim.look",
  `select queue.id as "queueId", queue.kind,
          (extract(epoch from greatest(first.due_at, queue.open_at) - rotor.clock()) * 1000)::float8 as "dueInMs"
     from rotor.queues queue
    cross join lateral (select due_at from rotor.jobs where queue_id = queue.id and state = 'waiting' order by due_at limit 1) first
    where queue.paused_at is null and queue.url is not null
    order by greatest(first.due_at, queue.open_at)
    limit $1`,
);

export const lookForDue = (db: Queryable): Promise<Due[]> => db.query<Due>(look, [limits.queuesPerLook]);

/** Locks queues that no other node claims from at this moment; theirs are visited by them. */
const lockQueues = sql(
  "claim.lock",
  "select id from rotor.queues where id = any($1::int[]) order by id for no key update skip locked",
);

/**
 * Takes due jobs, of each queue at most its room and the cap. Counts active rows under the queue's lock: nothing is
 * stored that could leak. The array keeps the planner from joining its way through the table.
 */
const take = sql(
  "claim.take",
  `with clock as materialized (select rotor.clock() as now),
   room as (
     select queue.id, least($2::int, coalesce(queue.concurrency - active.count, $2::int)) as room
       from clock, rotor.queues queue
      cross join lateral (select count(*)::int as count from rotor.jobs where queue_id = queue.id and state = 'active') active
      where queue.id = any($1::int[]) and queue.open_at <= clock.now and queue.paused_at is null and queue.url is not null
   ),
   due as (
     select job.id
       from room
      cross join lateral (
        select id from rotor.jobs
         where queue_id = room.id and state = 'waiting' and held_at is null and due_at <= (select now from clock)
         order by due_at
         limit greatest(room.room, 0)
           for no key update skip locked) job
      limit $4
   )
   update rotor.jobs job
      set state = 'active', attempt = job.attempt + 1, delivery = job.delivery + 1, woken = false, node_id = $3,
          due_at = clock.now + case when queue.kind = 'function' then $5::int else coalesce(job.timeout_ms, queue.timeout_ms) end * interval '1 millisecond'
     from rotor.queues queue, clock
    where job.id = any (array(select id from due)) and job.state = 'waiting' and queue.id = job.queue_id
   returning job.id as "jobId", job.queue_id as "queueId", queue.kind, job.delivery`,
);

export type Taken = {
  readonly jobId: string;
  readonly queueId: number;
  readonly kind: "callback" | "function";
  readonly delivery: number;
};

/** Claims up to `room` jobs from these queues. Due waits of the claimed runs are recorded as ended in the same commit. */
export async function claim(db: Db, nodeId: string, queueIds: readonly number[], room: number): Promise<Taken[]> {
  return db.transact(async (t) => {
    const locked = await t.query<{ id: number }>(lockQueues, [[...queueIds]]);
    if (locked.length === 0) return [];
    const cap = Math.max(1, Math.min(limits.claim, Math.ceil(room / locked.length)));
    const taken = await t.query<Taken>(take, [locked.map((row) => row.id), cap, nodeId, room, limits.runTimeoutMs]);
    await endDueWaits(
      t,
      taken.filter((job) => job.kind === "function").map((job) => job.jobId),
    );
    return taken;
  });
}
