/**
 * Many runs at once over HTTP: cancelled, or replayed, by ids or by a filter, in steps of a transaction each. What is asked
 * again with the `before` of its answer, since that answer was lost, does nothing twice.
 */
import { z } from "@hono/zod-openapi";
import { isId } from "../core/ids.js";
import { FINISHED } from "../core/job.js";
import { cancel } from "../store/control.js";
import { replayAll } from "../store/replay.js";
import { runsAmong, selectRuns } from "../store/run-selection.js";
import { type JobView, readJobs } from "../store/views.js";
import { carryOut, type Source } from "./bulk.js";
import { type Api, endpoint } from "./endpoint.js";
import { invalid } from "./errors.js";
import { eventOf, readStateFilter, stateFilter } from "./job-views.js";
import { LARGE_ITEMS } from "./paging.js";
import { filterText, instant, tag as tagText, time } from "./schemas.js";

const filter = z.strictObject({
  function: filterText.optional(),
  state: stateFilter,
  event: filterText.optional().openapi({ description: "Name of the event that started it." }),
  tag: tagText.optional(),
  created_after: instant.optional().openapi({ description: "Created at or after this time." }),
  created_before: instant.optional().openapi({ description: "Created before this time." }),
});

const body = z
  .strictObject({
    ids: z.array(z.string().refine(isId, "it is not the id of a run")).min(1).max(1_000).optional(),
    filter: filter.optional(),
    before: instant.optional().openapi({
      description: "Only what was created before this time; default: now. Ask again with the `before` of the answer.",
    }),
    dry_run: z.boolean().optional().openapi({ description: "Only tell how many there are." }),
    confirm: z.boolean().optional().openapi({ description: "Needed for a filter that leaves nothing out." }),
    cursor: z.string().max(400).optional().openapi({ description: "The `next_cursor` of the answer before." }),
  })
  .refine(
    (asked) => (asked.ids === undefined) !== (asked.filter === undefined),
    "say which: write one of ids and filter",
  );
type Body = z.infer<typeof body>;

const answer = {
  before: time.openapi({ description: "Runs that were created from then on were left alone." }),
  next_cursor: z
    .string()
    .nullable()
    .openapi({ description: "Not null: there are more. Ask the same with this as `cursor`." }),
};

/** More ids than this are not told, only counted. */
const IDS_TOLD = 1_000;
const ids = z.array(z.string()).optional();

/** Jobs found by one look, and cancelled by one transaction. */
const TOGETHER = 500;
/** Replayed by one transaction: each has its input in memory, of up to 1 MiB. */
const REPLAYED_TOGETHER = 50;

/** Hangs the routes. */
export function bulkRuns(api: Api): void {
  const { engine } = api;
  const { db } = engine;

  /** What is meant, of those that have ended or of those that have not. */
  function runsOf(workspace: string, asked: Body, finished: boolean): Source<string> {
    const { function: name, state: wanted, event, tag, created_after: createdAfter } = asked.filter ?? {};
    const { state, keep } = readStateFilter(wanted);
    if (state !== undefined && FINISHED.includes(state) !== finished)
      throw invalid(
        "filter.state",
        finished
          ? `a run that is ${wanted} has not ended: only ended ones are replayed by a filter`
          : `a run that is ${wanted} has ended: there is nothing to cancel`,
      );
    if (asked.filter !== undefined && Object.keys(asked.filter).length === 0 && !asked.confirm && !asked.dry_run)
      throw invalid("confirm", "this filter leaves nothing out: write true to mean all runs");
    const keeps = (run: JobView): boolean =>
      (keep === undefined || keep(run)) && (event === undefined || eventOf(run).name === event);
    return {
      among: (some, before) => runsAmong(db, workspace, some, finished, before),
      next: async (before, cursor) => {
        const selection = { function: name, state, tag, createdAfter, createdBefore: before, finished };
        const found = await selectRuns(db, workspace, selection, { cursor, limit: TOGETHER });
        if (keep === undefined && event === undefined) return { items: found.ids, next: found.next };
        const kept: string[] = [];
        // What no column holds is read with the runs themselves.
        for (let from = 0; from < found.ids.length; from += LARGE_ITEMS) {
          const some = found.ids.slice(from, from + LARGE_ITEMS);
          const rows = await readJobs(db, workspace, some);
          kept.push(...rows.filter(keeps).map((run) => run.id));
        }
        return { items: kept.sort(), next: found.next };
      },
    };
  }

  const askedOf = ({ ids: some, before, filter: by, cursor }: Body) => ({
    ids: some,
    before: [before, by?.created_before],
    cursor,
  });

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/runs/cancel",
      audit: "runs.cancel",
      summary: "End many unfinished runs",
      tag: "runs",
      body,
      answers: {
        200: [
          "What was ended.",
          z.object({
            cancelled: z.number().int().openapi({ description: "Runs that this ended; with dry_run, that it would." }),
            ids,
            ...answer,
          }),
        ],
      },
    },
    async ({ c, workspace, body: asked }) => {
      const told: string[] = [];
      const { done, before, next } = await carryOut(
        db,
        askedOf(asked),
        runsOf(workspace, asked, false),
        async (some) => {
          const moved = asked.dry_run === true ? some : await cancel(db, some);
          told.push(...moved.slice(0, IDS_TOLD + 1 - told.length));
          return moved.length;
        },
      );
      // Parents that wait for them go on, and slots are free.
      if (asked.dry_run !== true && done > 0) engine.wake();
      return c.json({ cancelled: done, ...(told.length <= IDS_TOLD ? { ids: told } : {}), before, next_cursor: next });
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/runs/replay",
      audit: "runs.replay",
      summary: "Start many ended runs anew, from the start, each as a run of its own",
      tag: "runs",
      body,
      answers: {
        200: [
          "What was started.",
          z.object({
            replayed: z.number().int().openapi({ description: "New runs; with dry_run, that there would be." }),
            ids: ids.openapi({ description: "Of the new runs; with dry_run, of those that would be replayed." }),
            ...answer,
          }),
        ],
      },
    },
    async ({ c, workspace, body: asked }) => {
      const told: string[] = [];
      const { done, before, next } = await carryOut(
        db,
        askedOf(asked),
        runsOf(workspace, asked, true),
        async (some, _place, bound) => {
          const made =
            asked.dry_run === true
              ? some
              : // One ask starts one run for each: its bound is the ask's own mark.
                await replayAll(
                  db,
                  some.map((jobId) => ({ jobId, key: `rotor:replay:${jobId}:${bound}` })),
                );
          const started = made.filter((id) => id !== undefined);
          if (asked.dry_run !== true) engine.wake();
          told.push(...started.slice(0, IDS_TOLD + 1 - told.length));
          return started.length;
        },
        REPLAYED_TOGETHER,
      );
      return c.json({ replayed: done, ...(told.length <= IDS_TOLD ? { ids: told } : {}), before, next_cursor: next });
    },
  );
}
