/**
 * Reads what an app says: the answer to a delivery, a checkpoint's body, a manifest. Shape and bounds; no store. What passes
 * here can be stored: an app that is broken, or somebody else's by now, costs its own run an attempt and nobody anything else.
 */
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
import { glance } from "./json-text.js";
import { limits } from "./limits.js";
import { matchObject, startOptions } from "./start-options.js";

/** Postgres has no NUL in a text; half of a surrogate pair would come back as another character, under a key that the code does not know. */
const text = z
  .string()
  .refine((value) => !value.includes("\0"), 'it holds the character "\\u0000"')
  .refine((value) => !/\p{Surrogate}/u.test(value), "it holds half of a surrogate pair");

const wireError: z.ZodType<WireError> = z.object({
  name: z.string().max(300),
  message: z.string().transform((given) => given.slice(0, limits.errorMessageLength)),
  stack: z
    .string()
    .transform((given) => given.slice(0, limits.errorStackLength))
    .optional(),
  code: z.string().max(300).optional(),
  step: z.string().min(1).max(300).optional(),
  get cause(): z.ZodOptional<z.ZodType<WireError>> {
    return wireError.optional();
  },
});

/** What was parsed from JSON is JSON: looking at each of its values again would cost time, and zod drops `__proto__`. */
const json = z.custom<Json>((value) => value !== undefined, "is missing");
/** What is stored as an event's data or a job's payload, which strings with NUL cannot be; a step's output is kept as JSON text. */
const carried = z.custom<Json>(
  (value) => value !== undefined && glance(JSON.stringify(value)).unstorable === undefined,
  'is missing, or holds "\\u0000" or half of a surrogate pair',
);
const key = text.min(1).max(300);
const name = text.min(1).max(limits.nameLength);
const isNotOurs = (id: string): boolean => !id.startsWith("rotor:");
/** An id that its sender makes up. Those with this beginning are made here, and one of them could be in the way of another run's. */
const ownId = text.min(1).max(limits.keyLength).refine(isNotOurs, 'ids that begin with "rotor:" are Rotor\'s own');
const sentName = name.refine((each) => !each.startsWith("rotor/"), 'names that begin with "rotor/" are Rotor\'s own');
const tags = z.array(text.min(1).max(limits.tagLength)).max(limits.tags);
const delay = z.number().min(0).max(limits.delayMs);
/** Of the year 9999: beyond it Postgres and other readers of dates disagree. */
const LAST_YEAR_ENDS_MS = 253_402_300_799_999;
const attempt = z.number().int().min(1).max(1_000_000);

const match = z.union([text, matchObject]).optional();
const lookBack = { after: key.optional(), previous: key.optional(), since_ms: delay.optional() };
const signal = text.min(1).max(limits.signalLength);
const partName = text.min(1).max(limits.partNameLength);

/** An integer of Postgres: 24 days, and a step has half of one. */
const duration = z.number().min(0).max(2_147_483_647);
const run = { kind: z.literal("run"), key, attempt, duration_ms: duration };
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
  z.object({ kind: z.literal("invoke"), key, function: name, data: carried, timeout_ms: delay }),
  z.object({
    kind: z.literal("enqueue"),
    key,
    queue: name,
    payload: carried,
    options: z.object({
      job_id: ownId.optional(),
      delay_ms: delay.optional(),
      priority: z.number().int().min(-limits.priority).max(limits.priority).optional(),
      concurrency_key: text.min(1).max(limits.keyLength).optional(),
      key_order: z.enum(["started", "strict"]).optional(),
      tags: tags.optional(),
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
          name: sentName,
          data: carried,
          id: ownId.optional(),
          ts: z.number().int().min(0).max(LAST_YEAR_ENDS_MS).optional(),
          tags: tags.optional(),
        }),
      )
      .max(limits.batch),
  }),
]);
const stepKind = z.enum(["run", "sleep", "event", "signal", "any", "invoke", "enqueue", "send"]);
const reports = z.array(report).max(limits.reports);
const base = { version: z.literal(PROTOCOL_VERSION), hash: text.max(200) };

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
  sdk: text.max(100),
  hash: text.max(200),
  dev: z.boolean(),
  checks: z.boolean().optional(),
  functions: z
    .array(
      z.object({
        id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/),
        triggers: z
          .array(
            z.union([
              z.object({ event: name, if: text.optional() }),
              z.object({ cron: text.max(200), timezone: text.max(100) }),
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

/** A payload's depth, and what stands around it. */
const MOST_NESTED = limits.jsonDepth + 8;

function parseText<T>(schema: z.ZodType<T>, written: string): Parsed<T> {
  // Before anything that recurses.
  const { depth } = glance(written);
  if (depth > MOST_NESTED) return { ok: false, message: `it is nested ${depth} deep; ${MOST_NESTED} is the limit` };
  let value: unknown;
  try {
    value = JSON.parse(written);
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
  return parse(schema, value);
}

export const parseAnswer = (written: string): Parsed<Answer> => parseText(answer, written);
export const parseManifest = (written: string): Parsed<Manifest> => parseText(manifest, written);
export const parseCheckpoint = (value: unknown): Parsed<CheckpointRequest> => parse(checkpoint, value);
