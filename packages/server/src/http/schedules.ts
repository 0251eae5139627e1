/** Schedules over HTTP: jobs enqueued, or functions started, by the clock. */
import { z } from "@hono/zod-openapi";
import { checkSchedule, nextTicks } from "../core/cron.js";
import { newId } from "../core/ids.js";
import { getQueue } from "../store/queues.js";
import {
  deleteSchedule,
  getSchedule,
  listSchedules,
  pauseSchedule,
  readClock,
  type Schedule,
  type ScheduleSettings,
  scheduledJob,
  writeSchedule,
} from "../store/schedules.js";
import { rawMember } from "./body.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict, invalid, notFound } from "./errors.js";
import { readable } from "./job-views.js";
import { type Page, pageOf } from "./paging.js";
import { json, listOf, name, page, time } from "./schemas.js";

const fields = {
  queue: name.optional().openapi({ description: "Enqueues a job there. Write this or `function`." }),
  function: name.optional().openapi({ description: "Starts a run of it." }),
  cron: z
    .string()
    .min(1)
    .max(200)
    .openapi({ example: "0 9 * * 1-5", description: "Five or six fields, or `@daily` and its like." }),
  timezone: z.string().min(1).max(100).openapi({ example: "Europe/Stockholm", description: "IANA name." }),
  payload: json.optional().openapi({ description: "Of each job; data of each run." }),
};
const oneTarget = (body: { queue?: unknown; function?: unknown }): boolean =>
  (body.queue === undefined) !== (body.function === undefined);
const ONE_TARGET = "write either queue or function";

const settings = z.strictObject(fields).refine(oneTarget, ONE_TARGET).openapi("ScheduleOptions");
const creation = z
  .strictObject({ name, ...fields })
  .refine(oneTarget, ONE_TARGET)
  .openapi("NewSchedule");
const changes = z
  .strictObject({ ...fields, cron: fields.cron.optional(), timezone: fields.timezone.optional() })
  .refine((body) => body.queue === undefined || body.function === undefined, ONE_TARGET)
  .openapi("ScheduleChanges");

const scheduleJson = z
  .object({
    name: z.string(),
    queue: z.string().nullable(),
    function: z.string().nullable(),
    cron: z.string(),
    timezone: z.string(),
    payload: json,
    owned: z.boolean().openapi({ description: "Made by a trigger of the function, and goes with it." }),
    paused_at: time.nullable(),
    last_at: time.nullable(),
    next_fires: z.array(time).openapi({ description: "The next five, soonest first; none while paused." }),
  })
  .openapi("Schedule");

const SHOWN_FIRES = 5;

const viewOf = (schedule: Schedule, now: Date): z.infer<typeof scheduleJson> => ({
  name: schedule.name,
  queue: schedule.kind === "callback" ? schedule.queue : null,
  function: schedule.kind === "function" ? schedule.queue : null,
  cron: schedule.cron,
  timezone: schedule.timezone,
  payload: readable(schedule.body.toString("utf8")) ?? null,
  owned: schedule.owned,
  paused_at: schedule.pausedAt?.toISOString() ?? null,
  last_at: schedule.lastAt?.toISOString() ?? null,
  next_fires:
    schedule.pausedAt === null
      ? nextTicks(schedule.cron, schedule.timezone, now, SHOWN_FIRES).map((fire) => fire.toISOString())
      : [],
});

const tag = "schedules";
const params = z.object({ name: z.string() });
const one = { 200: ["The schedule.", scheduleJson] } as const;

