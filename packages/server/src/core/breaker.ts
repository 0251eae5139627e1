/** When a queue's endpoint is left alone for a while. Off unless a queue asks for it. */

export type Breaker = {
  /** Failures of the endpoint in a row (not reached, too slow, 5xx, 429) that open it. */
  readonly failures: number;
  /** How long it is open first, in milliseconds; twice as long each time that the one job sent then fails too. */
  readonly minMs: number;
  readonly maxMs: number;
};

export const DEFAULT_BREAKER: Breaker = { failures: 5, minMs: 5_000, maxMs: 60_000 };
