/**
 * The run of a function's `onFailure`: started in the commit in which a run of it fails, however it fails. One failure has
 * one: its key names the run and the delivery that failed. A run that handles a failure has no such run of its own.
 */
import { newId } from "../core/ids.js";
import { failedStepOf } from "../core/job.js";
import { type Queryable, sql } from "./db.js";
import { enqueue, type NewJob } from "./enqueue.js";
import type { LogEntry } from "./finish.js";

/** Name of the event that such a run has. */
const EVENT = "rotor/run.failed";

const KEY = "rotor:failure:";

const keyOf = (jobId: string, delivery: number): string => `${KEY}${jobId}:${delivery}`;

/** Of these jobs, those whose function names another for its failures; `queueId` is null where that one does not exist. */
const handlers = sql(
  "on-failure.handlers",
  `select job.id as "jobId", queue.name as function, queue.workspace_id as workspace, queue.starting ->> 'on_failure' as handler,
          handler.id as "queueId", payload.body, floor(extract(epoch from rotor.clock()) * 1000)::float8 as ts
     from rotor.jobs job
     join rotor.queues queue on queue.id = job.queue_id and queue.kind = 'function' and queue.starting ->> 'on_failure' is not null
     join rotor.payloads payload on payload.job_id = job.id and coalesce(payload.key, '') not like '${KEY}%'
     left join rotor.queues handler on handler.workspace_id = queue.workspace_id and handler.kind = 'function'
                                   and handler.name = queue.starting ->> 'on_failure'
    where job.id = any($1::uuid[])
    order by job.id`,
);

type Handler = {
  readonly jobId: string;
  readonly function: string;
  readonly workspace: string;
  readonly handler: string;
  readonly queueId: number | null;
  readonly body: Buffer;
  readonly ts: number;
};

/** Starts them, in the transaction in which these runs failed. Answers their ids. */
export async function startFailureRuns(t: Queryable, failed: readonly LogEntry[]): Promise<string[]> {
  const rows = await t.query<Handler>(handlers, [failed.map((entry) => entry.jobId)]);
  if (rows.length === 0) return [];
  const entries = new Map(failed.map((entry) => [entry.jobId, entry]));
  const jobs = rows.flatMap(({ queueId, ...row }): NewJob[] => {
    const { delivery, error } = entries.get(row.jobId)!;
    if (queueId === null) {
      t.warn?.(
        `The run ${row.jobId} of ${row.workspace}/${row.function} failed, and the function ${row.handler}, which is to be told of it, does not exist. Sync the app that serves it.`,
      );
      return [];
    }
    const id = newId();
    return [
      {
        id,
        queueId,
        key: keyOf(row.jobId, delivery),
        body: eventOf(id, row, error),
        contentType: "application/json",
        parentId: row.jobId,
      },
    ];
  });
  return (await enqueue(t, jobs)).map((job) => job.id);
}

/** The failed run's event and error stay as they were written. */
function eventOf(id: string, { jobId, function: name, body, ts }: Omit<Handler, "queueId">, error: string | null) {
  const data = `{"error":${error ?? "null"},"event":${body.toString("utf8")},"run_id":"${jobId}","function":${JSON.stringify(name)},"failed_step":${JSON.stringify(failedStepOf(error))}}`;
  return Buffer.from(`{"id":"${id}","name":"${EVENT}","data":${data},"ts":${ts}}`);
}

/** By the key, in the function that is named now: the index has the queue first. */
const failureRun = sql(
  "on-failure.run",
  `select payload.job_id as id
     from rotor.jobs job
     join rotor.queues queue on queue.id = job.queue_id
     join rotor.queues handler on handler.workspace_id = queue.workspace_id and handler.kind = 'function'
                              and handler.name = queue.starting ->> 'on_failure'
     join rotor.payloads payload on payload.queue_id = handler.id and payload.key = '${KEY}' || job.id || ':' || job.delivery
    where job.id = $1 and job.state = 'failed'`,
);

/** The run that was started for the failure in which this run stands; null where there is none. */
export const readFailureRun = async (db: Queryable, jobId: string): Promise<string | null> =>
  (await db.query<{ id: string }>(failureRun, [jobId]))[0]?.id ?? null;
