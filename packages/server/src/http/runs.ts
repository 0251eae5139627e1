/** Runs of functions over HTTP: read, awaited, cancelled, retried, replayed. They are started in `functions.ts`. */
import { z } from "@hono/zod-openapi";
import { cancelBelow } from "../store/cancel-tree.js";
import { cancel, resumeHeld, retry } from "../store/control.js";
import { readFailureRun } from "../store/on-failure.js";
import { replay } from "../store/replay.js";
import { skipSleep } from "../store/skip.js";
import { findEvent, type JobView, listDeliveries, listSteps } from "../store/views.js";
import { type Awaited, waitFor } from "./awaited.js";
import { rawMember } from "./body.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict, invalid, Refusal } from "./errors.js";
import {
  deliveryView,
  eventOf,
  readStateFilter,
  runJson,
  runView,
  stateFilter,
  stepJson,
  stepView,
} from "./job-views.js";
import { findJob } from "./jobs.js";
import { pageOfJobs, SHORT_PAGE } from "./paging.js";
import { brief, filterText, instant, json, listOf, page, tag as tagText } from "./schemas.js";

const tag = "runs";
const params = z.object({ id: z.string() });
const cancelledRun = runJson.extend({
  children_cancelled: z.number().int().optional().openapi({ description: "Runs and jobs below it that this ended." }),
  children_left: z.boolean().optional().openapi({ description: "There are more: ask the same again." }),
});
const one = { 200: ["The run.", runJson] } as const;

