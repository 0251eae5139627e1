/** What names, durations, tags and pages look like in requests. One place, so that all routes say the same. */

import { z } from "@hono/zod-openapi";
import { formatDuration, parseDuration } from "@rotorsh/sdk/duration";
import { limits } from "../core/limits.js";

/** C0, DEL and C1 controls. */
const CONTROL = /\p{Cc}/u;

/** Text without control characters: it can be stored, shown and logged. */
export const isPlain = (text: string): boolean => !CONTROL.test(text);

const plain = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine(isPlain, "it holds a control character")
    .refine((text) => text.trim() !== "", "it is blank");

export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Names of queues, schedules and functions. */
export const name = z
  .string()
  .regex(NAME, "write up to 128 letters, digits, dots, dashes and underscores, a letter or digit first")
  .openapi({ example: "enrichment" });

/** A client's own id of a job, run or event. */
export const key = plain(limits.keyLength)
  .refine((text) => !text.startsWith("rotor:"), 'ids that begin with "rotor:" are Rotor\'s own')
  .openapi({ example: "order-4711" });

export const eventName = plain(limits.nameLength)
  .refine((text) => !text.startsWith("rotor/"), 'names that begin with "rotor/" are Rotor\'s own')
  .openapi({ example: "contact.added" });

/** Texts that filters compare with. */
export const filterText = plain(limits.keyLength);

export const tag = plain(limits.tagLength);
export const tags = z
  .array(tag)
  .max(limits.tags)
  .refine((all) => new Set(all).size === all.length, "a tag stands there twice")
  .openapi({ example: ["eu", "import"] });

/** A duration such as "30s", as milliseconds. */
export const duration = (range: { readonly minMs?: number; readonly maxMs: number }) =>
  z
    .unknown()
    .transform((value, context) => toMs(value, range, context))
    .openapi({ type: "string", pattern: "^\\d+(\\.\\d+)?(ms|s|m|h|d|w)$", example: "30s" });

/** A job's delay: a duration, or a number of seconds. The only place where a bare number is taken. */
export const delay = z
  .unknown()
  .transform((value, context) => {
    if (typeof value !== "number") return toMs(value, { maxMs: limits.delayMs }, context);
    if (value >= 0 && value * 1_000 <= limits.delayMs) return Math.round(value * 1_000);
    const most = limits.delayMs / 1_000;
    context.addIssue({ code: "custom", message: `a number is seconds, from 0 to ${most}: ${value} is not` });
    return z.NEVER;
  })
  .openapi({
    type: ["string", "number"],
    description: 'A duration such as "5m", or a number of seconds.',
    example: "5m",
  });

function toMs(
  value: unknown,
  { minMs = 0, maxMs }: { minMs?: number; maxMs: number },
  context: z.RefinementCtx,
): number {
  try {
    const ms = parseDuration(value as string, { maxMs });
    if (ms >= minMs) return ms;
    context.addIssue({
      code: "custom",
      message: `${value} is too short, at least ${formatDuration(minMs)} is possible`,
    });
  } catch (error) {
    context.addIssue({
      code: "custom",
      message: error instanceof Error ? error.message.replace(/^duration: /, "") : String(error),
    });
  }
  return z.NEVER;
}

/** A date with an offset, as RFC 3339 in UTC. */
export const instant = z.iso
  .datetime({ offset: true, error: 'write a date with its offset, such as "2026-11-23T20:00:00Z"' })
  .transform((text, context) => {
    const date = new Date(text);
    const year = date.getUTCFullYear();
    // Beyond these years Postgres and other readers of dates disagree, or refuse.
    if (year >= 1970 && year <= 9999) return date.toISOString();
    context.addIssue({ code: "custom", message: "the year must be between 1970 and 9999" });
    return z.NEVER;
  })
  .openapi({ type: "string", format: "date-time", example: "2026-11-23T20:00:00Z" });

/** Attempts in all; `retries` counts them without the first. */
export const attempts = {
  max_attempts: z.number().int().min(1).max(limits.maxAttempts).optional(),
  retries: z
    .number()
    .int()
    .min(0)
    .max(limits.maxAttempts - 1)
    .optional(),
};

/** Attempts in all, of whichever was written. */
export const maxAttemptsOf = (given: { max_attempts?: number; retries?: number }): number | undefined =>
  given.max_attempts ?? (given.retries === undefined ? undefined : given.retries + 1);

export const notBoth = (given: { max_attempts?: unknown; retries?: unknown }): boolean =>
  given.max_attempts === undefined || given.retries === undefined;
export const NOT_BOTH = "max_attempts and retries say the same: write one of them";

/** A number in a query string. */
const digits = z
  .string()
  .regex(/^\d{1,6}$/, "write a whole number")
  .transform(Number);

/** The page of a list. */
export const page = {
  limit: digits.pipe(z.number().min(1).max(limits.listPage)).optional().openapi({
    type: "integer",
    minimum: 1,
    maximum: limits.listPage,
    description: "Items a page, at most. Lists whose items are large give fewer.",
  }),
  cursor: filterText.optional().openapi({ description: "The `next_cursor` of the page before." }),
};

/** Of lists whose items may be large. */
export const brief = z
  .enum(["true", "false"])
  .transform((text) => text === "true")
  .optional()
  .openapi({ type: "boolean", description: "Leave out what is large: `omitted` of an item names it." });

/** A list's answer. */
export const listOf = <T extends z.ZodType>(item: T) =>
  z.object({ data: z.array(item), next_cursor: z.string().nullable() });

export const json = z.unknown().openapi({ description: "Any JSON." });
export const time = z.string().openapi({ format: "date-time" });
export const error = z
  .object({
    name: z.string(),
    message: z.string(),
    stack: z.string().optional(),
    code: z.string().optional(),
    step: z
      .string()
      .optional()
      .openapi({ description: "Of a run: the key of the failed step whose error it did not catch." }),
  })
  .openapi("WireError");

/** A place in the order of a run's results. */
export const seqCursor = z.string().regex(/^\d{1,15}$/, "it is not the `more` of a delivery or page");
