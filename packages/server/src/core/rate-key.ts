/** The value of a queue's rate key for one job: CEL over its payload. */
import { createHash } from "node:crypto";
import { Environment } from "@marcbachmann/cel-js";
import { parserOver } from "./expression.js";
import { limits } from "./limits.js";

const parse = parserOver(["payload", "event", "data"]);

/** What a callback job has; under the names of a function's event every one of them would share one limit. */
const callbacks = new Environment({ unlistedVariablesAreDyn: false }).registerVariable("payload", "dyn");

/** Says what is wrong with an expression for a callback queue's key, or nothing. */
export function checkKeyExpression(expression: string): string | undefined {
  try {
    parse(expression);
    const result = callbacks.check(expression);
    return result.valid ? undefined : String(result.error?.message ?? "It is not a valid expression.");
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Where a function's rate has no key: one value for all its runs, an expression like any other. */
export const ONE_FOR_ALL = '""';

/** Of jobs for which the expression finds nothing, or fails: they share one limit. */
const NOTHING = "null";

/**
 * The value as text. `payload` is what was enqueued, `null` where that is no JSON; for a function `event` is its event,
 * and `data` the event's.
 */
export function rateKeyOf(expression: string, job: { readonly body: Buffer; readonly contentType: string }): string {
  const payload = payloadOf(job);
  const data =
    typeof payload === "object" && payload !== null && "data" in payload ? (payload as { data: unknown }).data : null;
  const text = valueIn(expression, { payload, event: payload, data });
  // An index entry has little room, and a key is only compared.
  return text.length <= limits.keyLength ? text : `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

function valueIn(expression: string, context: Record<string, unknown>): string {
  try {
    const value = parse(expression)(context) as unknown;
    return value === undefined || value === null ? NOTHING : JSON.stringify(value, bigints);
  } catch {
    // As CEL has it, a missing field is an error.
    return NOTHING;
  }
}

const bigints = (_: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);

function payloadOf({ body, contentType }: { readonly body: Buffer; readonly contentType: string }): unknown {
  if (!contentType.includes("json")) return null;
  try {
    return JSON.parse(body.toString());
  } catch {
    // A raw body that only says that it is JSON.
    return null;
  }
}