/** Hangs the routes of runs. */
export function runs(api: Api, awaited: Awaited): void {
  const { engine } = api;
  const { db } = engine;
  const find = (workspace: string, id: string): Promise<JobView> =>
    findJob(db, workspace, id, { kind: "function" }, "run");

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/runs",
      summary: "List runs, the newest first",
      tag,
      query: z.object({
        ...page,
        function: filterText.optional(),
        state: stateFilter,
        event: filterText.optional().openapi({ description: "Name of the event that started it." }),
        tag: tagText.optional(),
        event_id: filterText.optional().openapi({ description: "Id of the event that started it." }),
        created_after: instant.optional().openapi({ description: "Created at or after this time." }),
        created_before: instant.optional().openapi({ description: "Created before this time." }),
        brief,
      }),
      answers: { 200: [SHORT_PAGE, listOf(runJson)] },
    },
    async ({ c, workspace, query }) => {
      const { state, keep } = readStateFilter(query.state);
      const ofEvent = query.event === undefined ? undefined : (run: JobView) => eventOf(run).name === query.event;
      const both = keep && ofEvent ? (run: JobView) => keep(run) && ofEvent(run) : (keep ?? ofEvent);
      const started = query.event_id === undefined ? undefined : await findEvent(db, workspace, query.event_id);
      if (query.event_id !== undefined && started === undefined) return c.json({ data: [], next_cursor: null });
      const filter = {
        kind: "function",
        queue: query.function,
        state,
        tag: query.tag,
        createdAfter: query.created_after,
        createdBefore: query.created_before,
        eventId: started?.id,
      } as const;
      return c.json(await pageOfJobs(db, workspace, filter, query, runView, { keep: both, brief: query.brief }));
    },
  );

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/runs/{id}",
      summary: "Read a run with its steps and deliveries",
      tag,
      params,
      answers: one,
    },
    async ({ c, workspace, params: { id } }) => {
      const run = await find(workspace, id);
      const [steps, deliveries] = [await listSteps(db, run.id), await listDeliveries(db, run.id)];
      return c.json({
        ...runView(run),
        failure_run_id: run.state === "failed" ? await readFailureRun(db, run.id) : null,
        steps: steps.map(stepView),
        deliveries: deliveries.map(deliveryView),
      });
    },
  );

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/runs/{id}/steps",
      summary: "List a run's steps in the order of their results",
      tag,
      params,
      answers: { 200: ["All of them.", listOf(stepJson)] },
    },
    async ({ c, workspace, params: { id } }) => {
      const run = await find(workspace, id);
      return c.json({ data: (await listSteps(db, run.id)).map(stepView), next_cursor: null });
    },
  );

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/runs/{id}/result",
      summary: "Read a run as soon as it has ended, or as it is once the wait is over",
      tag,
      params,
      query: z.object({
        wait: waitFor.optional().openapi({ description: 'Default "30s", at most "60s".' }),
      }),
      answers: one,
    },
    async ({ c, workspace, params: { id }, query: { wait = 30_000 } }) =>
      c.json(runView(await awaited.ofAny(c, workspace, id, wait))),
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/runs/{id}/cancel",
      audit: "run.cancel",
      summary: "End an unfinished run, and with `children` all that it waits for",
      tag,
      params,
      body: z
        .strictObject({
          children: z.boolean().optional().openapi({
            description:
              "Also the runs and jobs that it started and waits for, and theirs (default: they go on). A run that is cancelled already may be asked again for them.",
          }),
        })
        .optional(),
      answers: { 200: ["The run.", cancelledRun] },
    },
    async ({ c, workspace, params: { id }, body }) => {
      const before = await find(workspace, id);
      const moved = await cancel(db, [before.id]);
      const run = await find(workspace, before.id);
      if (run.state !== "cancelled") throw conflict(`The run is ${run.state} already.`, { state: run.state });
      const below = body?.children === true ? await cancelBelow(db, [run.id]) : undefined;
      // A parent that waits for it goes on.
      if (moved.length > 0 || (below?.cancelled ?? 0) > 0) engine.wake();
      return c.json({
        ...runView(run),
        ...(below === undefined ? {} : { children_cancelled: below.cancelled, children_left: below.more }),
      });
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/runs/{id}/retry",
      audit: "run.retry",
      summary: "Let a failed run go on where it failed",
      tag,
      params,
      answers: one,
    },
    async ({ c, workspace, params: { id } }) => {
      const before = await find(workspace, id);
      if ((await retry(db, [before.id])).length === 0)
        throw conflict(`Only a failed run can be retried; this one is ${before.state}.`, { state: before.state });
      engine.wake();
      return c.json(runView(await find(workspace, before.id)));
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/runs/{id}/resume",
      audit: "run.resume",
      summary: "Try a held run again, after its code was mended",
      tag,
      params,
      answers: one,
    },
    async ({ c, workspace, params: { id } }) => {
      const before = await find(workspace, id);
      if ((await resumeHeld(db, [before.id])).length === 0)
        throw conflict(`Only a held run can be resumed; this one is ${before.reason ?? before.state}.`, {
          state: before.state,
        });
      engine.wake();
      return c.json(runView(await find(workspace, before.id)));
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/runs/{id}/skip",
      audit: "run.skip",
      summary: "End a sleep of a run now; in development only",
      tag,
      params,
      body: z.strictObject({ step: z.string().min(1).max(300).openapi({ description: "The key of the step." }) }),
      answers: one,
    },
    async ({ c, workspace, params: { id }, body: { step } }) => {
      const before = await find(workspace, id);
      if (!engine.config.dev)
        throw new Refusal(403, "development_only", "Time is skipped in development only, by a server of `rotor dev`.");
      if (!(await skipSleep(db, before.id, step)))
        throw conflict(`The run has no step ${JSON.stringify(step.slice(0, 80))} that sleeps just now.`);
      engine.wake();
      return c.json(runView(await find(workspace, before.id)));
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/runs/{id}/replay",
      audit: "run.replay",
      summary: "Start a new run like this one: from the start, or from a step with the results before it",
      tag,
      params,
      body: z.strictObject({
        from_step: z.string().min(1).max(300).optional().openapi({
          description:
            "The key of one of its steps, as the run's steps tell it: the results recorded before it are copied; of an unfinished step, all results.",
        }),
        input: json.optional().openapi({ description: "In place of the event's data." }),
      }),
      answers: { 201: ["The new run.", z.object({ run_id: z.string() })] },
    },
    async ({ c, workspace, params: { id }, body: { from_step: fromStep }, text }) => {
      const run = await find(workspace, id);
      if (fromStep !== undefined && !(await listSteps(db, run.id)).some((step) => step.key === fromStep))
        throw invalid(
          "from_step",
          `this run has no step ${JSON.stringify(fromStep)}: write the key of one of its steps`,
        );
      const input = rawMember(text, "input");
      const runId = await replay(db, run.id, {
        fromStep,
        body: input === undefined ? undefined : bodyWith(run, input),
      });
      // It was there a moment ago: it has been pruned since.
      if (runId === undefined) throw conflict("The run is gone.");
      engine.wake();
      return c.json({ run_id: runId }, 201);
    },
  );
}

/** The run's event with other data. */
function bodyWith(run: JobView, data: string): Buffer {
  const { id, name, ts } = eventOf(run);
  return eventBody({ id, name, data, ts });
}

/** An event as a run's body has it; `data` is JSON text, and stays as it was written. */
export const eventBody = ({ id, name, data, ts }: { id: string; name: string; data: string; ts: number }): Buffer =>
  Buffer.from(`{"id":${JSON.stringify(id)},"name":${JSON.stringify(name)},"data":${data},"ts":${ts}}`);
