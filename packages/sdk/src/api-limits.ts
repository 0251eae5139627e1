/** What limits a queue and its jobs, as the client gives and returns it. The rest of a queue is in `api.ts`. */

import type { Duration } from "./duration.js";

/** Deliveries that may begin in any span of `period`. What is more waits, and is never dropped. */
export type RateLimit = {
  readonly limit: number;
  readonly period: Duration;
  /** CEL over `payload`, such as `"payload.customer"`: each of its values has the limit to itself. */
  readonly key?: string;
};

/** When a queue's endpoint is left alone for a while: no job is lost, they wait. */
export type Breaker = {
  /** Failures of the endpoint in a row (not reached, too slow, 5xx, 429) that open it (default 5). */
  readonly failures: number;
  /** How long it is open first (default `"5s"`). Then one job is sent; when that fails too, it is open twice as long. */
  readonly min: Duration;
  /** The longest that it is open at a time (default `"1m"`). */
  readonly max: Duration;
};

/** How long finished jobs are kept. What is left out follows the server's: `"7d"`, failed ones `"30d"`. */
export type Retention = {
  readonly completed?: Duration;
  readonly failed?: Duration;
  readonly cancelled?: Duration;
};

/** A key whose jobs take turns, over all queues of the workspace. */
export type ConcurrencyKey = {
  readonly key: string;
  /** Jobs that may be active at a time (1 unless it was set). */
  readonly limit: number;
  /** Jobs that have a turn. */
  readonly active: number;
  /** Due jobs that wait for one, counted up to 1,000. */
  readonly blocked: number;
};
