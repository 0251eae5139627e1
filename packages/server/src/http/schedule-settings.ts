/** What a schedule looks like in requests and answers. Its routes are in `schedules.ts`. */
import { z } from "@hono/zod-openapi";
import { nextTicks } from "../core/cron.js";
import { limits } from "../core/limits.js";
import { CATCH_UPS, OVERLAPS } from "../core/schedule.js";
import type { Schedule } from "../store/schedules.js";
import { readable } from "./job-views.js";
import { json, name, time } from "./schemas.js";

const fields = {
  queue: name.optional().openapi({ description: "Enqueues a job there. Write this or `function`." }),
  function: name.optional().openapi({ description: "Starts a run of it." }),
  cron: z.string().min(1).max(200).openapi({
    example: "0 9 * * 1-5",
    description:
      "Five or six fields (the first of six are seconds), names, or `@daily` and its like. A time of day that a change of the clocks leaves out ticks at the moment of the change, a doubled one once; every hour of the day is a pace, which goes on.",
  }),
  timezone: z.string().min(1).max(100).openapi({ example: "Europe/Stockholm", description: "IANA name." }),
  payload: json.optional().openapi({ description: "Of each job; data of each run." }),
  overlap: z.enum(OVERLAPS).optional().openapi({
    description:
      "`allow` (default), or `skip`: a tick enqueues nothing while the job of the tick before is not finished.",
  }),
  catch_up: z
    .enum(CATCH_UPS)
    .optional()
    .openapi({
      description: `Of ticks missed while no server ran: \`last\` (default) makes the latest; \`none\` too, unless it is late by more than ${limits.tickGraceMs / 1_000} s; \`all\` makes each, at most the latest ${limits.catchUp}.`,
    }),
};
const oneTarget = (body: { queue?: unknown; function?: unknown }): boolean =>
  (body.queue === undefined) !== (body.function === undefined);
export const ONE_TARGET = "write either queue or function";

export const settings = z.strictObject(fields).refine(oneTarget, ONE_TARGET).openapi("ScheduleOptions");
export const creation = z
  .strictObject({ name, ...fields })
  .refine(oneTarget, ONE_TARGET)
  .openapi("NewSchedule");
export const changes = z
  .strictObject({ ...fields, cron: fields.cron.optional(), timezone: fields.timezone.optional() })
  .refine((body) => body.queue === undefined || body.function === undefined, ONE_TARGET)
  .openapi("ScheduleChanges");

/** What is sent of a schedule, whole or in part. */
export type Sent = z.infer<typeof changes>;

const unmade = z.object({ count: z.number().int(), last_at: time.nullable() });

export const scheduleJson = z
  .object({
    name: z.string(),
    queue: z.string().nullable(),
    function: z.string().nullable(),
    cron: z.string(),
    timezone: z.string(),
    payload: json,
    overlap: z.enum(OVERLAPS),
    catch_up: z.enum(CATCH_UPS),
    owned: z.boolean().openapi({ description: "Made by a trigger of the function, and goes with it." }),
    paused_at: time.nullable(),
    last_at: time.nullable().openapi({ description: "The last tick that enqueued." }),
    last_job_id: z.string().nullable().openapi({ description: "The job, or run, of that tick." }),
    skipped: unmade.openapi({ description: "Ticks that `overlap: skip` left out." }),
    missed: unmade.openapi({ description: "Ticks that `catch_up` did not make up for." }),
    next_fires: z.array(time).openapi({
      description:
        "The next five, soonest first; none while paused. The first is past while it is due and not made yet.",
    }),
  })
  .openapi("Schedule");

const unmadeOf = (count: number, at: Date | null): z.infer<typeof unmade> => ({
  count,
  last_at: at?.toISOString() ?? null,
});

/** A schedule as it is answered. `now` is the database's. */
export const viewOf = (schedule: Schedule, now: Date): z.infer<typeof scheduleJson> => ({
  name: schedule.name,
  queue: schedule.kind === "callback" ? schedule.queue : null,
  function: schedule.kind === "function" ? schedule.queue : null,
  cron: schedule.cron,
  timezone: schedule.timezone,
  payload: readable(schedule.body.toString("utf8")) ?? null,
  overlap: schedule.overlap,
  catch_up: schedule.catchUp,
  owned: schedule.owned,
  paused_at: schedule.pausedAt?.toISOString() ?? null,
  last_at: schedule.lastAt?.toISOString() ?? null,
  last_job_id: schedule.lastJobId,
  skipped: unmadeOf(schedule.skipped, schedule.skippedAt),
  missed: unmadeOf(schedule.missed, schedule.missedAt),
  next_fires: nextFires(schedule, now).map((fire) => fire.toISOString()),
});

/** From the tick that is to be made next, and not from now: it is the next one still where it came due a moment ago. */
function nextFires({ pausedAt, nextAt, cron, timezone }: Schedule, now: Date): Date[] {
  if (pausedAt !== null) return [];
  return [nextAt, ...nextTicks(cron, timezone, nextAt > now ? nextAt : now, limits.shownFires - 1)];
}
