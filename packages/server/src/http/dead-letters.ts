/** The dead letters over HTTP: failed jobs and runs of all queues, listed and made to wait again. */
import { z } from "@hono/zod-openapi";
import { isId } from "../core/ids.js";
import { retry } from "../store/control.js";
import { type JobView, listJobs } from "../store/views.js";
import { type Api, endpoint } from "./endpoint.js";
import { errorName, jobJson, jobView } from "./job-views.js";
import { LARGE_ITEMS, pageOfJobs } from "./paging.js";
import { filterText, instant, listOf, page, tag as tagText } from "./schemas.js";

const filter = {
  queue: filterText.optional().openapi({ description: "Name of a queue or function." }),
  tag: tagText.optional(),
  after: instant.optional().openapi({ description: "Failed at or after this time." }),
  before: instant.optional().openapi({ description: "Failed before this time." }),
  error: filterText.optional().openapi({ description: "Part of the error's text." }),
};
type Filter = {
  readonly queue?: string;
  readonly tag?: string;
  readonly after?: string;
  readonly before?: string;
  readonly error?: string;
};

const replayBody = z
  .strictObject({
    ids: z.array(z.string().refine(isId, "it is not the id of a job")).min(1).max(1_000).optional(),
    queue: filterText.optional(),
    filter: z.strictObject(filter).optional(),
    dry_run: z.boolean().optional(),
  })
  .refine(
    (body) => [body.ids, body.queue, body.filter].filter((each) => each !== undefined).length === 1,
    "say which: write one of ids, queue and filter",
  )
  .openapi("Replay");

const replayed = z
  .object({
    replayed: z.number().int().openapi({ description: "Jobs that wait again; with dry_run, that would." }),
    ids: z.array(z.string()).optional(),
  })
  .openapi("Replayed");

/** What no column holds of a filter; undefined if there is nothing of it. */
function keepOf({ after, before, error }: Filter): ((job: JobView) => boolean) | undefined {
  if (after === undefined && before === undefined && error === undefined) return undefined;
  return (job) => {
    const failedAt = job.finishedAt?.toISOString() ?? "";
    return (
      (after === undefined || failedAt >= after) &&
      (before === undefined || failedAt < before) &&
      (error === undefined || (job.error ?? "").includes(error))
    );
  };
}

/** What a person turned down is not tried again in bulk: only by its id. */
const turnedDown = (job: JobView): boolean => ["RejectedError", "ExpiredError"].includes(errorName(job) ?? "");

/** Rows that one transaction retries. */
const RETRIED_TOGETHER = 500;
/** More ids than this are not told, only counted. */
const IDS_TOLD = 1_000;

const tag = "dead letters";

/** Hangs the routes of the dead letters. */
export function deadLetters(api: Api): void {
  const { engine } = api;
  const { db } = engine;

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/dlq",
      summary: "List failed jobs and runs, the newest first",
      tag,
      query: z.object({ ...page, ...filter }),
      answers: { 200: ["A page.", listOf(jobJson)] },
    },
    async ({ c, workspace, query }) =>
      c.json(
        await pageOfJobs(
          db,
          workspace,
          { state: "failed", queue: query.queue, tag: query.tag },
          query,
          (job) => jobView(job),
          keepOf(query),
        ),
      ),
  );

  /** The failed jobs that a filter finds, in pages, from the newest. One that fails again meanwhile is not met twice. */
  async function* failedJobs(workspace: string, given: Filter): AsyncGenerator<string[]> {
    const keep = keepOf(given) ?? (() => true);
    let ids: string[] = [];
    for (let before: string | undefined; ; ) {
      const rows = await listJobs(
        db,
        workspace,
        { state: "failed", queue: given.queue, tag: given.tag, before },
        LARGE_ITEMS,
      );
      ids.push(...rows.filter((job) => keep(job) && !turnedDown(job)).map((job) => job.id));
      before = rows.at(-1)?.id;
      const last = rows.length < LARGE_ITEMS;
      if (ids.length > 0 && (last || ids.length >= RETRIED_TOGETHER)) {
        yield ids;
        ids = [];
      }
      if (last) return;
    }
  }

  /** Those of these ids that are failed jobs of the workspace. */
  async function failedAmong(workspace: string, ids: readonly string[]): Promise<string[]> {
    const found: string[] = [];
    for (const id of new Set(ids))
      found.push(...(await listJobs(db, workspace, { id, state: "failed" }, 1)).map((job) => job.id));
    return found;
  }

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/dlq/replay",
      audit: "dlq.replay",
      summary: "Make failed jobs wait again; those that wait already are left alone",
      tag,
      body: replayBody,
      answers: { 200: ["What was moved.", replayed] },
    },
    async ({ c, workspace, body }) => {
      const pages =
        body.ids === undefined
          ? failedJobs(workspace, body.filter ?? { queue: body.queue })
          : [await failedAmong(workspace, body.ids)];
      let count = 0;
      const told: string[] = [];
      for await (const ids of pages) {
        const moved = body.dry_run === true ? ids : await retry(db, ids);
        count += moved.length;
        told.push(...moved.slice(0, IDS_TOLD + 1 - told.length));
        if (body.dry_run !== true) engine.wake();
      }
      return c.json({ replayed: count, ...(told.length <= IDS_TOLD ? { ids: told } : {}) });
    },
  );
}
