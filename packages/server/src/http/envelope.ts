/**
 * What an enqueue request says, through either door: a JSON envelope around the payload, or the payload's raw bytes with
 * the options in headers. Both come to the same `Wanted`.
 */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { newId } from "../core/ids.js";
import { elements } from "../core/json-text.js";
import { limits } from "../core/limits.js";
import { PAGE_HEADER } from "../core/session.js";
import { isTraceparent } from "../core/trace.js";
import type { Changes } from "../store/change.js";
import type { NewJob } from "../store/enqueue.js";
import { mayBeJson, membersOnce, parseJson, readBytes } from "./body.js";
import { invalid, Refusal, refusalOfSchema } from "./errors.js";
import { headersOf } from "./queue-settings.js";
import { headerOf, headersFrom } from "./request-headers.js";
import { attempts, delay, duration, instant, json, key, maxAttemptsOf, NOT_BOTH, notBoth, tags } from "./schemas.js";

const options = {
  job_id: key.optional(),
  delay: delay.optional(),
  run_at: instant.optional(),
  priority: z
    .number()
    .int()
    .min(-limits.priority)
    .max(limits.priority)
    .optional()
    .openapi({ description: "Seconds of head start before other due jobs." }),
  tags: tags.optional(),
  ...attempts,
  timeout: duration({ minMs: 1, maxMs: limits.timeoutMs }).optional(),
  concurrency_key: key
    .optional()
    .openapi({ description: "One active job a key at a time, over all queues; or what the key's limit says." }),
  key_order: z.enum(["started", "strict"]).optional().openapi({
    description: "strict: others of its key wait while it is between two attempts, too. Default: started.",
  }),
  on_duplicate: z.enum(["ignore", "replace", "reject"]).optional().openapi({
    description:
      "Where a job of this id exists: answer with it (the default), put this one in its place while it waits, or fail with 409.",
  }),
};

const DELAY_AND_RUN_AT = "delay and run_at both say when: write one of them";
const once = (given: { delay?: unknown; run_at?: unknown }): boolean =>
  given.delay === undefined || given.run_at === undefined;

const KEY_ORDER = "key_order says how jobs of a concurrency_key follow each other: write that, too";
const ordered = (given: { concurrency_key?: unknown; key_order?: unknown }): boolean =>
  given.key_order === undefined || typeof given.concurrency_key === "string";

export const envelope = z
  .strictObject({ payload: json, ...options, headers: z.record(z.string(), z.string()).optional() })
  .refine(notBoth, NOT_BOTH)
  .refine(once, DELAY_AND_RUN_AT)
  .refine(ordered, KEY_ORDER)
  .openapi("NewJob");

/** What of a job that waits may be changed. */
export const jobChanges = z
  .strictObject({
    payload: json.optional(),
    delay: options.delay,
    run_at: options.run_at,
    priority: options.priority,
    tags: options.tags,
    ...attempts,
    timeout: options.timeout,
    headers: z.record(z.string(), z.string()).optional(),
    concurrency_key: key.nullable().optional().openapi({ description: "null: none any more." }),
    key_order: options.key_order,
  })
  .refine(notBoth, NOT_BOTH)
  .refine(once, DELAY_AND_RUN_AT)
  .refine((given) => Object.values(given).some((value) => value !== undefined), "say what shall change")
  .refine(ordered, KEY_ORDER)
  .openapi("JobChanges");

/** What a job's change asks for. The payload keeps its text. */
export function readChanges(given: z.infer<typeof jobChanges>, text: string): Changes {
  return {
    ...(given.payload === undefined ? {} : { body: payloadIn(text, 0), contentType: "application/json" }),
    delayMs: given.delay,
    runAt: given.run_at,
    priority: given.priority,
    maxAttempts: maxAttemptsOf(given),
    timeoutMs: given.timeout,
    headers: given.headers === undefined ? undefined : headersOf(given.headers, "headers"),
    tags: given.tags,
    concurrencyKey: given.concurrency_key,
    keyOrder: given.key_order,
  };
}

export const batch = z
  .strictObject({ jobs: z.array(envelope).min(1, "a batch holds at least one job").max(limits.batch) })
  .openapi("NewJobs");

/** A job as asked for; its queue is known from the path. */
export type Wanted = { readonly job: Omit<NewJob, "queueId">; readonly rejectDuplicate: boolean };

type Options = Omit<z.infer<typeof envelope>, "payload">;

const wanted = (given: Options, body: Buffer, contentType: string, path: string): Wanted => ({
  job: {
    id: newId(),
    key: given.job_id ?? null,
    body,
    contentType,
    delayMs: given.delay,
    runAt: given.run_at,
    priority: given.priority,
    maxAttempts: maxAttemptsOf(given),
    timeoutMs: given.timeout,
    headers: given.headers === undefined ? undefined : headersOf(given.headers, `${path}headers`),
    tags: given.tags,
    concurrencyKey: given.concurrency_key,
    keyOrder: given.key_order,
    replaces: given.on_duplicate === "replace",
  },
  rejectDuplicate: given.on_duplicate === "reject",
});

