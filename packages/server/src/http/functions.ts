/** Functions over HTTP: what apps serve, read anew on request, paused, started. A function is a queue with triggers. */
import { z } from "@hono/zod-openapi";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { checkUrl } from "../delivery/guard.js";
import { type App, listApps, listTriggers } from "../store/apps.js";
import { queueFinder } from "../store/queue-finder.js";
import { deleteQueue, getQueue, listQueues, pauseQueue, type Queue, scheduleInto } from "../store/queues.js";
import { listSchedules } from "../store/schedules.js";
import { listJobs } from "../store/views.js";
import { type Awaited, waitFor } from "./awaited.js";
import { rawMember } from "./body.js";
import { type Api, endpoint } from "./endpoint.js";
import type { SyncResult } from "./engine.js";
import { traceOf } from "./envelope.js";
import { conflict, invalid, notFound, Refusal } from "./errors.js";
import { runJson, runView } from "./job-views.js";
import type { Listeners } from "./listeners.js";
import { type Page, pageOf } from "./paging.js";
import { eventBody } from "./runs.js";
import { delay, json, key, listOf, name, page, tags, time } from "./schemas.js";
import { startingJson, startingView } from "./starting.js";

const triggerJson = z.union([
  z.object({ event: z.string(), if: z.string().optional() }),
  z.object({ cron: z.string(), timezone: z.string() }),
]);

const functionJson = z
  .object({
    id: z.string(),
    app: z.string().nullable(),
    serve_url: z
      .string()
      .nullable()
      .openapi({ description: "Null: the app no longer has this function; its runs wait." }),
    triggers: z.array(triggerJson),
    max_attempts: z.number().int(),
    concurrency: z.number().int().nullable(),
    ...startingJson,
    paused_at: time.nullable(),
    created_at: time,
  })
  .openapi("Function");
type FunctionJson = z.infer<typeof functionJson>;

const syncedJson = z
  .object({
    app: z.string(),
    serve_url: z.string(),
    added: z.array(z.string()),
    removed: z.array(z.string()),
    functions: z.array(functionJson),
  })
  .openapi("Synced");

const started = z
  .object({
    run_id: z.string(),
    function: z.string(),
    state: z.string(),
    duplicate: z.boolean(),
    skipped: z.literal(true).optional().openapi({
      description: "The function's singleton lets one run be unfinished: none was started, and this is the one.",
    }),
    run: runJson.optional().openapi({ description: "With `wait`: as it ended, or as it was when the wait was over." }),
  })
  .openapi("Started");

const tag = "functions";
const params = z.object({ id: z.string() });
const one = { 200: ["The function.", functionJson] } as const;

