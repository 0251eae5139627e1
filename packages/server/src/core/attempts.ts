/** Counts attempts in spans of time, so that nobody tries without end. Kept in this process: a bound, not a record. */

export type Bound = { readonly attempts: number; readonly spanMs: number };

export type Attempts = {
  /** Counts one more of `who`; answers the ms to wait where that was one too many, else 0. */
  take(who: string, nowMs: number): number;
  /** Gives one back, of an attempt that was right. */
  giveBack(who: string): void;
};

/** @param remembered how many are told apart; the oldest are forgotten. */
export function attemptsOf({ attempts, spanMs }: Bound, remembered: number): Attempts {
  const spans = new Map<string, { readonly until: number; count: number }>();
  return {
    take(who, nowMs) {
      let span = spans.get(who);
      if (span === undefined || span.until <= nowMs) {
        spans.delete(who);
        if (spans.size >= remembered) spans.delete(spans.keys().next().value!);
        span = { until: nowMs + spanMs, count: 0 };
        spans.set(who, span);
      }
      if (span.count >= attempts) return span.until - nowMs;
      span.count++;
      return 0;
    },
    giveBack(who) {
      const span = spans.get(who);
      if (span !== undefined && span.count > 0) span.count--;
    },
  };
}
