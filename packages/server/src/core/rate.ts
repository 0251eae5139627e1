/**
 * How many may still begin under a rate limit. Counts by parts of time, so that the guarantee is exact and the state is a
 * short list: in no span of `periodMs` do more than `limit` begin, wherever the span starts. Pure.
 */

export type RateLimit = { readonly limit: number; readonly periodMs: number };

/** What is stored: beginnings in each of the last parts, the newest last, and which part of time that one is. */
export type RateCounts = { readonly bucket: number | null; readonly counts: readonly number[] };

/**
 * Parts of a period. What began in one counts until the whole part is a period old, so a limit that is always used up
 * gives 20/21 of its rate: the price of a short list.
 */
export const RATE_PARTS = 20;

export type RateRoom = {
  /** How many may begin now. */
  readonly room: number;
  /** Where there is no room, when there is some again. */
  readonly openInMs: number;
  /** The state as of now. */
  readonly now: RateCounts;
};

/** Looks at a limit at an instant, in milliseconds of the database's clock. A clock that went back changes nothing. */
export function roomAt({ limit, periodMs }: RateLimit, state: RateCounts, atMs: number): RateRoom {
  const partMs = periodMs / RATE_PARTS;
  const part = Math.floor(atMs / partMs);
  // Ahead by more than a period: its parts are those of a shorter one, which the limit had before. All of it counts as begun now.
  if (state.bucket !== null && state.bucket > part + RATE_PARTS)
    return roomAt(
      { limit, periodMs },
      { bucket: part, counts: [state.counts.reduce((sum, count) => sum + count, 0)] },
      atMs,
    );
  const bucket = Math.max(part, state.bucket ?? Number.NEGATIVE_INFINITY);
  const passed = state.bucket === null ? Number.POSITIVE_INFINITY : bucket - state.bucket;
  const kept = passed > RATE_PARTS ? [] : [...state.counts, ...new Array<number>(passed).fill(0)];
  // One more part than the period has: the oldest is partly within it.
  const counts = kept.length === 0 ? [0] : kept.slice(-(RATE_PARTS + 1));
  const used = counts.reduce((sum, count) => sum + count, 0);
  const room = Math.max(0, limit - used);
  return { room, openInMs: room > 0 ? 0 : opensAt(counts, bucket, partMs) - atMs, now: { bucket, counts } };
}

/** When the oldest part that holds anything leaves. */
function opensAt(counts: readonly number[], bucket: number, partMs: number): number {
  const oldest = counts.findIndex((count) => count > 0);
  const part = bucket - (counts.length - 1 - oldest);
  return (part + RATE_PARTS + 1) * partMs;
}

/** The state after so many more have begun in its newest part. */
export function spend({ bucket, counts }: RateCounts, begun: number): RateCounts {
  const last = counts.at(-1) ?? 0;
  return { bucket, counts: [...counts.slice(0, -1), last + begun] };
}
