/** What a function's options come to for one event: its expressions, evaluated. Pure. */
import { createHash } from "node:crypto";
import type { StartOptions } from "@rotorsh/sdk/protocol";
import { parserOver } from "./expression.js";
import { limits } from "./limits.js";
import type { MatchedEvent } from "./match.js";

const parse = parserOver(["event", "data"]);

/** Says what is wrong with an expression over an event, or nothing. */
export function checkStartExpression(expression: string): string | undefined {
  try {
    const result = parse(expression).check();
    return result.valid ? undefined : String(result.error?.message ?? "It is not a valid expression.");
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** A key that a run takes turns by: at most `limit` of them at a time; `strict`: it keeps its turn until it has ended. */
export type FunctionKey = { readonly key: string; readonly limit: number; readonly strict?: boolean };

/** Values are texts, compared for equality only. */
export type StartValues = {
  /** Of two starts with one the second does nothing. */
  readonly once: string | undefined;
  /** Seconds of head start. */
  readonly priority: number | undefined;
  readonly keys: readonly FunctionKey[];
  readonly singleton: { readonly mode: "skip" | "cancel"; readonly value: string } | undefined;
  /** Value by which events are gathered. */
  readonly gathering: string | undefined;
};

/** Nothing of it needs an event to be known, or a look at what there is. */
export const isPlain = (options: StartOptions): boolean =>
  options.keys === undefined &&
  options.singleton === undefined &&
  options.debounce === undefined &&
  options.batch === undefined &&
  options.priority === undefined &&
  options.idempotency_key === undefined &&
  options.timeout_ms === undefined &&
  options.cancel_on === undefined;

export function startValues(options: StartOptions, event: MatchedEvent): StartValues {
  const value = (expression: string | undefined): unknown =>
    expression === undefined ? null : valueIn(expression, event);
  const { singleton } = options;
  const single = singleton === undefined ? undefined : textOf(value(singleton.key));
  const once = value(options.idempotency_key);
  const gathers = options.batch ?? options.debounce;
  return {
    // Of events without a value the second would be lost: what is missing is no value here.
    once: once === null ? undefined : textOf(once),
    priority: options.priority === undefined ? undefined : headStart(value(options.priority)),
    keys: [
      ...(singleton?.mode === "wait" ? [{ key: single!, limit: 1, strict: true }] : []),
      ...(options.keys ?? []).map(({ key, limit }) => ({ key: textOf(value(key)), limit })),
    ],
    singleton:
      singleton === undefined || singleton.mode === "wait" ? undefined : { mode: singleton.mode, value: single! },
    gathering: gathers === undefined ? undefined : textOf(value(gathers.key)),
  };
}

/** As CEL has it, a missing field is an error; as a value it is null. */
function valueIn(expression: string, event: MatchedEvent): unknown {
  try {
    return (parse(expression)({ event, data: event.data }) as unknown) ?? null;
  } catch {
    return null;
  }
}

/** An index entry has little room, and the values are only compared. */
const fitting = (text: string): string =>
  text.length <= limits.keyLength / 2 ? text : `sha256:${createHash("sha256").update(text).digest("hex")}`;

/** A whole number of CEL's own is the number that JSON would have brought. */
const textOf = (value: unknown): string =>
  fitting(JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? Number(each) : each)) ?? "null");

/** What is no number gives nobody a head start. */
function headStart(value: unknown): number {
  const seconds = typeof value === "bigint" ? Number(value) : value;
  if (typeof seconds !== "number" || Number.isNaN(seconds)) return 0;
  return Math.round(Math.min(limits.priority, Math.max(-limits.priority, seconds)));
}