/** Hangs the routes of schedules. */
export function schedules(api: Api): void {
  const { engine } = api;
  const { db } = engine;

  const find = async (workspace: string, scheduleName: string): Promise<Schedule> => {
    const schedule = await getSchedule(db, workspace, scheduleName);
    if (schedule === undefined) throw notFound("schedule", scheduleName);
    return schedule;
  };
  /** Those that a function's trigger made are the app's to change. */
  const findOwn = async (workspace: string, scheduleName: string): Promise<Schedule> => {
    const schedule = await find(workspace, scheduleName);
    if (schedule.owned)
      throw conflict(
        `${schedule.name} is a trigger of the function ${schedule.queue}: change it in the app's code, or pause it.`,
      );
    return schedule;
  };
  const view = async (workspace: string, scheduleName: string) =>
    viewOf(await find(workspace, scheduleName), await readClock(db));

  /** @throws Refusal 422 for a calendar that never comes, or an unknown target. */
  const settingsOf = async (
    workspace: string,
    given: z.infer<typeof settings>,
    payload: string,
  ): Promise<ScheduleSettings> => {
    const wrong = checkSchedule(given.cron, given.timezone);
    if (wrong !== undefined) throw invalid("", wrong);
    const [kind, target] =
      given.queue === undefined ? (["function", given.function!] as const) : (["callback", given.queue] as const);
    const queue = await getQueue(db, workspace, kind, target);
    if (queue === undefined)
      throw invalid(
        kind === "callback" ? "queue" : "function",
        `there is no ${kind === "callback" ? "queue" : "function"} ${target}`,
      );
    return {
      queueId: queue.id,
      cron: given.cron,
      timezone: given.timezone,
      body: Buffer.from(payload),
      contentType: "application/json",
    };
  };
  const payloadIn = (text: string): string => rawMember(text, "payload") ?? "null";

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/schedules",
      summary: "List schedules",
      tag,
      query: z.object(page),
      answers: { 200: ["A page, by name.", listOf(scheduleJson)] },
    },
    async ({ c, workspace, query }) => {
      const now = await readClock(db);
      const read = (after: string | undefined, limit: number) => listSchedules(db, workspace, after ?? "", limit);
      const found: Page<z.infer<typeof scheduleJson>> = await pageOf(
        query,
        read,
        (schedule) => schedule.name,
        (schedule) => viewOf(schedule, now),
      );
      return c.json(found);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/schedules",
      summary: "Make a schedule",
      tag,
      body: creation,
      answers: { 201: ["The schedule.", scheduleJson] },
    },
    async ({ c, workspace, body, text }) => {
      const wanted = await settingsOf(workspace, body, payloadIn(text));
      if (!(await writeSchedule(db, workspace, body.name, wanted, "create"))) {
        throw conflict(`A schedule named ${body.name} exists: PUT /v1/schedules/${body.name} changes it.`);
      }
      engine.wake();
      return c.json(await view(workspace, body.name), 201);
    },
  );

  endpoint(
    api,
    "read",
    { method: "get", path: "/v1/schedules/{name}", summary: "Read a schedule", tag, params, answers: one },
    async ({ c, workspace, params: { name: scheduleName } }) => c.json(await view(workspace, scheduleName)),
  );

  endpoint(
    api,
    "write",
    {
      method: "put",
      path: "/v1/schedules/{name}",
      summary: "Make a schedule, or set an existing one to this",
      tag,
      params: z.object({ name }),
      body: settings,
      answers: { ...one, 201: ["It was made.", scheduleJson] },
    },
    async ({ c, workspace, params: { name: scheduleName }, body, text }) => {
      const wanted = await settingsOf(workspace, body, payloadIn(text));
      const made = await writeSchedule(db, workspace, scheduleName, wanted, "create");
      if (!made && !(await writeSchedule(db, workspace, scheduleName, wanted, "update")))
        await findOwn(workspace, scheduleName);
      engine.wake();
      return c.json(await view(workspace, scheduleName), made ? 201 : 200);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "patch",
      path: "/v1/schedules/{name}",
      summary: "Change a schedule: what is left out stays as it is",
      tag,
      params,
      body: changes,
      answers: one,
    },
    async ({ c, workspace, params: { name: scheduleName }, body, text }) => {
      const before = await findOwn(workspace, scheduleName);
      const target =
        (body.queue ?? body.function)
          ? body
          : before.kind === "callback"
            ? { queue: before.queue }
            : { function: before.queue };
      const given = {
        cron: body.cron ?? before.cron,
        timezone: body.timezone ?? before.timezone,
        queue: target.queue,
        function: "function" in target ? target.function : undefined,
      };
      const wanted = await settingsOf(workspace, given, rawMember(text, "payload") ?? before.body.toString("utf8"));
      if (!(await writeSchedule(db, workspace, scheduleName, wanted, "update")))
        throw notFound("schedule", scheduleName);
      engine.wake();
      return c.json(await view(workspace, scheduleName));
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "delete",
      path: "/v1/schedules/{name}",
      summary: "Delete a schedule",
      tag,
      params,
      answers: { 204: ["It is gone."] },
    },
    async ({ c, workspace, params: { name: scheduleName } }) => {
      await findOwn(workspace, scheduleName);
      await deleteSchedule(db, workspace, scheduleName);
      return c.body(null, 204);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/schedules/{name}/run",
      summary: "Fire it now, beside its times",
      tag,
      params,
      answers: { 201: ["The job, or run.", z.object({ id: z.string(), state: z.string() })] },
    },
    async ({ c, workspace, params: { name: scheduleName } }) => {
      const schedule = await find(workspace, scheduleName);
      const { id, state } = await engine.enqueue({
        id: newId(),
        queueId: schedule.queueId,
        key: null,
        ...scheduledJob(schedule, await readClock(db)),
      });
      return c.json({ id, state }, 201);
    },
  );

  for (const [verb, paused, summary] of [
    ["pause", true, "Fire no more; what is missed is not caught up"],
    ["resume", false, "Fire again, from the next time on"],
  ] as const) {
    endpoint(
      api,
      "write",
      { method: "post", path: `/v1/schedules/{name}/${verb}`, summary, tag, params, answers: one },
      async ({ c, workspace, params: { name: scheduleName } }) => {
        await pauseSchedule(db, await find(workspace, scheduleName), paused);
        engine.wake();
        return c.json(await view(workspace, scheduleName));
      },
    );
  }
}