/** Hangs the routes of functions. */
export function functions(api: Api, listeners: Listeners, awaited: Awaited): void {
  const { engine } = api;
  const { db } = engine;
  const finder = queueFinder(db, "function");

  const find = async (workspace: string, id: string): Promise<Queue> => {
    const queue = await getQueue(db, workspace, "function", id);
    if (queue === undefined) throw notFound("function", id);
    return queue;
  };

  /** Queues as functions: with their apps and triggers. */
  const viewsOf = async (workspace: string, queues: readonly Queue[]): Promise<FunctionJson[]> => {
    const apps = new Map((await listApps(db, workspace)).map((app): [number, App] => [app.id, app]));
    const events = await listTriggers(
      db,
      queues.map((queue) => queue.id),
    );
    const crons = (await listSchedules(db, workspace, "", limits.listPage)).filter((schedule) => schedule.owned);
    return queues.map((queue) => ({
      id: queue.name,
      app: apps.get(queue.appId ?? 0)?.name ?? null,
      serve_url: queue.url,
      triggers: [
        ...events
          .filter((each) => each.queueId === queue.id)
          .map(({ event, condition }) => ({ event, ...(condition === null ? {} : { if: condition }) })),
        ...crons.filter((each) => each.queueId === queue.id).map(({ cron, timezone }) => ({ cron, timezone })),
      ],
      max_attempts: queue.maxAttempts,
      concurrency: queue.concurrency,
      ...startingView(queue),
      paused_at: queue.pausedAt?.toISOString() ?? null,
      created_at: queue.createdAt.toISOString(),
    }));
  };
  const viewOf = async (workspace: string, queue: Queue): Promise<FunctionJson> =>
    (await viewsOf(workspace, [queue]))[0]!;

  /** Asks the app and stores what it says. */
  const sync = async (
    workspace: string,
    path: string,
    url: string,
    move: boolean,
  ): Promise<SyncResult & { ok: true }> => {
    const checked = checkUrl(url, engine.policy);
    if (!checked.ok) throw invalid(path, checked.reason);
    const result = await engine.sync(workspace, checked.url.href, move);
    listeners.forget(workspace);
    if (result.ok) return result;
    throw new Refusal(
      result.status,
      { 409: "conflict", 422: "invalid", 424: "app_unreachable" }[result.status],
      result.message,
    );
  };

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/functions",
      summary: "List functions",
      tag,
      query: z.object(page),
      answers: { 200: ["A page, by id.", listOf(functionJson)] },
    },
    async ({ c, workspace, query }) => {
      const { data, next_cursor } = await pageOf(
        query,
        (after, limit) => listQueues(db, workspace, "function", after ?? "", limit),
        (queue) => queue.name,
        (queue) => queue,
      );
      return c.json({ data: await viewsOf(workspace, data), next_cursor } satisfies Page<FunctionJson>);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/functions/sync",
      audit: "app.sync",
      summary: "Read the functions of the app at this address",
      tag,
      body: z.strictObject({
        url: z.string(),
        move: z
          .boolean()
          .optional()
          .openapi({ description: "Agree that the app, or a function, moves here from another address." }),
      }),
      answers: { 200: ["What the app has.", syncedJson] },
    },
    async ({ c, workspace, body: { url, move = false } }) => {
      const { app, url: serveUrl, added, removed } = await sync(workspace, "url", url, move);
      const queues = await listQueues(db, workspace, "function", "", limits.listPage);
      const own = queues.filter((queue) => queue.url === serveUrl);
      return c.json({ app, serve_url: serveUrl, added, removed, functions: await viewsOf(workspace, own) });
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/functions",
      audit: "function.create",
      summary: "Register one function by the address of its app; what the app says of its triggers counts",
      tag,
      body: z
        .strictObject({
          id: name,
          serve_url: z.string(),
          trigger_type: z.enum(["event", "cron"]).optional(),
          trigger_event: z.string().max(limits.nameLength).optional(),
          trigger_cron: z.string().max(200).optional(),
          move: z.boolean().optional(),
        })
        .openapi("NewFunction"),
      answers: { 201: ["The function.", functionJson.extend({ warning: z.string().optional() })] },
    },
    async ({ c, workspace, body }) => {
      const { app, url } = await sync(workspace, "serve_url", body.serve_url, body.move ?? false);
      const queue = await getQueue(db, workspace, "function", body.id);
      if (queue === undefined || queue.url !== url)
        throw invalid("id", `the app ${app} at ${url} has no function ${body.id}`);
      const view = await viewOf(workspace, queue);
      const wanted = body.trigger_event ?? body.trigger_cron;
      const agrees =
        wanted === undefined ||
        view.triggers.some((trigger) => ("event" in trigger ? trigger.event : trigger.cron) === wanted);
      return c.json(
        {
          ...view,
          ...(agrees ? {} : { warning: `The app names other triggers than ${JSON.stringify(wanted)}; its own count.` }),
        },
        201,
      );
    },
  );

  endpoint(
    api,
    "read",
    { method: "get", path: "/v1/functions/{id}", summary: "Read a function", tag, params, answers: one },
    async ({ c, workspace, params: { id } }) => c.json(await viewOf(workspace, await find(workspace, id))),
  );

  endpoint(
    api,
    "write",
    {
      method: "delete",
      path: "/v1/functions/{id}",
      audit: "function.delete",
      summary: "Delete a function without unfinished runs",
      tag,
      params,
      answers: { 204: ["It is gone, until its app is read again."] },
    },
    async ({ c, workspace, params: { id } }) => {
      await find(workspace, id);
      if (!(await deleteQueue(db, workspace, "function", id))) {
        const schedule = await scheduleInto(db, workspace, "function", id);
        if (schedule !== undefined)
          throw conflict(`The schedule ${schedule} starts the function ${id}: delete it, or give it another function.`);
        throw conflict(`The function ${id} has unfinished runs: cancel them, or let them end.`);
      }
      listeners.forget(workspace);
      return c.body(null, 204);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      plain: true,
      path: "/v1/functions/{id}/runs",
      summary: "Start a run, and with `wait` await its end",
      tag,
      params,
      body: z
        .strictObject({
          data: json.optional(),
          id: key
            .optional()
            .openapi({ description: "Of two starts of one function with one id the second does nothing." }),
          delay: delay.optional(),
          tags: tags.optional(),
          wait: waitFor.optional().openapi({
            description:
              'Answers when the run has ended, or after this time, at most "60s" (default: once it is durable).',
          }),
        })
        .openapi("NewRun"),
      answers: {
        201: ["It is durable.", started],
        200: ["A run of this id was there already, or is unfinished.", started],
      },
    },
    async ({ c, workspace, params: { id }, body, text }) => {
      const found = await finder.write({ workspace, name: id });
      if (found === undefined) throw notFound("function", id);
      const { to, now } = found;
      const traceparent = traceOf(c);
      const runId = newId();
      const event = {
        id: body.id ?? runId,
        name: "rotor/run.started",
        data: rawMember(text, "data") ?? "null",
        ts: now.getTime(),
      };
      const result = await engine.start(to, {
        id: runId,
        queueId: to.queueId,
        key: body.id ?? null,
        body: eventBody(event),
        contentType: "application/json",
        delayMs: body.delay,
        tags: body.tags,
        ...(traceparent !== undefined && { headers: { traceparent } }),
      });
      if (result.kind === "skipped") {
        const [run] = await listJobs(db, workspace, { id: result.by }, 1);
        const state = run?.state ?? "cancelled";
        return c.json({ run_id: result.by, function: id, state, duplicate: false, skipped: true as const }, 200);
      }
      const { duplicate } = result;
      const answer = { run_id: result.id, function: id, state: result.state, duplicate };
      if (body.wait === undefined) return c.json(answer, duplicate ? 200 : 201);
      const run = await awaited[duplicate ? "ofAny" : "ofNew"](c, workspace, result.id, body.wait);
      return c.json({ ...answer, state: run.state, run: runView(run) }, duplicate ? 200 : 201);
    },
  );

  for (const [verb, paused, summary] of [
    ["pause", true, "Begin no further delivery of its runs"],
    ["resume", false, "Deliver its runs again"],
  ] as const) {
    endpoint(
      api,
      "write",
      {
        method: "post",
        path: `/v1/functions/{id}/${verb}`,
        audit: `function.${verb}`,
        summary,
        tag,
        params,
        answers: one,
      },
      async ({ c, workspace, params: { id } }) => {
        const queue = await pauseQueue(db, workspace, "function", (await find(workspace, id)).name, paused);
        if (queue === undefined) throw notFound("function", id);
        if (!paused) engine.wake();
        return c.json(await viewOf(workspace, queue));
      },
    );
  }
}
