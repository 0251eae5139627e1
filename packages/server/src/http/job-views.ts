/** How jobs, runs, deliveries and steps look in answers. Where they come from is `store/views.ts`. */
import { z } from "@hono/zod-openapi";
import type { Detail } from "../core/detail.js";
import { glance } from "../core/json-text.js";
import { limits } from "../core/limits.js";
import type { DeliveryView, JobView, StepView } from "../store/views.js";
import { mayBeJson } from "./body.js";
import { error, json, time } from "./schemas.js";

const STATES = ["pending_approval", "waiting", "active", "completed", "failed", "cancelled"] as const;
const REASONS = [
  "delayed",
  "queued",
  "retrying",
  "sleeping",
  "event",
  "signal",
  "child",
  "rate_limited",
  "key_blocked",
  "paused",
  "breaker",
  "unreachable",
  "held",
  "no_url",
  "approval",
] as const;

const state = z.enum(STATES);
const reason = z
  .enum(REASONS)
  .nullable()
  .openapi({ description: "Why it does not move; derived from state, steps and clock." });

/** `?state=` takes a stored state, or a reason that is derived. */
export const stateFilter = z.enum([...STATES, ...REASONS]).optional();

/** Divides such a filter into what is stored and what is left to test. */
export function readStateFilter(text: z.infer<typeof stateFilter>): {
  state?: z.infer<typeof state>;
  keep?: (job: JobView) => boolean;
} {
  if (text === undefined) return {};
  const stored = STATES.find((each) => each === text);
  if (stored !== undefined) return { state: stored };
  return { state: text === "approval" ? "pending_approval" : "waiting", keep: (job) => job.reason === text };
}

const heads = z.record(z.string(), z.string());
const ms = z.number().optional();

export const deliveryJson = z
  .object({
    delivery: z.number().int(),
    attempt: z.number().int(),
    outcome: z.string(),
    status: z.number().int().nullable(),
    ended_at: time,
    duration_ms: z.number(),
    output: json.optional(),
    error: error.nullable(),
    request: z
      .object({ url: z.string(), headers: heads })
      .optional()
      .openapi({ description: "As sent; signatures, capabilities and secrets are replaced by `…`." }),
    response: z.object({ headers: heads }).optional(),
    timing: z.object({ queue_ms: ms, connect_ms: ms, wait_ms: ms, read_ms: ms }).optional().openapi({
      description:
        "Where the time went: from being due to being sent off, until there was a connection, until the answer's head, until its end. A part that was not reached is left out.",
    }),
  })
  .openapi("Delivery");

const common = {
  omitted: z
    .array(z.enum(["payload", "event.data", "output"]))
    .optional()
    .openapi({ description: "Of a brief list: what was left out, as it is large." }),
  id: z.string(),
  state,
  reason,
  until: time.nullable(),
  attempt: z.number().int(),
  max_attempts: z.number().int(),
  tags: z.array(z.string()),
  created_at: time,
  run_at: time,
  finished_at: time.nullable(),
  output: json.optional(),
  error: error.nullable(),
  parent_id: z.string().nullable(),
};

export const jobJson = z
  .object({
    ...common,
    job_id: z.string().nullable(),
    concurrency_key: z.string().nullable(),
    queue: z.string(),
    kind: z.enum(["callback", "function"]),
    payload: json,
    content_type: z.string(),
    payload_encoding: z
      .enum(["json", "base64"])
      .openapi({ description: "`base64`: the payload is no JSON, and its bytes are shown so." }),
    deliveries: z.array(deliveryJson).optional(),
  })
  .openapi("Job");

export const stepJson = z
  .object({
    key: z.string(),
    kind: z.string(),
    state: z.enum(["waiting", "completed", "failed", "dropped"]),
    attempt: z.number().int(),
    asked_at: time.nullable().openapi({ description: "When its wait, or its first result, was stored." }),
    due_at: time.nullable(),
    ended_at: time.nullable(),
    duration_ms: z.number().nullable(),
    output: json.optional(),
    error: error.nullable(),
    failures: z
      .array(z.object({ attempt: z.number().int(), at: time, duration_ms: z.number(), error }))
      .openapi({ description: "Its earlier attempts that failed, the oldest first; of many the newest." }),
    wait: json,
    event_id: z.string().nullable(),
  })
  .openapi("Step");

export const runJson = z
  .object({
    ...common,
    function: z.string(),
    event: z.object({ id: z.string(), name: z.string(), data: json, ts: z.number() }),
    replay_of: z.string().nullable(),
    deadline_at: time
      .nullable()
      .openapi({ description: "It fails where it has not ended by then: its function's timeout." }),
    failure_run_id: z.string().nullable().optional().openapi({
      description: "Of a single failed run: the run of its function's `onFailure` that this failure started.",
    }),
    steps: z.array(stepJson).optional(),
    deliveries: z.array(deliveryJson).optional(),
  })
  .openapi("Run");

/** JSON where a text is JSON that can be written again, else the text itself. */
export function readable(text: string | null): unknown {
  if (text === null) return undefined;
  if (glance(text).depth > DEEPEST) return text;
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: a plain text answer.
    return text;
  }
}

/** What `JSON.stringify` writes without coming near the end of its stack. */
const DEEPEST = 10 * limits.jsonDepth;

const errorOf = (text: string | null): z.infer<typeof error> | null => {
  const value = readable(text);
  if (value === undefined || value === null) return null;
  return typeof value === "object" ? (value as z.infer<typeof error>) : { name: "Error", message: String(value) };
};

