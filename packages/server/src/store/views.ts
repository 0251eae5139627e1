/**
 * What people read: jobs, runs, their deliveries and steps. `reason` and `until` are derived here from state, steps and
 * clock, for API, command line and dashboard alike.
 */
import { isId } from "../core/ids.js";
import type { State } from "../core/job.js";
import { limits } from "../core/limits.js";
import { hot, type Queryable, sql } from "./db.js";

/** Why an unfinished job does not move just now; null where it is finished or active. */
export type Reason =
  | "delayed"
  | "queued"
  | "retrying"
  | "sleeping"
  | "event"
  | "signal"
  | "child"
  | "rate_limited"
  | "key_blocked"
  | "paused"
  | "breaker"
  | "unreachable"
  | "held"
  | "no_url"
  | "approval";

export type JobView = {
  readonly id: string;
  readonly key: string | null;
  readonly concurrencyKey: string | null;
  readonly workspace: string;
  readonly queue: string;
  readonly kind: "callback" | "function";
  readonly state: State;
  readonly reason: Reason | null;
  /** What it waits for ends at the latest here. */
  readonly until: Date | null;
  /** It fails where it has not ended by then. */
  readonly deadlineAt: Date | null;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly delivery: number;
  /** Of one whose body was left out, as it is large, its first bytes. */
  readonly body: Buffer;
  readonly bodyOmitted: boolean;
  readonly contentType: string;
  readonly tags: readonly string[] | null;
  readonly createdAt: Date;
  readonly runAt: Date;
  readonly finishedAt: Date | null;
  readonly eventId: string | null;
  readonly parentId: string | null;
  readonly replayOf: string | null;
  /** Null also where it was left out. */
  readonly output: string | null;
  readonly outputOmitted: boolean;
  /** JSON text of the last failure. */
  readonly error: string | null;
};

/** Of a run's body: its event's id and name are within them, however they are escaped. */
const HEAD_BYTES = 3_000;

/** Of rows `job`, `payload`, `queue` and those of {@link BESIDE}; $1 is the most bytes of what is not left out, or null. */
const COLUMNS = `job.id, payload.key, concurrency.key as "concurrencyKey", queue.workspace_id as workspace, queue.name as queue, queue.kind, job.state,
          case
            when job.state = 'pending_approval' then 'approval'
            when job.state <> 'waiting' then null
            when job.held_at is not null then 'held'
            when queue.url is null then 'no_url'
            when queue.paused_at is not null then 'paused'
            when blocker.kind = 'turn' then 'key_blocked'
            when blocker.kind = 'rate' or (queue.rate_open_at > rotor.clock() and job.due_at <= rotor.clock()) then 'rate_limited'
            -- While its app is away and not only when it is next looked for; of a run that is due later anyway, that is not what it waits for.
            when queue.kind = 'function' and queue.trips > 0
                 and job.due_at <= greatest(queue.open_at, rotor.clock()) + interval '${limits.breakerMinMs} milliseconds' then 'unreachable'
            -- Of a job that is due later anyway, the breaker is not what it waits for.
            when queue.kind = 'callback' and queue.open_at > greatest(rotor.clock(), job.due_at) then 'breaker'
            when job.due_at <= rotor.clock() then 'queued'
            when wait.kind is not null then
              case wait.kind when 'sleep' then 'sleeping' when 'event' then 'event' when 'any' then 'event' when 'signal' then 'signal' when 'run' then 'retrying' else 'child' end
            when job.attempt > 0 then 'retrying'
            else 'delayed'
          end as reason,
          case when job.state not in ('waiting', 'pending_approval') then null
               else least(job.deadline_at,
                          case when blocker.kind = 'turn' then null
                               when blocker.kind = 'rate' then blocker.open_at
                               else greatest(job.due_at, nullif(queue.open_at, '-infinity'),
                                             case when job.due_at <= rotor.clock() then nullif(queue.rate_open_at, '-infinity') end) end) end as until,
          job.deadline_at as "deadlineAt",
          job.attempt, coalesce(job.max_attempts, queue.max_attempts) as "maxAttempts", job.delivery,
          case when octet_length(payload.body) > $1 then substr(payload.body, 1, ${HEAD_BYTES}) else payload.body end as body,
          coalesce(octet_length(payload.body) > $1, false) as "bodyOmitted", payload.content_type as "contentType", payload.tags, payload.created_at as "createdAt", payload.run_at as "runAt",
          case when job.due_at is null then last.ended_at end as "finishedAt", payload.event_id as "eventId", job.parent_id as "parentId",
          payload.replay_of as "replayOf", case when job.state = 'completed' and ($1::int is null or octet_length(last.output) <= $1) then last.output end as output,
          coalesce(job.state = 'completed' and octet_length(last.output) > $1, false) as "outputOmitted",
          case when job.state <> 'completed' then last.error end as error`;

