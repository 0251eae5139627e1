/** Schedules over HTTP: jobs enqueued, or functions started, by the clock. What they look like: `schedule-settings.ts`. */
import { z } from "@hono/zod-openapi";
import { checkCron, checkTimezone } from "../core/cron.js";
import { newId } from "../core/ids.js";
import { getQueue } from "../store/queues.js";
import {
  changeSchedule,
  createSchedule,
  deleteSchedule,
  getSchedule,
  listSchedules,
  pauseSchedule,
  putSchedule,
  readClock,
  resumeSchedule,
  type Schedule,
  type ScheduleSettings,
} from "../store/schedules.js";
import { scheduledJob } from "../store/ticks.js";
import { listJobs } from "../store/views.js";
import { rawMember } from "./body.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict, invalid, notFound, type Refusal } from "./errors.js";
import { type Page, pageOf } from "./paging.js";
import { changes, creation, ONE_TARGET, type Sent, scheduleJson, settings, viewOf } from "./schedule-settings.js";
import { listOf, name, page } from "./schemas.js";
import { startable } from "./starting.js";

const tag = "schedules";
const params = z.object({ name: z.string() });
const one = { 200: ["The schedule.", scheduleJson] } as const;
const fired = z.object({ id: z.string(), state: z.string() });

/** Hangs the routes of schedules. */
export function schedules(api: Api): void {
  const { engine } = api;
  const { db } = engine;

  const find = async (workspace: string, scheduleName: string): Promise<Schedule> => {
    const schedule = await getSchedule(db, workspace, scheduleName);
    if (schedule === undefined) throw notFound("schedule", scheduleName);
    return schedule;
  };
  const view = async (workspace: string, scheduleName: string) =>
    viewOf(await find(workspace, scheduleName), await readClock(db));

  /** Those that a function's trigger made are the app's to change. */
  const owned = async (workspace: string, scheduleName: string): Promise<Refusal> => {
    const { queue } = await find(workspace, scheduleName);
    return conflict(`${scheduleName} is a trigger of the function ${queue}: change it in the app's code, or pause it.`);
  };

  /** @throws Refusal 422 for an unknown target. */
  const targetOf = async (workspace: string, given: Sent): Promise<number | undefined> => {
    const [kind, field, target] =
      given.queue === undefined
        ? (["function", "function", given.function] as const)
        : (["callback", "queue", given.queue] as const);
    if (target === undefined) return undefined;
    const queue = await getQueue(db, workspace, kind, target);
    if (queue === undefined) throw invalid(field, `there is no ${field} ${target}`);
    return queue.id;
  };

  /** The settings that are given. @throws Refusal 422 for a calendar that never comes, no zone, or an unknown target. */
  const checked = async (workspace: string, given: Sent, text: string): Promise<Partial<ScheduleSettings>> => {
    const wrong =
      (given.cron === undefined ? undefined : checkCron(given.cron)) ??
      (given.timezone === undefined ? undefined : checkTimezone(given.timezone));
    if (wrong !== undefined) throw invalid("", wrong);
    const queueId = await targetOf(workspace, given);
    const payload = rawMember(text, "payload");
    return {
      ...(queueId !== undefined && { queueId }),
      ...(given.cron !== undefined && { cron: given.cron }),
      ...(given.timezone !== undefined && { timezone: given.timezone }),
      ...(payload !== undefined && { body: Buffer.from(payload) }),
      ...(given.overlap !== undefined && { overlap: given.overlap }),
      ...(given.catch_up !== undefined && { catchUp: given.catch_up }),
    };
  };

  /** All settings, of a request that names cron, timezone and target. */
  const whole = async (workspace: string, sent: z.infer<typeof settings>, text: string): Promise<ScheduleSettings> => {
    const { queueId, ...given } = await checked(workspace, sent, text);
    if (queueId === undefined) throw invalid("", ONE_TARGET);
    return {
      queueId,
      cron: sent.cron,
      timezone: sent.timezone,
      body: Buffer.from("null"),
      contentType: "application/json",
      overlap: "allow",
      catchUp: "last",
      ...given,
    };
  };

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
      audit: "schedule.create",
      summary: "Make a schedule",
      tag,
      body: creation,
      answers: { 201: ["The schedule.", scheduleJson] },
    },
    async ({ c, workspace, body, text }) => {
      if (!(await createSchedule(db, workspace, body.name, await whole(workspace, body, text)))) {
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
      audit: "schedule.put",
      summary: "Make a schedule, or set an existing one to this",
      tag,
      params: z.object({ name }),
      body: settings,
      answers: { ...one, 201: ["It was made.", scheduleJson] },
    },
    async ({ c, workspace, params: { name: scheduleName }, body, text }) => {
      const put = await putSchedule(db, workspace, scheduleName, await whole(workspace, body, text));
      if (put === "owned") throw await owned(workspace, scheduleName);
      engine.wake();
      return c.json(await view(workspace, scheduleName), put === "created" ? 201 : 200);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "patch",
      path: "/v1/schedules/{name}",
      audit: "schedule.update",
      summary: "Change a schedule: what is left out stays as it is",
      tag,
      params,
      body: changes,
      answers: one,
    },
    async ({ c, workspace, params: { name: scheduleName }, body, text }) => {
      await find(workspace, scheduleName);
      const given = await checked(workspace, body, text);
      const changed = await changeSchedule(db, workspace, scheduleName, given);
      if (changed === "owned") throw await owned(workspace, scheduleName);
      if (changed === "unknown") throw notFound("schedule", scheduleName);
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
      audit: "schedule.delete",
      summary: "Delete a schedule",
      tag,
      params,
      answers: { 204: ["It is gone."] },
    },
    async ({ c, workspace, params: { name: scheduleName } }) => {
      // Where nothing was deleted it is unknown, which `owned` says, or a function's.
      if (!(await deleteSchedule(db, workspace, scheduleName))) throw await owned(workspace, scheduleName);
      return c.body(null, 204);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/schedules/{name}/run",
      audit: "schedule.run",
      summary: "Fire it now, beside its times",
      tag,
      params,
      answers: {
        201: ["The job, or run.", fired],
        200: ["Its function's singleton lets one run be unfinished: none was started, and this is the one.", fired],
      },
    },
    async ({ c, workspace, params: { name: scheduleName } }) => {
      const schedule = await find(workspace, scheduleName);
      const job = {
        id: newId(),
        queueId: schedule.queueId,
        key: null,
        ...scheduledJob(schedule, await readClock(db)),
      };
      const queue = await getQueue(db, workspace, schedule.kind, schedule.queue);
      if (queue === undefined) throw notFound("queue", schedule.queue);
      const answer = await engine.start(startable(queue), job);
      if (answer.kind !== "skipped") return c.json({ id: answer.id, state: answer.state }, 201);
      const [run] = await listJobs(db, workspace, { id: answer.by }, 1);
      return c.json({ id: answer.by, state: run?.state ?? "cancelled" }, 200);
    },
  );

  for (const [verb, paused, summary] of [
    ["pause", true, "Fire no more; what is missed is not caught up"],
    ["resume", false, "Fire again, from the next time on"],
  ] as const) {
    endpoint(
      api,
      "write",
      {
        method: "post",
        path: `/v1/schedules/{name}/${verb}`,
        audit: `schedule.${verb}`,
        summary,
        tag,
        params,
        answers: one,
      },
      async ({ c, workspace, params: { name: scheduleName } }) => {
        await (paused ? pauseSchedule : resumeSchedule)(db, workspace, scheduleName);
        engine.wake();
        return c.json(await view(workspace, scheduleName));
      },
    );
  }
}
