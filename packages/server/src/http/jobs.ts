/** Jobs of callback queues over HTTP: enqueued, read, cancelled, retried. How they end by a capability is in `accepted.ts`. */
import { z } from "@hono/zod-openapi";
import { isId } from "../core/ids.js";
import { changeJob } from "../store/change.js";
import { cancel, retry } from "../store/control.js";
import type { Queryable } from "../store/db.js";
import { type Enqueued, enqueue, type NewJob } from "../store/enqueue.js";
import { getQueue } from "../store/queues.js";
import { type JobFilter, type JobView, listDeliveries, listJobs } from "../store/views.js";
import { type Api, endpoint } from "./endpoint.js";
import type { Engine } from "./engine.js";
import {
  batch,
  envelope,
  inTraceOf,
  jobChanges,
  readBatch,
  readChanges,
  readEnqueue,
  type Wanted,
} from "./envelope.js";
import { conflict, notFound } from "./errors.js";
import { hasError, jobJson, jobView, readStateFilter, stateFilter } from "./job-views.js";
import { pageOfJobs, SHORT_PAGE } from "./paging.js";
import type { QueueIds } from "./queue-ids.js";
import { brief, filterText, instant, isPlain, listOf, page, tag as tagText } from "./schemas.js";

const enqueuedJson = z
  .object({
    id: z.string(),
    queue: z.string(),
    state: z.string(),
    duplicate: z.boolean().openapi({ description: "A job of this job_id was there already; nothing was enqueued." }),
    replaced: z
      .boolean()
      .optional()
      .openapi({ description: "Of a duplicate with on_duplicate=replace: it waited, and is now what was sent." }),
    payload_differs: z
      .boolean()
      .optional()
      .openapi({ description: "Of a duplicate: its payload is another than was sent now." }),
  })
  .openapi("Enqueued");

const enqueuedView = (queue: string, result: Enqueued): z.infer<typeof enqueuedJson> => ({
  id: result.id,
  queue,
  state: result.state,
  duplicate: result.duplicate,
  ...(result.duplicate ? { payload_differs: result.payloadDiffers } : {}),
  ...(result.replaced ? { replaced: true } : {}),
});

/**
 * The job of this id, ours or the client's own.
 * @throws Refusal 404, also for another workspace's.
 */
export async function findJob(
  db: Queryable,
  workspace: string,
  id: string,
  filter: Pick<JobFilter, "kind" | "queue">,
  what = "job",
): Promise<JobView> {
  const [byId] = isId(id) ? await listJobs(db, workspace, { ...filter, id }, 1) : [];
  if (byId !== undefined) return byId;
  const [byKey] =
    filter.queue !== undefined && isPlain(id) && !id.startsWith("rotor:")
      ? await listJobs(db, workspace, { ...filter, key: id }, 1)
      : [];
  if (byKey === undefined) throw notFound(what, id);
  return byKey;
}

/** Enqueues; a duplicate of a job that may have none undoes all of it. */
async function enqueueWanted(engine: Engine, queueId: number, wanted: readonly Wanted[]): Promise<readonly Enqueued[]> {
  const jobs = wanted.map(({ job }): NewJob => ({ queueId, ...job }));
  const test = (results: readonly Enqueued[]): void => {
    for (const [index, result] of results.entries()) {
      if (!result.duplicate || !wanted[index]!.rejectDuplicate) continue;
      throw conflict(`A job with the id ${jobs[index]!.key} exists in this queue.`, {
        id: result.id,
        state: result.state,
      });
    }
  };
  if (jobs.length > 1 && wanted.some((each) => each.rejectDuplicate)) {
    const results = await engine.db.transact(async (t) => {
      const made = await enqueue(t, jobs);
      test(made);
      return made;
    });
    engine.wake();
    return results;
  }
  const results = jobs.length === 1 ? [await engine.enqueue(jobs[0]!)] : await engine.enqueueAll(jobs);
  test(results);
  return results;
}

/** What a list of jobs may be filtered by. */
const jobFilter = {
  ...page,
  state: stateFilter,
  tag: tagText.optional(),
  created_after: instant.optional().openapi({ description: "Created at or after this time." }),
  created_before: instant.optional().openapi({ description: "Created before this time." }),
  brief,
};
type JobQuery = z.output<z.ZodObject<typeof jobFilter>>;

const tag = "jobs";
const inQueue = z.object({ name: z.string() });
const oneJob = z
  .object({ name: z.string(), id: z.string() })
  .openapi({ description: "`id` is the job's id, or its job_id." });