/** What else is told of a job: its keys, what it waits for, how it last went. */
const BESIDE = `left join rotor.keys concurrency on concurrency.id = job.key_id and concurrency.queue_id = 0
     left join rotor.keys blocker on blocker.id = job.blocked_on
     left join lateral (select kind from rotor.steps where job_id = job.id and state = 'waiting' order by due_at limit 1) wait on true
     left join lateral (select output, error, ended_at from rotor.deliveries where job_id = job.id order by delivery desc limit 1) last on true`;

/** By one thing that names them: optional conditions are null. Newest first. */
const jobs = sql(
  "views.jobs",
  `select ${COLUMNS}
     from rotor.payloads payload
     join rotor.jobs job on job.id = payload.job_id
     join rotor.queues queue on queue.id = payload.queue_id
     ${BESIDE}
    where queue.workspace_id = $2
      and ($3::text is null or queue.kind = $3)
      and ($4::text is null or queue.name = $4)
      and ($5::text is null or payload.key = $5)
      and ($6::uuid is null or payload.event_id = $6)
    order by payload.job_id desc
    limit $7`,
);

/**
 * These, one by one: however many rows the tables have, so many are read, and by the same plan. To plan it anew for each
 * result that a caller waits for took ten times as long as running it.
 */
const jobsById = hot(
  "views.jobs-by-id",
  `select ${COLUMNS}
     from unnest($3::uuid[]) wanted (id)
    cross join lateral (select * from rotor.payloads where job_id = wanted.id limit 1) payload
    cross join lateral (select * from rotor.jobs where id = wanted.id limit 1) job
     join rotor.queues queue on queue.id = payload.queue_id
     ${BESIDE}
    where queue.workspace_id = $2 and ($4::text is null or job.state = $4)
    order by wanted.id desc`,
);

/** `id` is not combined with `key` or `eventId`. */
export type JobFilter = {
  readonly kind?: "callback" | "function";
  readonly queue?: string;
  readonly id?: string;
  readonly key?: string;
  readonly eventId?: string;
};

/** Jobs that one thing names. Which ones a list shows is found by `job-lists.ts`. */
export async function listJobs(
  db: Queryable,
  workspace: string,
  { kind, queue, id, key, eventId }: JobFilter,
  limit: number,
): Promise<JobView[]> {
  if (id === undefined)
    return db.query<JobView>(jobs, [null, workspace, kind ?? null, queue ?? null, key ?? null, eventId ?? null, limit]);
  const found = await readJobs(db, workspace, [id]);
  return found.filter((job) => (kind ?? job.kind) === job.kind && (queue ?? job.queue) === job.queue);
}

/**
 * Those of these jobs that are the workspace's, the newest first.
 * @param brief bodies and outputs of more bytes are left out; null: none is.
 * @param state only those that are in it still.
 */
export const readJobs = (
  db: Queryable,
  workspace: string,
  ids: readonly string[],
  brief: number | null = null,
  state: State | null = null,
): Promise<JobView[]> => db.query<JobView>(jobsById, [brief, workspace, [...ids], state]);

export type DeliveryView = {
  readonly delivery: number;
  readonly attempt: number;
  readonly outcome: string;
  readonly status: number | null;
  readonly endedAt: Date;
  readonly durationMs: number;
  readonly output: string | null;
  readonly error: string | null;
  /** JSON text of a `Detail` of `core/detail.ts`; null where there was no call, or it was given back. */
  readonly detail: string | null;
};

const deliveries = sql(
  "views.deliveries",
  `select delivery, attempt, outcome, status, ended_at as "endedAt", duration_ms as "durationMs", output, error, detail
     from rotor.deliveries where job_id = $1 order by delivery`,
);

export const listDeliveries = (db: Queryable, jobId: string): Promise<DeliveryView[]> =>
  db.query<DeliveryView>(deliveries, [jobId]);

