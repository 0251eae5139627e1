/** Events over HTTP: published and looked at. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { newId } from "../core/ids.js";
import { elements } from "../core/json-text.js";
import { limits } from "../core/limits.js";
import { findEvents } from "../store/event-lists.js";
import { gatheredBy } from "../store/gather.js";
import { EventTooFarError, type NewEvent, type Published } from "../store/publish.js";
import {
  type EventView,
  findEvent,
  listCancelled,
  listJobs,
  listResumed,
  readEvents as readRows,
} from "../store/views.js";
import { rawMember } from "./body.js";
import { type Api, endpoint, readJson } from "./endpoint.js";
import { traceOf } from "./envelope.js";
import { invalid, notFound, refusalOfSchema } from "./errors.js";
import { readable } from "./job-views.js";
import type { Listeners } from "./listeners.js";
import { DEFAULT_LIMIT, idCursor, LARGE_ITEMS, SHORT_PAGE } from "./paging.js";
import {
  brief,
  eventName,
  filterText,
  instant,
  json,
  key,
  listOf,
  page,
  tags as tagList,
  tag as tagText,
  time,
} from "./schemas.js";

/** Fewer milliseconds than these are a date in seconds: this is March 1973. */
const SECONDS_BELOW = 100_000_000_000;

export const newEvent = z
  .strictObject({
    name: eventName,
    data: json.optional(),
    id: key.optional().openapi({
      description:
        "Of two events with one id the second does nothing, and is answered as the first. Made, if left out.",
    }),
    ts: z
      .number()
      .int()
      .min(0)
      .max(253_402_300_799_999, "the year must not be past 9999")
      .refine((ts) => ts === 0 || ts >= SECONDS_BELOW, "this looks like seconds: write Unix milliseconds")
      .optional()
      .openapi({
        description:
          "The sender's time, Unix milliseconds. Default: now. One that is still to come, within a year, delays the event until then.",
      }),
    tags: tagList.optional(),
  })
  .openapi("NewEvent");
const newEvents = z.array(newEvent).max(limits.batch);

const sentJson = z
  .object({
    id: z.string(),
    runs: z.array(z.string()).openapi({ description: "Ids of the runs that it started." }),
    duplicate: z.boolean(),
    due_at: time.optional().openapi({ description: "Of an event that is still to come." }),
    warning: z.string().optional(),
  })
  .openapi("Sent");

const eventJson = z
  .object({
    id: z.string(),
    name: z.string(),
    data: json,
    omitted: z.array(z.literal("data")).optional().openapi({ description: "Of a brief list: it is large." }),
    ts: z.number(),
    tags: z.array(z.string()),
    received_at: time.nullable().openapi({ description: "Null: it is still to come." }),
    due_at: time.nullable().openapi({ description: "When it is published, where that is still to come." }),
    started: z.array(z.string()).optional().openapi({ description: "Runs that it started." }),
    resumed: z.array(z.string()).optional().openapi({ description: "Runs in which it ended a wait." }),
    cancelled: z.array(z.string()).optional().openapi({ description: "Runs that it cancelled." }),
  })
  .openapi("Event");

const eventView = (event: EventView): z.infer<typeof eventJson> => ({
  id: event.key,
  name: event.name,
  data: readable(event.data) ?? null,
  ...(event.dataOmitted ? { omitted: ["data" as const] } : {}),
  ts: event.ts.getTime(),
  tags: [...(event.tags ?? [])],
  received_at: event.receivedAt?.toISOString() ?? null,
  due_at: event.dueAt?.toISOString() ?? null,
});

const tag = "events";