/** The jobs of a batch. The payloads are cut out of the text as they were written. */
export function readBatch({ jobs }: z.infer<typeof batch>, text: string): Wanted[] {
  const spans = elements(text, membersOnce(text).get("jobs")!.start);
  return jobs.map((given, index) =>
    wanted(given, payloadIn(text, spans[index]!.start), "application/json", `jobs.${index}.`),
  );
}

/**
 * A job whose payload stands apart from its options: a row of the inbox.
 * @throws Refusal 422 for options that an envelope may not have.
 */
export function readApart(given: Readonly<Record<string, unknown>>, payload: Buffer): Wanted {
  const checked = envelope.safeParse({ ...given, payload: null });
  if (!checked.success) throw refusalOfSchema(checked.error, "options");
  return wanted(checked.data, payload, "application/json", "options.");
}

function payloadIn(text: string, from: number): Buffer {
  const span = membersOnce(text, from).get("payload");
  if (span === undefined) throw invalid("payload", "it is missing; write null for none");
  return Buffer.from(text.slice(span.start, span.end));
}

const OPTION_PREFIX = "x-rotor-";

/**
 * Reads an enqueue. The door is chosen by the content type: JSON, or none, is an envelope; anything else is the payload
 * itself, delivered byte for byte under its own type. `x-rotor-raw: true` sends JSON through the second door, too.
 */
export async function readEnqueue(c: Context): Promise<Wanted> {
  const contentType = headerOf(c, "content-type");
  const given = headerOptions(c);
  if (given.raw || !mayBeJson(contentType))
    return readRaw(given.options, contentType ?? "application/octet-stream", await readBytes(c));
  const [stray] = Object.keys(given.options);
  if (stray !== undefined) {
    const name = OPTION_PREFIX + stray.replaceAll("_", "-");
    throw invalid(
      name,
      "beside a JSON envelope it would have no effect: write it into the envelope, or send the bare payload with x-rotor-raw: true",
    );
  }
  const body = parseJson(await readBytes(c));
  if (body === undefined) throw new Refusal(400, "malformed_json", 'The body is empty. Write { "payload": … }.');
  const checked = envelope.safeParse(body.value);
  if (!checked.success) throw refusalOfSchema(checked.error, "");
  return wanted(checked.data, payloadIn(body.text, 0), "application/json", "");
}

const headerShape = z
  .strictObject(options)
  .refine(notBoth, NOT_BOTH)
  .refine(once, DELAY_AND_RUN_AT)
  .refine(ordered, KEY_ORDER);

/** Numbers are written in digits there; a delay may be. */
const NUMERIC = new Set(["priority", "max_attempts", "retries", "delay"]);

function readRaw(given: Record<string, string>, contentType: string, bytes: Buffer): Wanted {
  if (!/^[\x20-\x7e]{1,200}$/.test(contentType))
    throw invalid("content-type", "it is longer than 200 characters, or not plain ASCII");
  const values = Object.entries(given).map(([name, text]): [string, unknown] => {
    if (name === "tags") return [name, text.split(",").map((tag) => tag.trim())];
    return [name, NUMERIC.has(name) && /^-?\d{1,15}(\.\d{1,9})?$/.test(text) ? Number(text) : text];
  });
  const checked = headerShape.safeParse(Object.fromEntries(values));
  if (!checked.success) throw refusalOfSchema(checked.error, "x-rotor");
  return wanted(checked.data, bytes, contentType, "");
}

/** The `x-rotor-…` headers of a request, by the names that the envelope has for them. */
function headerOptions(c: Context): { raw: boolean; options: Record<string, string> } {
  const all = headersFrom(c, OPTION_PREFIX).filter(([name]) => name !== PAGE_HEADER);
  // Nobody agrees on the encoding of other characters in headers.
  const odd = all.find(([, text]) => !/^[\x20-\x7e]*$/.test(text));
  if (odd !== undefined) throw invalid(odd[0], "it is not plain ASCII; write such a value into a JSON envelope");
  const { raw, ...found } = Object.fromEntries(
    all.map(([name, text]) => [name.slice(OPTION_PREFIX.length).replaceAll("-", "_"), text]),
  );
  if (raw !== undefined && raw !== "true" && raw !== "false")
    throw invalid("x-rotor-raw", "write true, or leave it out");
  return { raw: raw === "true", options: found };
}

/** The jobs as part of the caller's trace, where the request names one: their deliveries pass it on. */
export function inTraceOf(c: Context, all: readonly Wanted[]): readonly Wanted[] {
  const traceparent = traceOf(c);
  if (traceparent === undefined) return all;
  return all.map((each) => ({ ...each, job: { ...each.job, headers: { ...each.job.headers, traceparent } } }));
}

/** The trace that the request is part of, where it names one. */
export function traceOf(c: Context): string | undefined {
  const traceparent = headerOf(c, "traceparent");
  return isTraceparent(traceparent) ? traceparent : undefined;
}
