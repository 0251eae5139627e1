/** Durations as people write them, `"30s"` or `"24h"`, and as milliseconds. No dates, no calendar: a day is 24 hours. */

import { RotorInputError } from "./input-error.js";

/** A number and its unit, without a space: milliseconds, seconds, minutes, hours, days, weeks. */
export type Duration = `${number}${"ms" | "s" | "m" | "h" | "d" | "w"}`;

const UNIT_MS = { w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;

/** The longest duration that anything in Rotor takes: 365 days. */
export const YEAR_MS = 365 * UNIT_MS.d;

// Fifteen digits stay exact in a double; nobody means more.
const FORM = /^(\d{1,15}(?:\.\d{1,9})?)(ms|s|m|h|d|w)$/;

/** The shortest exact text for whole milliseconds: 90_000 is `"90s"`, 3_600_000 is `"1h"`. */
export function formatDuration(ms: number): Duration {
  for (const [unit, unitMs] of Object.entries(UNIT_MS)) {
    if (ms !== 0 && ms % unitMs === 0) return `${ms / unitMs}${unit as keyof typeof UNIT_MS}`;
  }
  return `${ms}ms`;
}

const hintFor = (value: unknown): string => {
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) {
    return `a bare number has no unit: write "${value}s" for seconds or "${formatDuration(Math.round(value))}" for milliseconds`;
  }
  const shown = typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : typeof value;
  return `got ${shown}: write a number and a unit without a space, one of ms, s, m, h, d, w, such as "500ms", "30s" or "24h"`;
};

/**
 * A duration in whole milliseconds.
 * @param options.maxMs the longest that is accepted (default: 365 days); `options.name` says in errors what was read.
 * @throws RotorInputError for anything else than a duration; its message says what to write.
 */
export function parseDuration(text: Duration | (string & {}), options: { maxMs?: number; name?: string } = {}): number {
  const { maxMs = YEAR_MS, name = "duration" } = options;
  const parts = typeof text === "string" ? FORM.exec(text) : null;
  if (!parts) throw new RotorInputError(`${name}: ${hintFor(text)}`);
  const ms = Math.round(Number(parts[1]) * UNIT_MS[parts[2] as keyof typeof UNIT_MS]);
  if (ms > maxMs)
    throw new RotorInputError(`${name}: ${text} is too long, at most ${formatDuration(maxMs)} is possible`);
  return ms;
}
