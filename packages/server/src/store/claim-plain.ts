/**
 * The claim of queues that nothing limits but their concurrency, with all that a delivery needs: in one round trip, since what
 * each statement needs of the one before it is left in settings of the transaction (`take.ts`). The rest is `claim.ts`'s.
 */
import { limits } from "../core/limits.js";
import { atOnce, type Db, hot, type Queryable, sql } from "./db.js";
import { type Floors, floorsOf, NO_FLOORS } from "./floors.js";
import { type History, loadResumed } from "./history.js";
import { BATCHED, type LoadedJob, QUEUE } from "./load.js";
import { endDueOfClaimed } from "./resume.js";
import { ONCE } from "./start-plan.js";
import { LOCKED, leave, PLAIN, ROOM_FROM, TAKE } from "./take.js";

/** Locks queues that no other node claims from at this moment, by a statement of its own: the next one counts. */
const lock = sql(
  "claim-plain.lock",
  `select ${leave("locked_queues", "string_agg(id::text, ',')")}
     from (select id from rotor.queues queue where id = any($1::int[]) and ${PLAIN} order by id for no key update skip locked) queue`,
);

/** As `claim.take`, and what a delivery needs of each job. Runs that had begun, or began with results, are left for what follows. */
const take = sql(
  "claim-plain.take",
  `with clock as materialized (select rotor.clock() as now),
   room as (${ROOM_FROM} and queue.id = any(${LOCKED})),
   due as (
     select job.id
       from room
      cross join lateral (
        select id from rotor.jobs
         where queue_id = room.id and state = 'waiting' and blocked_on is null and held_at is null
                and due_at >= room.due_from and due_at <= (select now from clock)
         order by due_at
         limit room.room
           for no key update skip locked) job
      limit $5
   ),
   taken as (
     update rotor.jobs job
        ${TAKE}
       from rotor.queues queue, clock
      where job.id = any (array(select id from due)) and job.state = 'waiting' and queue.id = job.queue_id
     returning job.id, job.queue_id, queue.kind, job.delivery, job.attempt, job.max_attempts, job.timeout_ms, job.parent_id,
               (select due_at from rotor.jobs where id = job.id) as since
   )
   select job.id as "jobId", job.queue_id as "queueId", job.delivery, job.attempt, job.max_attempts as "maxAttempts", job.timeout_ms as "timeoutMs",
          job.parent_id as "parentId", payload.body, payload.content_type as "contentType", payload.run_at as "runAt", payload.headers,
          payload.event_id as "eventId", coalesce(starts_with(payload.key, $6), false) as shared,
          case when job.kind = 'function' then ${BATCHED} end as batched,
          (extract(epoch from clock.now - greatest(job.since, payload.run_at)) * 1000)::float8 as "queuedMs",
          (select ${leave("resumed_runs", "string_agg(run.id::text, ',')")}
             from taken run join rotor.payloads began on began.job_id = run.id
            where run.kind = 'function' and (run.delivery > 1 or began.replay_of is not null)) as resumed
     from taken job join rotor.payloads payload on payload.job_id = job.id, clock`,
);

/**
 * Once for all jobs of a queue. Where it was claimed from floors: since when its first active job is so. Every other claim of it is
 * over, and each later one comes after this one by the clock, which may be set back a little.
 */
const queues = hot(
  "claim-plain.queues",
  `select ${QUEUE}, queue.headers, queue.max_attempts as "maxAttempts", queue.timeout_ms as "timeoutMs",
          case when $3 and floor.active > '-infinity' then (
            select greatest(floor.active, active_at - interval '2 seconds')::text from rotor.jobs
             where queue_id = queue.id and state = 'active' and active_at >= floor.active order by active_at limit 1) end as "activeFrom"
     from unnest($1::int[], $2::timestamptz[]) as floor (id, active)
    cross join lateral (select * from rotor.queues where id = floor.id limit 1) queue
     left join rotor.apps app on app.id = queue.app_id
    where queue.id = any(${LOCKED})`,
);

type Row = Omit<LoadedJob, "queue" | "maxAttempts" | "timeoutMs" | "headers"> & {
  readonly queueId: number;
  readonly maxAttempts: number | null;
  readonly timeoutMs: number | null;
  readonly headers: Readonly<Record<string, string>> | null;
};

type QueueRow = Omit<LoadedJob["queue"], "id"> & {
  readonly queueId: number;
  readonly maxAttempts: number;
  readonly timeoutMs: number;
  readonly activeFrom: string | null;
};

/** `histories` is undefined where they are to be read by themselves: they are large. */
export type Begun = {
  readonly jobs: readonly LoadedJob[];
  readonly histories: ReadonlyMap<string, History> | undefined;
  /** By queue, from where the next claim may count what is active: where this one began at a floor. */
  readonly activeFrom: ReadonlyMap<number, string>;
};

/** A claim to be sent. */
export type PlainClaim = {
  readonly nodeId: string;
  readonly queueIds: readonly number[];
  /** Of each queue at most so many. */
  readonly shares: readonly number[];
  /** In all at most so many. */
  readonly room: number;
  /** Runs may be among them: then their results are read as well, as far as they fit. */
  readonly functions: boolean;
  /** What results may weigh together. */
  readonly bytes: number;
  readonly floors?: Floors;
};

/** Claims due jobs, ready to be delivered. */
export const claimPlain = async (db: Db, asked: PlainClaim): Promise<Begun> =>
  (await atOnce(db, (t) => [claimAlong(t, asked)]))[0];

/** The same in a transaction that does something else before it: what it made due is claimed by its own commit. */
export async function claimAlong(t: Queryable, asked: PlainClaim): Promise<Begun> {
  const { nodeId, shares, room, functions, bytes, floors = NO_FLOORS } = asked;
  const ids = [...asked.queueIds];
  const [due, active] = floorsOf(floors, ids);
  const [, rows, known, , histories] = await Promise.all([
    t.query(lock, [ids]),
    t.query<Row>(take, [ids, [...shares], nodeId, limits.runTimeoutMs, room, ONCE, due, active]),
    t.query<QueueRow>(queues, [ids, active, floors !== NO_FLOORS]),
    ...(functions
      ? ([endDueOfClaimed(t), loadResumed(t, bytes)] as const)
      : ([undefined, new Map<string, History>()] as const)),
  ]);
  // One object for all jobs of a queue.
  const byId = new Map(known.map(({ queueId: id, activeFrom: _, ...queue }) => [id, { ...queue, id }]));
  return {
    jobs: rows.map((row) => {
      const queue = byId.get(row.queueId)!;
      // Member by member: for each job there is, and with a spread it takes V8 several times as long.
      return {
        jobId: row.jobId,
        queue,
        delivery: row.delivery,
        attempt: row.attempt,
        maxAttempts: row.maxAttempts ?? queue.maxAttempts,
        timeoutMs: row.timeoutMs ?? queue.timeoutMs,
        parentId: row.parentId,
        shared: row.shared,
        body: row.body,
        contentType: row.contentType,
        runAt: row.runAt,
        headers: row.headers ?? {},
        eventId: row.eventId,
        batched: row.batched,
        queuedMs: row.queuedMs,
      };
    }),
    histories,
    activeFrom: new Map(
      known.flatMap((queue) => (queue.activeFrom === null ? [] : [[queue.queueId, queue.activeFrom]])),
    ),
  };
}
