/**
 * How the runs of a function are started and ended, as its app says it: the shape, its bounds, and what cannot work. What
 * the SDK refuses is refused here again: other dialects may stand beside it. What it comes to for one event is in
 * `start-values.ts`.
 */
import type { FunctionManifest, MatchObject, StartOptions } from "@rotorsh/sdk/protocol";
import { z } from "zod";
import { limits } from "./limits.js";
import { checkExpression } from "./match.js";
import { checkStartExpression } from "./start-values.js";

const isStorable = (text: string): boolean => !text.includes("\0");
const expression = z.string().min(1).max(limits.expressionLength).refine(isStorable, "it holds NUL");
const span = z.number().int().min(1).max(limits.delayMs);
const name = z.string().min(1).max(limits.nameLength).refine(isStorable, "it holds NUL");
const scalar = z.union([z.string().max(1_000).refine(isStorable), z.number(), z.boolean(), z.null()]);

/** Taken as it is: a record of zod's would drop `__proto__`, and what is left of such a match would match everything. */
export const matchObject = z.custom<MatchObject>(
  (value) =>
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(value).every(
      ([path, wanted]) => path.length > 0 && path.length <= 200 && isStorable(path) && scalar.safeParse(wanted).success,
    ),
  "must be an expression, or an object of paths and the text, number, true, false or null that each must equal",
);

/** The fields of a function's manifest that are `StartOptions`. */
export const startOptions = {
  keys: z
    .array(z.object({ key: expression, limit: z.number().int().min(1).max(limits.concurrency) }))
    .max(limits.functionKeys)
    .optional(),
  singleton: z.object({ key: expression.optional(), mode: z.enum(["wait", "skip", "cancel"]) }).optional(),
  rate_limit: z
    .object({
      limit: z.number().int().min(1).max(limits.rate),
      period_ms: z.number().int().min(limits.ratePeriodMinMs).max(limits.ratePeriodMaxMs),
      key: expression.optional(),
    })
    .optional(),
  debounce: z.object({ period_ms: span, key: expression.optional(), max_wait_ms: span.optional() }).optional(),
  batch: z
    .object({ size: z.number().int().min(1).max(limits.batch), timeout_ms: span, key: expression.optional() })
    .optional(),
  priority: expression.optional(),
  idempotency_key: expression.optional(),
  timeout_ms: span.optional(),
  cancel_on: z
    .array(z.object({ event: name, match: z.union([expression, matchObject]).optional(), timeout_ms: span.optional() }))
    .max(limits.cancelOn)
    .optional(),
  on_failure: name.optional(),
};

/** Says what of a function's options cannot work, or nothing. `ids` are those of all functions of its app. */
export function checkStartOptions(options: FunctionManifest, ids: ReadonlySet<string>): string | undefined {
  const wrong = expressionsOf(options).flatMap(([place, text]) => {
    const found = checkStartExpression(text);
    return found === undefined ? [] : [`${place} ${JSON.stringify(text)}: ${found}`];
  });
  if (wrong[0] !== undefined) return wrong[0];
  for (const { match } of options.cancel_on ?? []) {
    const found = typeof match === "string" ? checkExpression(match) : undefined;
    if (found !== undefined) return `cancel_on ${JSON.stringify(match)}: ${found}`;
  }
  return together(options, ids);
}

function expressionsOf(options: StartOptions): (readonly [string, string])[] {
  const places: readonly (readonly [string, string | undefined])[] = [
    ...(options.keys ?? []).map(({ key }) => ["concurrency", key] as const),
    ["singleton", options.singleton?.key],
    ["rate_limit", options.rate_limit?.key],
    ["debounce", options.debounce?.key],
    ["batch", options.batch?.key],
    ["priority", options.priority],
    ["idempotency_key", options.idempotency_key],
  ];
  return places.flatMap(([place, text]) => (text === undefined ? [] : [[place, text] as const]));
}

/** What each by itself is right and together makes no sense. */
function together(options: FunctionManifest, ids: ReadonlySet<string>): string | undefined {
  const { keys = [], singleton, debounce, batch, on_failure: onFailure } = options;
  if (keys.length + (singleton === undefined ? 0 : 1) > limits.functionKeys)
    return `at most ${limits.functionKeys} concurrency keys are possible, a singleton's counted in`;
  if (keys.length === 2 && keys[0]!.key === keys[1]!.key) return "two concurrency limits have one key";
  if (onFailure !== undefined && !ids.has(onFailure)) return `its app has no function ${onFailure} for its failures`;
  if (debounce !== undefined && batch !== undefined) return "debounce and batch exclude each other";
  if (debounce?.max_wait_ms !== undefined && debounce.max_wait_ms < debounce.period_ms)
    return "debounce.max_wait_ms is less than its period";
  const gathers = batch !== undefined ? "batch" : debounce !== undefined ? "debounce" : undefined;
  if (gathers === undefined) return undefined;
  if (!options.triggers.some((trigger) => "event" in trigger))
    return `${gathers} gathers events, and the function has no event trigger`;
  if (singleton !== undefined && singleton.mode !== "wait")
    return `with ${gathers}, a singleton's mode can only be "wait": a run that gathers is unfinished already`;
  if (options.idempotency_key !== undefined) return `with ${gathers} a run has several events, so no idempotency_key`;
  if (options.priority !== undefined) return `with ${gathers} a run is due later, so a priority does nothing`;
  return undefined;
}
