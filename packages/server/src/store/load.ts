/** What a claimed job carries: read after the claim committed, so that what was written up to then is in it. */

import type { Backoff } from "../core/backoff.js";
import type { Breaker } from "../core/breaker.js";
import { hot, type Queryable } from "./db.js";
import { ONCE } from "./start-plan.js";

/** Everything that a delivery needs to know of its job. */
export type LoadedJob = {
  readonly jobId: string;
  readonly delivery: number;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly timeoutMs: number;
  readonly body: Buffer;
  readonly contentType: string;
  readonly runAt: Date;
  /** From being due to being claimed; null where it is not known. */
  readonly queuedMs: number | null;
  /** The job's own, sent as they are. */
  readonly headers: Readonly<Record<string, string>>;
  readonly eventId: string | null;
  readonly parentId: string | null;
  /** Others than its parent may wait for it: see `LogEntry`. */
  readonly shared: boolean;
  /** Of a run that gathered events by batch: those behind its first, as JSON texts with commas between them. */
  readonly batched: string | null;
  readonly queue: {
    readonly id: number;
    readonly workspace: string;
    readonly name: string;
    readonly kind: "callback" | "function";
    readonly url: string;
    /** With templates, as its URL. */
    readonly headers: Readonly<Record<string, string>>;
    readonly app: string | null;
    readonly appId: number | null;
    readonly appHash: string | null;
    readonly asyncTimeoutMs: number;
    readonly backoff: Backoff;
    readonly standardWebhooks: boolean;
    readonly trips: number;
    /** Of its endpoint in a row, where it has a breaker. */
    readonly failures: number;
    readonly breaker: Breaker | null;
    readonly strict: boolean;
    /** Made by Rotor itself: a webhook's queue. */
    readonly system: "webhook" | "inbox" | null;
  };
};

type Row = Omit<LoadedJob, "queue"> &
  Omit<LoadedJob["queue"], "id" | "headers"> & {
    readonly queueId: number;
    readonly queueHeaders: Readonly<Record<string, string>>;
  };

/** What a delivery needs of a job's queue, and of that one's app. */
export const QUEUE = `queue.id as "queueId", queue.workspace_id as workspace, queue.name, queue.kind, queue.url, app.name as app, app.id as "appId",
          app.hash as "appHash", queue.async_timeout_ms as "asyncTimeoutMs", queue.backoff,
          queue.standard_webhooks as "standardWebhooks", queue.trips,
          queue.failures, queue.breaker, queue.strict_concurrency as strict, queue.system`;

/** Of a run that gathered events: those behind its first. */
export const BATCHED = `(select string_agg(convert_from(body, 'UTF8'), ',' order by place) from rotor.batched where job_id = job.id)`;

/** Jobs that are still active with this delivery number; one that was cancelled since its claim is not among them. */
const jobs = hot(
  "load.jobs",
  `select job.id as "jobId", job.delivery, job.attempt, coalesce(job.max_attempts, queue.max_attempts) as "maxAttempts",
          coalesce(job.timeout_ms, queue.timeout_ms) as "timeoutMs", payload.body, payload.content_type as "contentType",
          payload.run_at as "runAt", coalesce(payload.headers, '{}') as headers, payload.event_id as "eventId",
          job.parent_id as "parentId", coalesce(starts_with(payload.key, $4), false) as shared,
          case when queue.kind = 'function' then ${BATCHED} end as batched,
          (extract(epoch from rotor.clock() - case when item.due_at is not null then greatest(item.due_at, payload.run_at) end) * 1000)::float8 as "queuedMs",
          ${QUEUE}, queue.headers as "queueHeaders"
     from unnest($1::uuid[], $2::int[], $3::timestamptz[]) as item (id, delivery, due_at)
     join rotor.jobs job on job.id = item.id and job.delivery = item.delivery and job.state = 'active'
     join rotor.payloads payload on payload.job_id = job.id
     join rotor.queues queue on queue.id = job.queue_id
     left join rotor.apps app on app.id = queue.app_id`,
);

export async function loadJobs(
  db: Queryable,
  taken: readonly { readonly jobId: string; readonly delivery: number; readonly dueAt?: Date }[],
): Promise<LoadedJob[]> {
  if (taken.length === 0) return [];
  const rows = await db.query<Row>(jobs, [
    taken.map((job) => job.jobId),
    taken.map((job) => job.delivery),
    taken.map((job) => job.dueAt?.toISOString() ?? null),
    ONCE,
  ]);
  return rows.map((row) => {
    const { jobId, delivery, attempt, maxAttempts, timeoutMs, body, contentType, runAt, queuedMs, headers, ...rest } =
      row;
    const { eventId, parentId, shared, batched, queueId, queueHeaders, ...queue } = rest;
    const job = { jobId, delivery, attempt, maxAttempts, timeoutMs, body, contentType, runAt, queuedMs, headers };
    return { ...job, eventId, parentId, shared, batched, queue: { ...queue, id: queueId, headers: queueHeaders } };
  });
}