export type StepView = {
  readonly key: string;
  readonly kind: string;
  readonly state: string;
  readonly attempt: number;
  readonly seq: string | null;
  readonly askedAt: Date | null;
  readonly dueAt: Date | null;
  readonly endedAt: Date | null;
  readonly durationMs: number | null;
  readonly wait: Readonly<Record<string, unknown>> | null;
  readonly eventId: string | null;
  readonly output: string | null;
  readonly error: string | null;
  /** A JSON text each: `at`, `attempt`, `duration_ms`, `error`. */
  readonly failures: readonly string[] | null;
};

const steps = sql(
  "views.steps",
  `select key, kind, state, attempt, seq, asked_at as "askedAt", due_at as "dueAt", ended_at as "endedAt", duration_ms as "durationMs", wait, event_id as "eventId", output, error, failures
     from rotor.steps where job_id = $1 order by seq nulls last, asked_at, asked`,
);

export const listSteps = (db: Queryable, jobId: string): Promise<StepView[]> => db.query<StepView>(steps, [jobId]);

export type EventView = {
  readonly id: string;
  readonly key: string;
  readonly name: string;
  /** JSON text; of one that is left out as it is large, null's. */
  readonly data: string;
  readonly dataOmitted: boolean;
  readonly ts: Date;
  readonly tags: readonly string[] | null;
  /** Null: it is still to come. */
  readonly receivedAt: Date | null;
  /** When it is published, where that is still to come. */
  readonly dueAt: Date | null;
};

const EVENT = `id, key, name, case when $3::int is null or octet_length(data) <= $3 then data else 'null' end as data,
          coalesce(octet_length(data) > $3, false) as "dataOmitted", ts, tags, nullif(received_at, 'infinity') as "receivedAt",
          case when received_at = 'infinity' then due_at end as "dueAt"`;

const eventsById = sql(
  "views.events-by-id",
  `select ${EVENT} from rotor.events where workspace_id = $1 and id = any($2::uuid[])`,
);
const eventByKey = sql("views.event-by-key", `select ${EVENT} from rotor.events where workspace_id = $1 and key = $2`);

/** An event by its sender's id, or by ours. */
export const findEvent = async (db: Queryable, workspace: string, id: string): Promise<EventView | undefined> =>
  (await db.query<EventView>(eventByKey, [workspace, id, null]))[0] ??
  (isId(id) ? (await readEvents(db, workspace, [id], null))[0] : undefined);

/** Those of these events that are the workspace's, in the order of the ids. */
export async function readEvents(
  db: Queryable,
  workspace: string,
  ids: readonly string[],
  brief: number | null,
): Promise<EventView[]> {
  const rows = await db.query<EventView>(eventsById, [workspace, [...ids], brief]);
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.flatMap((id) => byId.get(id) ?? []);
}

const resumed = sql(
  "views.resumed",
  `select job_id as "jobId", key from rotor.steps where event_id = $1 order by job_id, key limit 1000`,
);

/** The waits that an event ended. */
export const listResumed = (db: Queryable, eventId: string): Promise<{ jobId: string; key: string }[]> =>
  db.query(resumed, [eventId]);

const cancelled = sql(
  "views.cancelled",
  `select job_id as "jobId" from rotor.cancellations where event_id = $1 order by job_id limit 1000`,
);

/** The runs that an event cancelled. */
export const listCancelled = (db: Queryable, eventId: string): Promise<{ jobId: string }[]> =>
  db.query(cancelled, [eventId]);

const owner = sql(
  "views.owner",
  `select job.parent_id as "parentId", job.state, job.attempt, job.delivery, coalesce(job.max_attempts, queue.max_attempts) as "maxAttempts", queue.backoff
     from rotor.jobs job join rotor.queues queue on queue.id = job.queue_id where job.id = $1`,
);

export type HeldJob = {
  readonly parentId: string | null;
  readonly state: State;
  readonly attempt: number;
  readonly delivery: number;
  readonly maxAttempts: number;
  readonly backoff: import("../core/backoff.js").Backoff;
};

/** What settling an accepted job needs, when its endpoint reports back. */
export const readHeldJob = async (db: Queryable, jobId: string): Promise<HeldJob | undefined> =>
  (await db.query<HeldJob>(owner, [jobId]))[0];
