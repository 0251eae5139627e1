/**
 * Children of a run: the runs and jobs that its `invoke` and `enqueue` steps start. Enqueued in the transaction that
 * stores the step, so that none can end before its parent waits for it.
 */
import type { EnqueueReport, InvokeReport, Report, WireError } from "@rotorsh/sdk/protocol";
import { newId } from "../core/ids.js";
import { spanOf } from "../core/trace.js";
import { type Queryable, sql } from "./db.js";
import { enqueue, type NewJob } from "./enqueue.js";
import type { RunContext } from "./run-context.js";

const queueIds = sql(
  "record.queues",
  `select queue.id, queue.kind, queue.name, queue.workspace_id as workspace
     from unnest($1::text[], $2::text[], $3::text[]) as item (workspace, kind, name)
     join rotor.queues queue on queue.workspace_id = item.workspace and queue.kind = item.kind and queue.name = item.name and queue.system is null`,
);

export type Child = { readonly id: string; readonly duplicate: boolean } | WireError;

/** Enqueues the children that these reports ask for. `<run>/<key>` → its id, or why there is none. */
export async function startChildren(
  t: Queryable,
  contexts: ReadonlyMap<string, RunContext>,
  fresh: readonly { jobId: string; report: Report }[],
): Promise<Map<string, Child>> {
  const wanted = fresh.flatMap(({ jobId, report }) =>
    report.kind === "invoke" || report.kind === "enqueue" ? [{ context: contexts.get(jobId)!, report }] : [],
  );
  const result = new Map<string, Child>();
  if (wanted.length === 0) return result;
  const target = ({ context, report }: (typeof wanted)[number]) =>
    [
      context.workspace,
      report.kind === "invoke" ? "function" : "callback",
      report.kind === "invoke" ? report.function : report.queue,
    ] as const;
  const found = await t.query<{ id: number; kind: string; name: string; workspace: string }>(queueIds, [
    wanted.map((item) => target(item)[0]),
    wanted.map((item) => target(item)[1]),
    wanted.map((item) => target(item)[2]),
  ]);
  const ids = new Map(found.map((queue) => [`${queue.workspace}/${queue.kind}/${queue.name}`, queue.id]));
  const jobs: { readonly step: string; readonly waits: boolean; readonly job: NewJob }[] = [];
  for (const item of wanted) {
    const step = `${item.context.jobId}/${item.report.key}`;
    const queueId = ids.get(target(item).join("/"));
    if (queueId === undefined) {
      const [, kind, name] = target(item);
      result.set(step, {
        name: "NotFoundError",
        message: `There is no ${kind === "function" ? "function" : "queue"} named ${name}.`,
      });
    } else {
      const waits = item.report.kind === "invoke" || item.report.wait;
      jobs.push({
        step,
        waits,
        job:
          item.report.kind === "invoke"
            ? invoked(item.context, item.report, queueId)
            : handedOver(item.context, item.report, queueId),
      });
    }
  }
  const enqueued = await enqueue(
    t,
    jobs.map((each) => each.job),
  );
  for (const [index, { step, waits }] of jobs.entries()) {
    const { id, duplicate } = enqueued[index]!;
    result.set(
      step,
      duplicate && waits
        ? {
            name: "DuplicateJobError",
            message: `A job with this id exists already (${id}), so its end cannot be waited for. Leave out the id, or the wait.`,
          }
        : { id, duplicate },
    );
  }
  return result;
}

function invoked(context: RunContext, report: InvokeReport, queueId: number): NewJob {
  const id = newId();
  const event = { id, name: "rotor/run.invoked", data: report.data, ts: Date.now() };
  return {
    id,
    queueId,
    key: null,
    body: Buffer.from(JSON.stringify(event)),
    contentType: "application/json",
    parentId: context.jobId,
    headers: inTrace(context),
  };
}

function handedOver(context: RunContext, report: EnqueueReport, queueId: number): NewJob {
  const { options } = report;
  return {
    id: newId(),
    queueId,
    key: options.job_id ?? null,
    body: Buffer.from(JSON.stringify(report.payload)),
    contentType: "application/json",
    delayMs: options.delay_ms,
    priority: options.priority,
    tags: options.tags,
    maxAttempts: options.max_attempts,
    timeoutMs: options.timeout_ms,
    parentId: context.jobId,
    headers: inTrace(context),
  };
}

/** Children are part of their parent's trace. */
const inTrace = ({ jobId, traceparent }: RunContext) => ({ traceparent: spanOf(traceparent, jobId) });
