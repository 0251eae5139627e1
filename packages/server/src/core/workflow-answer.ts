/** Reads what an app says: the answer to a delivery, a checkpoint's body, a manifest. Shape and bounds; no store. */
import {
  type Answer,
  type CheckpointRequest,
  type Json,
  type Manifest,
  PROTOCOL_VERSION,
  type Report,
  type WireError,
} from "@rotorsh/sdk/protocol";
import { z } from "zod";
import { limits } from "./limits.js";
import { matchObject, startOptions } from "./start-options.js";

const wireError: z.ZodType<WireError> = z.object({
  name: z.string().max(300),
  message: z.string().transform((text) => text.slice(0, limits.errorMessageLength)),
  stack: z
    .string()
    .transform((text) => text.slice(0, limits.errorStackLength))
    .optional(),
  code: z.string().max(300).optional(),
  step: z.string().min(1).max(300).optional(),
  get cause(): z.ZodOptional<z.ZodType<WireError>> {
    return wireError.optional();
  },
});

/** What was parsed from JSON is JSON: looking at each of its values again would cost time, and zod drops `__proto__`. */
const json = z.custom<Json>((value) => value !== undefined, "is missing");
const key = z.string().min(1).max(300);
const name = z.string().min(1).max(limits.nameLength);
const delay = z.number().min(0).max(limits.delayMs);
/** Of the year 9999: beyond it Postgres and other readers of dates disagree. */
const LAST_YEAR_ENDS_MS = 253_402_300_799_999;
const attempt = z.number().int().min(1).max(1_000_000);

const match = z.union([z.string(), matchObject]).optional();
const lookBack = { after: key.optional(), previous: key.optional(), since_ms: delay.optional() };
const signal = z.string().min(1).max(limits.signalLength);
const partName = z.string().min(1).max(limits.partNameLength);

const run = { kind: z.literal("run"), key, attempt, duration_ms: z.number().min(0) };
const report: z.ZodType<Report> = z.union([
  z.object({ ...run, outcome: z.literal("completed"), output: json }),
  z.object({ ...run, outcome: z.literal("failed"), error: wireError }),
  z.object({ ...run, outcome: z.literal("retry"), error: wireError, delay_ms: delay }),
  z.object({ kind: z.literal("sleep"), key, delay_ms: delay }),
  z.object({ kind: z.literal("sleep"), key, until_ms: z.number().int().min(0).max(8.64e15) }),
  z.object({ kind: z.literal("event"), key, event: name, match, timeout_ms: delay, ...lookBack }),
  z.object({ kind: z.literal("signal"), key, signal, timeout_ms: delay }),
  z.object({
    kind: z.literal("any"),
    key,
    parts: z
      .array(
        z.union([z.strictObject({ name: partName, event: name, match }), z.strictObject({ name: partName, signal })]),
      )
      .min(1)
      .max(limits.parts)
      .refine((parts) => new Set(parts.map((part) => part.name)).size === parts.length, "two parts have one name"),
    timeout_ms: delay,
    ...lookBack,
  }),
  z.object({ kind: z.literal("invoke"), key, function: name, data: json, timeout_ms: delay }),
  z.object({
    kind: z.literal("enqueue"),
    key,
    queue: name,
    payload: json,
    options: z.object({
      job_id: z.string().min(1).max(limits.keyLength).optional(),
      delay_ms: delay.optional(),
      priority: z.number().int().min(-limits.priority).max(limits.priority).optional(),
      concurrency_key: z.string().min(1).max(limits.keyLength).optional(),
      key_order: z.enum(["started", "strict"]).optional(),
      tags: z.array(z.string().min(1).max(limits.tagLength)).max(limits.tags).optional(),
      max_attempts: z.number().int().min(1).max(limits.maxAttempts).optional(),
      timeout_ms: z.number().int().min(1).max(limits.timeoutMs).optional(),
    }),
    wait: z.boolean(),
    timeout_ms: delay.optional(),
  }),
  z.object({
    kind: z.literal("send"),
    key,
    events: z
      .array(
        z.object({
          name,
          data: json,
          id: z.string().min(1).max(limits.keyLength).optional(),
          ts: z.number().int().min(0).max(LAST_YEAR_ENDS_MS).optional(),
          tags: z.array(z.string().min(1).max(limits.tagLength)).max(limits.tags).optional(),
        }),
      )
      .max(limits.batch),
  }),
]);
const stepKind = z.enum(["run", "sleep", "event", "signal", "any", "invoke", "enqueue", "send"]);
const reports = z.array(report).max(limits.reports);
const base = { version: z.literal(PROTOCOL_VERSION), hash: z.string().max(200) };

const answer: z.ZodType<Answer> = z.union([
  z.object({ ...base, status: z.literal("completed"), output: json }),
  z.object({
    ...base,
    status: z.literal("failed"),
    error: wireError,
    retriable: z.boolean(),
    retry_after_ms: z.number().min(0).optional(),
  }),
  z.object({ ...base, status: z.enum(["waiting", "yield"]), reports, known_seq: z.number().int().min(0).optional() }),
  z.object({ ...base, status: z.literal("stale") }),
  z.object({ ...base, status: z.literal("checked"), next: z.array(key).max(limits.stepsPerRun) }),
  z.object({
    ...base,
    status: z.literal("diverged"),
    step: key,
    recorded: stepKind,
    asked: stepKind.nullable(),
  }),
]);

const checkpoint: z.ZodType<CheckpointRequest> = z.object({
  version: z.literal(PROTOCOL_VERSION),
  runs: z
    .array(z.object({ token: z.string().max(500), reports, known_seq: z.number().int().min(0) }))
    .max(limits.batch),
});

const manifest: z.ZodType<Manifest> = z.object({
  version: z.literal(PROTOCOL_VERSION),
  app: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/),
  sdk: z.string().max(100),
  hash: z.string().max(200),
  dev: z.boolean(),
  checks: z.boolean().optional(),
  functions: z
    .array(
      z.object({
        id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/),
        triggers: z
          .array(
            z.union([
              z.object({ event: name, if: z.string().optional() }),
              z.object({ cron: z.string().max(200), timezone: z.string().max(100) }),
            ]),
          )
          .max(20),
        max_attempts: z.number().int().min(1).max(limits.maxAttempts),
        concurrency: z.number().int().min(1).max(limits.concurrency),
        ...startOptions,
      }),
    )
    .max(1_000),
});

/** A value, or why the text is none. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

function parse<T>(schema: z.ZodType<T>, value: unknown): Parsed<T> {
  const result = schema.safeParse(value);
  if (result.success) return { ok: true, value: result.data };
  const issue = result.error.issues[0];
  return { ok: false, message: `${issue?.path.join(".") || "body"}: ${issue?.message}` };
}

function parseText<T>(schema: z.ZodType<T>, text: string): Parsed<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
  return parse(schema, value);
}

export const parseAnswer = (text: string): Parsed<Answer> => parseText(answer, text);
export const parseManifest = (text: string): Parsed<Manifest> => parseText(manifest, text);
export const parseCheckpoint = (value: unknown): Parsed<CheckpointRequest> => parse(checkpoint, value);
