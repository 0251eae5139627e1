/** How long to wait after a failure. Pure; the caller brings the dice. */

export type Backoff = {
  /** `exponential`: min × factor^(n−1). `linear`: min × n. `fixed`: min. `list`: the n-th entry, the last one repeated. */
  readonly kind: "exponential" | "linear" | "fixed" | "list";
  readonly factor: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** `half`: between half of the delay and all of it, so that many failures do not come back together. */
  readonly jitter: "half" | "none";
  readonly listMs: readonly number[];
};

/** About two hours over ten attempts. */
export const DEFAULT_BACKOFF: Backoff = {
  kind: "exponential",
  factor: 3,
  minMs: 2_000,
  maxMs: 3_600_000,
  jitter: "half",
  listMs: [],
};

/** The delay in milliseconds after attempt `attempt` (from 1) failed. `random` is in [0, 1). */
export function backoffMs(backoff: Backoff, attempt: number, random: number): number {
  const n = Math.max(1, attempt);
  const raw =
    backoff.kind === "exponential"
      ? // Past any number that there is, a delay of none must stay none.
        backoff.minMs * Math.min(backoff.factor ** (n - 1), Number.MAX_VALUE)
      : backoff.kind === "linear"
        ? backoff.minMs * n
        : backoff.kind === "list"
          ? (backoff.listMs[Math.min(n, backoff.listMs.length) - 1] ?? backoff.minMs)
          : backoff.minMs;
  const capped = Math.min(raw, backoff.maxMs);
  return Math.round(backoff.jitter === "half" ? capped * (0.5 + random / 2) : capped);
}
