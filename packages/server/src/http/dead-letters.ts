/**
 * The dead letters over HTTP: failed jobs and runs of all queues, listed, made to wait again, removed. What is asked of many
 * is done in steps of one transaction each, so that one who asks again after half of it, or a hundred who ask the same,
 * move each failure once.
 */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { PACE_HINT, paceMs } from "../core/pace.js";
import { retry } from "../store/control.js";
import { type Failure, type FailureFilter, findFailures, purge } from "../store/dead-letters.js";
import { readJobs } from "../store/views.js";
import {
  askedOf,
  bulk,
  bulkAnswer,
  carryOut,
  failuresOf,
  filterOf,
  givenFilter,
  oneSelection,
  SELECTION,
} from "./bulk.js";
import { type Api, endpoint } from "./endpoint.js";
import { invalid } from "./errors.js";
import { jobJson, jobView } from "./job-views.js";
import { DEFAULT_LIMIT, idCursor, LARGE_ITEMS, SHORT_PAGE } from "./paging.js";
import { brief, listOf, page } from "./schemas.js";

const replayBody = z
  .strictObject({
    ...bulk,
    include_rejected: z.boolean().optional().openapi({
      description: "Also what a person turned down, or nobody approved in time: it asks for approval again.",
    }),
    rate: z
      .string()
      .refine((text) => paceMs(text) !== undefined, PACE_HINT)
      .optional()
      .openapi({
        example: "10/s",
        description: "At most so many become due in each second (s), minute (m) or hour (h), evenly, the oldest first.",
      }),
  })
  .refine(oneSelection, SELECTION)
  .openapi("Replay");

const replayed = z
  .object({
    replayed: z.number().int().openapi({ description: "Jobs that wait again; with dry_run, that would." }),
    ids: z.array(z.string()).optional().openapi({ description: "Left out where there are more than a thousand." }),
    ...bulkAnswer,
  })
  .openapi("Replayed");

const purgeBody = z
  .strictObject({
    ...bulk,
    confirm: z.boolean().optional().openapi({ description: "Needed for a filter that leaves nothing out." }),
  })
  .refine(oneSelection, SELECTION)
  .openapi("Purge");

const purged = z
  .object({
    purged: z.number().int().openapi({ description: "Jobs that are gone for good; with dry_run, that would be." }),
    kept: z
      .number()
      .int()
      .openapi({ description: "Jobs whose job_id is remembered still: for a day after its enqueue." }),
    ...bulkAnswer,
  })
  .openapi("Purged");

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
      query: z.object({ ...page, ...givenFilter, brief }),
      answers: {
        200: [SHORT_PAGE, listOf(jobJson)],
      },
    },
    async ({ c, workspace, query }) => {
      const limit = Math.min(query.limit ?? DEFAULT_LIMIT, LARGE_ITEMS);
      const { ids, next } = await pageOfFailures(workspace, query, limit, idCursor(query.cursor));
      const rows =
        ids.length === 0
          ? []
          : await readJobs(db, workspace, ids, query.brief === true ? limits.briefBytes : null, "failed");
      return c.json({ data: rows.map((job) => jobView(job)), next_cursor: next ?? null });
    },
  );

  /** Looks on until a page is full, or for as long as one request may. */
  async function pageOfFailures(workspace: string, filter: FailureFilter, limit: number, cursor: string | undefined) {
    const { queue, ...rest } = filterOf(filter);
    const look = Object.values(rest).some((each) => each !== undefined) ? limits.failuresLooked : limit;
    const ids: string[] = [];
    const until = performance.now() + limits.bulkMs;
    let next = cursor;
    do {
      const found = await findFailures(
        db,
        workspace,
        { queue, ...rest },
        { from: "newest", cursor: next, look, limit: limit - ids.length },
      );
      ids.push(...found.failures.map((failure) => failure.jobId));
      next = found.next;
    } while (next !== undefined && ids.length < limit && performance.now() < until);
    return { ids, next };
  }

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/dlq/replay",
      audit: "dlq.replay",
      summary: "Make failed jobs wait again; those that wait already, or failed after this was asked, are left alone",
      tag,
      body: replayBody,
      answers: { 200: ["What was moved.", replayed] },
    },
    async ({ c, workspace, body }) => {
      const gapMs = body.rate === undefined ? 0 : paceMs(body.rate)!;
      const told: string[] = [];
      const move = async (failures: readonly Failure[], place: number): Promise<number> => {
        // From each step's own moment on: nothing is due sooner than its rate allows, and what the steps take comes on top.
        const delayMs = failures.map((_, index) => (place + index) * gapMs);
        if ((delayMs.at(-1) ?? 0) > limits.delayMs)
          throw invalid("rate", `at ${body.rate} the rest would be due more than a year from now: ask for it later`);
        const ids = failures.map((failure) => failure.jobId);
        const moved =
          body.dry_run === true
            ? ids
            : await retry(db, ids, { delayMs, deliveries: failures.map((failure) => failure.delivery) });
        if (body.dry_run !== true) engine.wake();
        told.push(...moved.slice(0, IDS_TOLD + 1 - told.length));
        return moved.length;
      };
      const { done, before, next } = await carryOut(
        db,
        askedOf(body),
        failuresOf(db, workspace, body, { decided: body.include_rejected !== true }),
        move,
      );
      return c.json({
        replayed: done,
        ...(told.length <= IDS_TOLD ? { ids: told } : {}),
        before,
        next_cursor: next,
      });
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "delete",
      path: "/v1/dlq",
      audit: "dlq.purge",
      summary: "Remove failed jobs for good",
      tag,
      body: purgeBody,
      answers: { 200: ["What was removed.", purged] },
    },
    async ({ c, workspace, body }) => {
      if (body.filter !== undefined && Object.keys(body.filter).length === 0 && !body.confirm && !body.dry_run)
        throw invalid("confirm", "this filter leaves nothing out: write true to remove all dead letters");
      let met = 0;
      const { done, before, next } = await carryOut(
        db,
        askedOf(body),
        failuresOf(db, workspace, body, {}),
        async (failures) => {
          met += failures.length;
          return purge(db, failures, body.dry_run === true);
        },
      );
      return c.json({ purged: done, kept: met - done, before, next_cursor: next });
    },
  );
}
