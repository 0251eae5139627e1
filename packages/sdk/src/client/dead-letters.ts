/** The dead letters: failed jobs of all queues. */

import type { DeadLetter, DeadLettersPurged, DeadLettersReplayed } from "../api.js";
import { allOf, answersOf, type BulkAnswer, type BulkOptions, instant } from "./bulk.js";
import type { Call } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

export type DeadLetterFilter = {
  /** Name of a queue or function. */
  readonly queue?: string;
  readonly tag?: string;
  /** Failed at or after this time. */
  readonly after?: Date | string;
  /** Failed before this time. */
  readonly before?: Date | string;
  /** Part of the error's text, in upper or lower case. */
  readonly error?: string;
};

/** So many in each second, minute or hour: `"10/s"`, `"100/m"`, `"500/h"`. */
export type Rate = `${number}/${"s" | "m" | "h"}`;

/** Either the jobs, or all that a filter finds. */
export type DeadLetterSelection = ({ readonly ids: readonly string[] } | { readonly filter: DeadLetterFilter }) & {
  /** Only what failed before this time (default: now). The `before` of an answer makes an ask that can be repeated. */
  readonly before?: Date | string;
  /** Only tell how many there are. */
  readonly dryRun?: boolean;
};

export type ReplayOptions = DeadLetterSelection & {
  /** At most so many become due in that time, evenly, the oldest first (default: all at once). */
  readonly rate?: Rate;
  /** Also what a person turned down, or nobody approved in time; by ids they always are. */
  readonly includeRejected?: boolean;
};

export type PurgeOptions = DeadLetterSelection & {
  /** Needed for a filter that leaves nothing out. */
  readonly confirm?: boolean;
};

/** The calls of `rotor.dlq`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const deadLettersOf = (call: Call) => ({
  list: ({ queue, tag, after, before, error, ...options }: DeadLetterFilter & ListOptions = {}) =>
    listingOf<DeadLetter>(call, "/v1/dlq", options, {
      queue,
      tag,
      after: instant(after),
      before: instant(before),
      error,
    }),
  /**
   * Makes failed jobs wait again. One that waits already, or failed after this was asked, is left alone. Given `before`,
   * it may be asked again after an answer was lost: what it has done is not done twice.
   */
  replay: async (replay: ReplayOptions, options?: BulkOptions): Promise<DeadLettersReplayed> => {
    const parts = answersOf<DeadLettersReplayed & BulkAnswer>(call, "POST", "/v1/dlq/replay", replay, options);
    const { count, ...rest } = await allOf(parts, ({ replayed }) => replayed, options);
    return { replayed: count, ...rest };
  },
  /** Removes failed jobs for good. One whose job id the server must remember still, for a day after its enqueue, is kept. */
  purge: async (purge: PurgeOptions, options?: BulkOptions): Promise<DeadLettersPurged> => {
    let [purged, kept] = [0, 0];
    for await (const part of answersOf<DeadLettersPurged & BulkAnswer>(call, "DELETE", "/v1/dlq", purge, options)) {
      purged += part.purged;
      kept += part.kept;
      if (part.nextCursor !== null) options?.onProgress?.(purged);
    }
    return { purged, kept };
  },
});
