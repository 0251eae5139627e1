/**
 * How long finished things are kept: the system's terms, what a queue may say for its own jobs, and how the former are
 * written. What may leave, and how, is `store/prune.ts`.
 */
import { formatDuration, parseDuration } from "@rotorsh/sdk/duration";
import { limits } from "./limits.js";

const DAY = 24 * 3_600_000;

/** What a queue says of its own jobs, as stored in `queues.retention`; what is not in it follows the system's terms. */
export type Retention = {
  /** Milliseconds that a completed job is kept after its end. */
  readonly completedMs?: number;
  readonly failedMs?: number;
  readonly cancelledMs?: number;
};

/** The system's terms, in milliseconds: of jobs after their end, of the rest after it was written. */
export type SystemRetention = Required<Retention> & {
  /** Of an attempt's log row. The last one of a job stays as long as the job. */
  readonly deliveriesMs: number;
  /** Of an event: how far back a wait can look, and how long its id is published once. */
  readonly eventsMs: number;
  readonly auditMs: number;
};

export const DEFAULT_RETENTION: SystemRetention = {
  completedMs: 7 * DAY,
  failedMs: 30 * DAY,
  cancelledMs: 7 * DAY,
  deliveriesMs: 14 * DAY,
  eventsMs: 30 * DAY,
  auditMs: 365 * DAY,
};

/** The shortest that each may be; the reasons stand with the limits. */
export const LEAST_RETENTION: SystemRetention = {
  completedMs: limits.retentionMinMs,
  cancelledMs: limits.retentionMinMs,
  failedMs: limits.retentionMinMs,
  deliveriesMs: limits.leastKeptMs.attempt,
  eventsMs: limits.leastKeptMs.id,
  auditMs: limits.leastKeptMs.audit,
};

/** The names of the terms as a user writes them: `completed`, `failed`, … */
const NAMES = Object.keys(DEFAULT_RETENTION).map((key) => key.slice(0, -2));

/**
 * Reads `completed=7d,failed=30d`; what is left out has its default.
 * @throws Error with a sentence that says what to write, for unknown names and for durations out of bounds.
 */
export function readRetention(text: string): SystemRetention {
  const given: Record<string, number> = {};
  for (const part of text.split(",").map((each) => each.trim())) {
    if (part === "") continue;
    const [name = "", duration = ""] = part.split("=").map((each) => each.trim());
    if (!NAMES.includes(name))
      throw new Error(
        `${JSON.stringify(part)}: write a name of ${NAMES.join(", ")}, and a duration, such as failed=30d`,
      );
    const key = `${name}Ms` as keyof SystemRetention;
    if (key in given) throw new Error(`${name} stands there twice`);
    const ms = parseDuration(duration, { maxMs: limits.retentionMaxMs, name });
    if (ms < LEAST_RETENTION[key])
      throw new Error(`${name}: ${duration} is too short, at least ${formatDuration(LEAST_RETENTION[key])} is needed`);
    given[key] = ms;
  }
  return { ...DEFAULT_RETENTION, ...given };
}

/** The terms of one queue's jobs. */
export const termsOf = (system: SystemRetention, queue: Retention): Required<Retention> => ({
  completedMs: queue.completedMs ?? system.completedMs,
  failedMs: queue.failedMs ?? system.failedMs,
  cancelledMs: queue.cancelledMs ?? system.cancelledMs,
});

const MOST_OFTEN_MS = 3_000;
const LEAST_OFTEN_MS = 600_000;

/** How long after one sweep the next begins: things leave late by a twentieth of their term, ten minutes at most. */
export const sweepEveryMs = (shortestMs: number): number =>
  Math.min(LEAST_OFTEN_MS, Math.max(MOST_OFTEN_MS, shortestMs / 20));