/** The name of a job's last error. */
export const errorName = (job: JobView): string | undefined => errorOf(job.error)?.name;

/** Whether a job's last error has this in its text, in upper or lower case. */
export function hasError(job: JobView, text: string): boolean {
  const error = errorOf(job.error);
  if (error === null) return false;
  const parts = [error.name, error.message, error.stack ?? ""];
  return parts.some((part) => part.toLowerCase().includes(text.toLowerCase()));
}

function payloadOf(job: JobView): Pick<z.infer<typeof jobJson>, "payload" | "payload_encoding"> {
  if (job.bodyOmitted) return { payload: null, payload_encoding: "json" };
  const text = job.body.toString("utf8");
  if (mayBeJson(job.contentType) && glance(text).depth <= DEEPEST) {
    try {
      return { payload: JSON.parse(text), payload_encoding: "json" };
    } catch {
      // Raw bytes under the name of JSON: shown as what they are.
    }
  }
  return { payload: job.body.toString("base64"), payload_encoding: "base64" };
}

const omittedOf = (job: JobView, body: "payload" | "event.data") => {
  const omitted = [...(job.bodyOmitted ? [body] : []), ...(job.outputOmitted ? (["output"] as const) : [])];
  return omitted.length === 0 ? {} : { omitted };
};

const commonOf = (job: JobView) => ({
  id: job.id,
  state: job.state,
  reason: job.reason,
  until: job.until?.toISOString() ?? null,
  attempt: job.attempt,
  max_attempts: job.maxAttempts,
  tags: [...(job.tags ?? [])],
  created_at: job.createdAt.toISOString(),
  run_at: job.runAt.toISOString(),
  finished_at: job.finishedAt?.toISOString() ?? null,
  ...(job.output === null ? {} : { output: readable(job.output) }),
  error: errorOf(job.error),
  parent_id: job.parentId,
});

export const jobView = (job: JobView, deliveries?: readonly DeliveryView[]): z.infer<typeof jobJson> => ({
  ...commonOf(job),
  ...omittedOf(job, "payload"),
  job_id: job.key?.startsWith("rotor:") === true ? null : job.key,
  concurrency_key: job.concurrencyKey,
  queue: job.queue,
  kind: job.kind,
  ...payloadOf(job),
  content_type: job.contentType,
  ...(deliveries === undefined ? {} : { deliveries: deliveries.map(deliveryView) }),
});

export const deliveryView = (delivery: DeliveryView): z.infer<typeof deliveryJson> => ({
  delivery: delivery.delivery,
  attempt: delivery.attempt,
  outcome: delivery.outcome,
  status: delivery.status,
  ended_at: delivery.endedAt.toISOString(),
  duration_ms: delivery.durationMs,
  ...(delivery.output === null ? {} : { output: readable(delivery.output) }),
  error: errorOf(delivery.error),
  ...callOf(delivery.detail),
});

/** What is known of the call itself. */
function callOf(text: string | null): Pick<z.infer<typeof deliveryJson>, "request" | "response" | "timing"> {
  if (text === null) return {};
  const { timing, ...heads } = JSON.parse(text) as Detail;
  if (timing === undefined) return heads;
  const { queueMs, connectMs, waitMs, readMs } = timing;
  return { ...heads, timing: { queue_ms: queueMs, connect_ms: connectMs, wait_ms: waitMs, read_ms: readMs } };
}

/** The event that a run was started by. */
export function eventOf(run: JobView): z.infer<typeof runJson>["event"] {
  const text = run.body.toString("utf8");
  if (!run.bodyOmitted) return JSON.parse(text);
  // Its first bytes are here: what `eventBody` writes first are id and name.
  const [, id, name] = HEAD.exec(text) ?? [];
  return {
    id: id === undefined ? "" : JSON.parse(id),
    name: name === undefined ? "" : JSON.parse(name),
    data: null,
    ts: run.createdAt.getTime(),
  };
}

const HEAD = /^\{"id":("(?:[^"\\]|\\.){0,2000}"),"name":("(?:[^"\\]|\\.){0,2000}"),"data":/;

export const runView = (run: JobView): z.infer<typeof runJson> => ({
  ...commonOf(run),
  ...omittedOf(run, "event.data"),
  // A run that returned nothing has an output all the same.
  ...(run.state === "completed" && run.output === null && !run.outputOmitted ? { output: null } : {}),
  function: run.queue,
  event: eventOf(run),
  replay_of: run.replayOf,
  deadline_at: run.deadlineAt?.toISOString() ?? null,
});

type Failure = z.infer<typeof stepJson>["failures"][number];

const failureOf = (text: string): Failure => {
  const { attempt, at, duration_ms, error } = JSON.parse(text) as Failure;
  return { attempt, at: new Date(at).toISOString(), duration_ms, error };
};

export const stepView = (step: StepView): z.infer<typeof stepJson> => ({
  key: step.key,
  kind: step.kind,
  state: step.state as z.infer<typeof stepJson>["state"],
  attempt: step.attempt,
  asked_at: step.askedAt?.toISOString() ?? null,
  due_at: step.dueAt?.toISOString() ?? null,
  ended_at: step.endedAt?.toISOString() ?? null,
  duration_ms: step.durationMs,
  ...(step.output === null ? {} : { output: readable(step.output) }),
  error: errorOf(step.error),
  failures: (step.failures ?? []).map(failureOf),
  wait: step.wait,
  event_id: step.eventId,
});
