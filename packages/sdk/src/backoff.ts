/** How long to wait before a step's next attempt. Pure but for the dice of the jitter. */

import type { Duration } from "./duration.js";
import { parseDuration } from "./duration.js";

/** A named curve, or the delay after each attempt (the last one repeats). */
export type Backoff = "exponential" | "linear" | "fixed" | readonly Duration[];

const MIN_MS = 2_000;
const FACTOR = 3;
const MAX_MS = 3_600_000;

const curves = {
  exponential: (attempt: number) => MIN_MS * FACTOR ** (attempt - 1),
  linear: (attempt: number) => MIN_MS * attempt,
  fixed: () => MIN_MS,
} as const;

/**
 * Milliseconds from the end of attempt number `attempt` (from 1) to the start of the next. A named curve has half jitter:
 * steps that failed together do not come back together.
 */
export function backoffMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  if (typeof backoff !== "string") return parseDuration(backoff[Math.min(attempt, backoff.length) - 1] ?? "2s");
  const full = Math.min(MAX_MS, curves[backoff](attempt));
  return Math.round(full * (0.5 + random() / 2));
}

/** @throws RotorInputError for an unknown curve or a delay that is no duration. */
export function isBackoff(value: unknown): value is Backoff {
  if (typeof value === "string") return Object.hasOwn(curves, value);
  if (!Array.isArray(value) || value.length === 0) return false;
  for (const delay of value) parseDuration(delay, { name: "backoff" });
  return true;
}
