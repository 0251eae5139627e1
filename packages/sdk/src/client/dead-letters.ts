/** The dead letters: failed jobs of all queues. */

import type { DeadLetter, DeadLettersReplayed } from "../api.js";
import type { Call, CallOptions } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

export type DeadLetterFilter = {
  readonly queue?: string;
  readonly tag?: string;
  /** Failed at or after this time. */
  readonly after?: Date | string;
  /** Failed before this time. */
  readonly before?: Date | string;
  /** Part of the error's text. */
  readonly error?: string;
};

/** Either the jobs, or all that a filter finds. */
export type ReplayOptions = ({ readonly ids: readonly string[] } | { readonly filter: DeadLetterFilter }) & {
  /** Only tell how many there are. */
  readonly dryRun?: boolean;
};

const instant = (time: Date | string | undefined) => (time instanceof Date ? time.toISOString() : time);

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
  /** Makes failed jobs wait again. One that waits already is left alone, so it may be repeated. */
  replay: async (replay: ReplayOptions, options?: CallOptions) =>
    call("POST", "/v1/dlq/replay", { ...options, body: replay, repeatable: true }) as Promise<DeadLettersReplayed>,
});
