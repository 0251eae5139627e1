/** What the waits and children of a run need to know of it. It never changes, so it is read before their transaction. */
import type { MatchedEvent } from "../core/match.js";
import { type Queryable, sql } from "./db.js";

export type RunContext = {
  readonly jobId: string;
  readonly workspace: string;
  /**
   * Of a replay with results of an older run, that one's. As Postgres writes it: a `Date` would lose its microseconds.
   */
  readonly createdAt: string;
  /** The run's own event. */
  readonly trigger: MatchedEvent;
  /** Of the stored event that started it; null where none did. */
  readonly eventId: string | null;
  /** Trace context of whoever started it; null where none was given. */
  readonly traceparent: string | null;
};

const contexts = sql(
  "record.contexts",
  `select payload.job_id as "jobId", queue.workspace_id as workspace, coalesce(payload.history_from, payload.created_at)::text as "createdAt",
          convert_from(payload.body, 'UTF8') as body, payload.event_id as "eventId",
          payload.headers ->> 'traceparent' as traceparent,
          job.state = 'active' and job.delivery = item.delivery as live
     from unnest($1::uuid[], $2::int[]) as item (job_id, delivery)
     join rotor.payloads payload on payload.job_id = item.job_id
     join rotor.jobs job on job.id = item.job_id
     join rotor.queues queue on queue.id = payload.queue_id`,
);

/** The contexts of those runs whose delivery is not over: once its number has passed, it does not come back. */
export async function readContexts(
  db: Queryable,
  runs: readonly { readonly jobId: string; readonly delivery: number }[],
): Promise<RunContext[]> {
  const rows = await db.query<Omit<RunContext, "trigger"> & { body: string; live: boolean }>(contexts, [
    runs.map((run) => run.jobId),
    runs.map((run) => run.delivery),
  ]);
  return rows
    .filter((row) => row.live)
    .map(({ body, live: _, ...row }) => ({ ...row, trigger: JSON.parse(body) as MatchedEvent }));
}