/** Hangs the routes of events. */
export function events(api: Api, listeners: Listeners): void {
  const { engine } = api;
  const { db } = engine;

  const sentView = async (
    event: NewEvent,
    { runs, heard, duplicate, dueAt }: Published,
  ): Promise<z.infer<typeof sentJson>> => {
    // Who will listen for an event that is still to come is not known yet.
    const fine = duplicate || heard || runs.length > 0 || dueAt !== null;
    const warning = fine ? undefined : await listeners.warningFor(event.workspace, event.name);
    return {
      id: event.key,
      runs: runs.map((run) => run.id),
      duplicate,
      ...(dueAt === null ? {} : { due_at: dueAt.toISOString() }),
      ...(warning === undefined ? {} : { warning }),
    };
  };

  endpoint(
    api,
    "write",
    {
      method: "post",
      plain: true,
      path: "/v1/events",
      summary: "Publish an event, or an array of up to 1,000, all or none",
      tag,
      describedBody: { "application/json": z.union([newEvent, newEvents]) },
      answers: {
        200: [
          "What became of it; of an array `{ events: [...] }`, in its order.",
          z.union([sentJson, z.object({ events: z.array(sentJson) })]),
        ],
      },
    },
    async ({ c, workspace }) => {
      const { given, raw, many } = await readEvents(c);
      const traceparent = traceOf(c);
      const wanted = given.map(
        ({ name, id, ts, tags }, index): NewEvent => ({
          workspace,
          name,
          key: id ?? newId(),
          data: raw[index]!,
          tsMs: ts,
          traceparent,
          tags,
        }),
      );
      const published = await engine.publish(wanted).catch((error: unknown) => {
        if (!(error instanceof EventTooFarError)) throw error;
        throw invalid(many ? `${error.index}.ts` : "ts", error.message);
      });
      const sent = await Promise.all(published.map((each, index) => sentView(wanted[index]!, each)));
      return c.json(many ? { events: sent } : sent[0]!);
    },
  );

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/events",
      summary: "List events, the newest first",
      tag,
      query: z.object({
        ...page,
        name: filterText.optional(),
        tag: tagText.optional(),
        after: instant.optional().openapi({ description: "Received at or after this time." }),
        before: instant.optional().openapi({ description: "Received before this time." }),
        brief,
      }),
      answers: { 200: [SHORT_PAGE, listOf(eventJson)] },
    },
    async ({ c, workspace, query }) => {
      const limit = Math.min(query.limit ?? DEFAULT_LIMIT, LARGE_ITEMS);
      const until = performance.now() + limits.listMs;
      const ids: string[] = [];
      let cursor = idCursor(query.cursor);
      do {
        const found = await findEvents(db, workspace, query, { cursor, limit: limit - ids.length });
        ids.push(...found.ids);
        cursor = found.next;
      } while (cursor !== undefined && ids.length < limit && performance.now() < until);
      const rows = await readRows(db, workspace, ids, query.brief === true ? limits.briefBytes : null);
      return c.json({ data: rows.map(eventView), next_cursor: cursor ?? null });
    },
  );

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/events/{id}",
      summary: "Read an event, what it started, resumed and cancelled",
      tag,
      params: z.object({ id: z.string() }),
      answers: { 200: ["The event.", eventJson] },
    },
    async ({ c, workspace, params: { id } }) => {
      const event = await findEvent(db, workspace, id);
      if (event === undefined) throw notFound("event", id);
      const started = await listJobs(db, workspace, { kind: "function", eventId: event.id }, limits.listPage);
      const gathered = await gatheredBy(db, event.id, limits.listPage);
      const [resumed, cancelled] = [await listResumed(db, event.id), await listCancelled(db, event.id)];
      return c.json({
        ...eventView(event),
        started: [...new Set([...started.map((run) => run.id), ...gathered])],
        resumed: [...new Set(resumed.map((wait) => wait.jobId))],
        cancelled: cancelled.map((run) => run.jobId),
      });
    },
  );
}

/** The events of a request, with the JSON text of the data of each. */
async function readEvents(c: Context): Promise<{ given: z.infer<typeof newEvents>; raw: string[]; many: boolean }> {
  const { value, text } = await readJson(c);
  const many = Array.isArray(value);
  const checked = newEvents.safeParse(many ? value : [value]);
  if (!checked.success) {
    // Of a single event, the path begins with itself.
    const issues = many
      ? checked.error.issues
      : checked.error.issues.map((issue) => ({ ...issue, path: issue.path.slice(1) }));
    throw refusalOfSchema(new z.ZodError(issues), "");
  }
  const starts = many ? elements(text).map((span) => span.start) : [0];
  return { given: checked.data, raw: starts.map((start) => rawMember(text, "data", start) ?? "null"), many };
}