/** Hangs the routes of jobs. */
export function jobs(api: Api, ids: QueueIds): void {
  const { engine } = api;
  const { db } = engine;

  endpoint(
    api,
    "write",
    {
      method: "post",
      plain: true,
      path: "/v1/queues/{name}/jobs",
      summary: "Enqueue a job: a JSON envelope, or the bare payload with its options in x-rotor-… headers",
      tag,
      params: inQueue,
      describedBody: { "application/json": envelope, "*/*": z.string().openapi({ format: "binary" }) },
      answers: {
        201: ["It is durable.", enqueuedJson],
        200: ["A job of this job_id was there already.", enqueuedJson],
      },
    },
    async ({ c, workspace, params: { name } }) => {
      const wanted = await readEnqueue(c);
      const [result] = await ids.use(workspace, name, (queueId) =>
        enqueueWanted(engine, queueId, inTraceOf(c, [wanted])),
      );
      return c.json(enqueuedView(name, result!), result!.duplicate ? 200 : 201);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      plain: true,
      path: "/v1/queues/{name}/jobs/batch",
      summary: "Enqueue up to 1,000 jobs, all or none",
      tag,
      params: inQueue,
      body: batch,
      answers: { 201: ["All are durable; in the order sent.", z.object({ jobs: z.array(enqueuedJson) })] },
    },
    async ({ c, workspace, params: { name }, body, text }) => {
      const wanted = inTraceOf(c, readBatch(body, text));
      const results = await ids.use(workspace, name, (queueId) => enqueueWanted(engine, queueId, wanted));
      return c.json({ jobs: results.map((result) => enqueuedView(name, result)) }, 201);
    },
  );

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/queues/{name}/jobs",
      summary: "List a queue's jobs, the newest first",
      tag,
      params: inQueue,
      query: z.object(jobFilter),
      answers: { 200: [SHORT_PAGE, listOf(jobJson)] },
    },
    async ({ c, workspace, params: { name }, query }) => {
      if ((await getQueue(db, workspace, "callback", name)) === undefined) throw notFound("queue", name);
      return c.json(await pageOf(workspace, name, query));
    },
  );

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/jobs",
      summary: "List jobs of all queues, the newest first",
      tag,
      query: z.object({
        ...jobFilter,
        queue: filterText.optional(),
        error: filterText.optional().openapi({ description: "Part of the error's text, in upper or lower case." }),
      }),
      answers: { 200: [SHORT_PAGE, listOf(jobJson)] },
    },
    async ({ c, workspace, query }) => c.json(await pageOf(workspace, query.queue, query, query.error)),
  );

  const pageOf = (workspace: string, queue: string | undefined, query: JobQuery, error?: string) => {
    const { state, keep: ofReason } = readStateFilter(query.state);
    const keep = error === undefined ? ofReason : (job: JobView) => (ofReason?.(job) ?? true) && hasError(job, error);
    const { tag: tagged, created_after: createdAfter, created_before: createdBefore, brief } = query;
    const filter = { kind: "callback", queue, state, tag: tagged, createdAfter, createdBefore } as const;
    return pageOfJobs(db, workspace, filter, query, (job) => jobView(job), { keep, brief });
  };

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/jobs/{id}",
      summary: "Read a job of whatever queue, and its deliveries",
      tag,
      params: z.object({ id: z.string() }),
      answers: { 200: ["The job.", jobJson] },
    },
    async ({ c, workspace, params: { id } }) => {
      const job = await findJob(db, workspace, id, { kind: "callback" });
      return c.json(jobView(job, await listDeliveries(db, job.id)));
    },
  );

  const path = "/v1/queues/{name}/jobs/{id}";
  const find = (workspace: string, { name, id }: { name: string; id: string }): Promise<JobView> =>
    findJob(db, workspace, id, { kind: "callback", queue: name });
  const withDeliveries = async (workspace: string, params: { name: string; id: string }) => {
    const job = await find(workspace, params);
    return jobView(job, await listDeliveries(db, job.id));
  };

  endpoint(
    api,
    "read",
    {
      method: "get",
      path,
      summary: "Read a job and its deliveries",
      tag,
      params: oneJob,
      answers: { 200: ["The job.", jobJson] },
    },
    async ({ c, workspace, params }) => c.json(await withDeliveries(workspace, params)),
  );

  endpoint(
    api,
    "write",
    {
      method: "delete",
      path,
      audit: "job.cancel",
      summary: "Cancel an unfinished job",
      tag,
      params: oneJob,
      answers: { 200: ["The job.", jobJson] },
    },
    async ({ c, workspace, params }) => {
      const { id } = await find(workspace, params);
      // Whoever waited for its slot or its turn, and a run that waited for its end, goes on.
      if ((await cancel(db, [id])).length > 0) engine.wake();
      const job = await find(workspace, { ...params, id });
      // Cancelled before, or by somebody else just now: what was asked for is so.
      if (job.state !== "cancelled") throw conflict(`The job is ${job.state} already.`, { state: job.state });
      return c.json(jobView(job));
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "patch",
      path,
      audit: "job.update",
      summary: "Change a job while it waits",
      tag,
      params: oneJob,
      body: jobChanges,
      answers: { 200: ["The job as it is now; a new payload or due time gives it all its attempts again.", jobJson] },
    },
    async ({ c, workspace, params, body, text }) => {
      const { id } = await find(workspace, params);
      if (!(await changeJob(db, id, readChanges(body, text)))) {
        const { state } = await find(workspace, { ...params, id });
        throw conflict(`Only a job that waits can be changed; this one is ${state}.`, { state });
      }
      engine.wake();
      return c.json(jobView(await find(workspace, { ...params, id })));
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: `${path}/retry`,
      audit: "job.retry",
      summary: "Make a failed job wait again, with all its attempts",
      tag,
      params: oneJob,
      answers: { 200: ["The job.", jobJson] },
    },
    async ({ c, workspace, params }) => {
      const { id, state } = await find(workspace, params);
      if ((await retry(db, [id])).length === 0)
        throw conflict(`Only a failed job can be retried; this one is ${state}.`, { state });
      engine.wake();
      return c.json(jobView(await find(workspace, { ...params, id })));
    },
  );
}
