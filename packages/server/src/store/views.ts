/**
 * What people read: jobs, runs, their deliveries and steps. `reason` and `until` are derived here from state, steps and
 * clock, for API, command line and dashboard alike.
 */
import type { State } from "../core/job.js";
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";

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
  readonly body: Buffer;
  readonly contentType: string;
  readonly tags: readonly string[] | null;
  readonly createdAt: Date;
  readonly runAt: Date;
  readonly finishedAt: Date | null;
  readonly eventId: string | null;
  readonly parentId: string | null;
  readonly replayOf: string | null;
  readonly output: string | null;
  /** JSON text of the last failure. */
  readonly error: string | null;
};

/** One query for one job, a list, a filter: optional conditions are null. Newest first. */
const jobs = sql(
  "views.jobs",
  `select job.id, payload.key, concurrency.key as "concurrencyKey", queue.workspace_id as workspace, queue.name as queue, queue.kind, job.state,
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
          job.attempt, coalesce(job.max_attempts, queue.max_attempts) as "maxAttempts", job.delivery, payload.body,
          payload.content_type as "contentType", payload.tags, payload.created_at as "createdAt", payload.run_at as "runAt",
          case when job.due_at is null then last.ended_at end as "finishedAt", payload.event_id as "eventId", job.parent_id as "parentId",
          payload.replay_of as "replayOf", case when job.state = 'completed' then last.output end as output,
          case when job.state <> 'completed' then last.error end as error
     from rotor.payloads payload
     join rotor.jobs job on job.id = payload.job_id
     join rotor.queues queue on queue.id = payload.queue_id
     left join rotor.keys concurrency on concurrency.id = job.key_id and concurrency.queue_id = 0
     left join rotor.keys blocker on blocker.id = job.blocked_on
     left join lateral (select kind from rotor.steps where job_id = job.id and state = 'waiting' order by due_at limit 1) wait on true
     left join lateral (select output, error, ended_at from rotor.deliveries where job_id = job.id order by delivery desc limit 1) last on true
    where queue.workspace_id = $1
      and ($2::text is null or queue.kind = $2)
      and ($3::text is null or queue.name = $3)
      and ($4::uuid is null or payload.job_id = $4)
      and ($5::text is null or payload.key = $5)
      and ($6::text is null or job.state = $6)
      and ($7::text is null or payload.tags @> array[$7])
      and ($8::uuid is null or payload.job_id < $8)
      and ($9::uuid is null or payload.event_id = $9)
      and ($11::uuid[] is null or payload.job_id = any($11))
    order by payload.job_id desc
    limit $10`,
);

export type JobFilter = {
  readonly kind?: "callback" | "function";
  readonly queue?: string;
  readonly id?: string;
  /** Only these. */
  readonly ids?: readonly string[];
  readonly key?: string;
  readonly state?: State;
  readonly tag?: string;
  /** Only those before this id: the cursor of a list. */
  readonly before?: string;
  readonly eventId?: string;
};

export const listJobs = (db: Queryable, workspace: string, filter: JobFilter, limit: number): Promise<JobView[]> =>
  db.query<JobView>(jobs, [
    workspace,
    filter.kind ?? null,
    filter.queue ?? null,
    filter.id ?? null,
    filter.key ?? null,
    filter.state ?? null,
    filter.tag ?? null,
    filter.before ?? null,
    filter.eventId ?? null,
    limit,
    filter.ids ?? null,
  ]);

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
};

const steps = sql(
  "views.steps",
  `select key, kind, state, attempt, seq, asked_at as "askedAt", due_at as "dueAt", ended_at as "endedAt", duration_ms as "durationMs", wait, event_id as "eventId", output, error
     from rotor.steps where job_id = $1 order by seq nulls last, asked_at, asked`,
);

export const listSteps = (db: Queryable, jobId: string): Promise<StepView[]> => db.query<StepView>(steps, [jobId]);

export type EventView = {
  readonly id: string;
  readonly key: string;
  readonly name: string;
  readonly data: string;
  readonly ts: Date;
  readonly tags: readonly string[] | null;
  /** Null: it is still to come. */
  readonly receivedAt: Date | null;
  /** When it is published, where that is still to come. */
  readonly dueAt: Date | null;
};

const events = sql(
  "views.events",
  `select id, key, name, data, ts, tags, nullif(received_at, 'infinity') as "receivedAt",
          case when received_at = 'infinity' then due_at end as "dueAt" from rotor.events
    where workspace_id = $1 and ($2::text is null or name = $2) and ($3::uuid is null or id = $3) and ($4::text is null or key = $4)
      and ($5::uuid is null or id < $5) and ($7::text is null or tags @> array[$7])
    order by id desc limit $6`,
);

export const listEvents = (
  db: Queryable,
  workspace: string,
  filter: {
    readonly name?: string;
    readonly id?: string;
    readonly key?: string;
    readonly tag?: string;
    readonly before?: string;
  },
  limit: number,
): Promise<EventView[]> =>
  db.query<EventView>(events, [
    workspace,
    filter.name ?? null,
    filter.id ?? null,
    filter.key ?? null,
    filter.before ?? null,
    limit,
    filter.tag ?? null,
  ]);

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
