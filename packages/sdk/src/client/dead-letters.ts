/** The dead letters: failed jobs of all queues. */

import type { DeadLetter, DeadLettersPurged, DeadLettersReplayed } from "../api.js";
import type { Call, CallInput, CallOptions } from "./call.js";
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

const instant = (time: Date | string | undefined) => (time instanceof Date ? time.toISOString() : time);

/** Each request of a bulk ask works for some seconds, and answers then. */
const BULK_TIMEOUT_MS = 60_000;

type BulkAnswer = { readonly before: string; readonly nextCursor: string | null };

/** The calls of `rotor.dlq`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const deadLettersOf = (call: Call) => {
  /** Asks until all is done. Once `before` is known, an ask whose answer is lost can be asked again. */
  async function* answers<Answer extends BulkAnswer>(
    method: string,
    path: string,
    body: DeadLetterSelection,
    options: CallOptions | undefined,
  ): AsyncGenerator<Answer> {
    let cursor: string | undefined;
    let { before } = body;
    do {
      const input: CallInput = {
        ...options,
        body: { ...body, before, cursor },
        repeatable: method === "DELETE" || before !== undefined,
        timeoutMs: BULK_TIMEOUT_MS,
      };
      const answer = (await call(method, path, input)) as Answer;
      yield answer;
      cursor = answer.nextCursor ?? undefined;
      before = answer.before;
    } while (cursor !== undefined);
  }

  return {
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
    replay: async (replay: ReplayOptions, options?: CallOptions): Promise<DeadLettersReplayed> => {
      let all: DeadLettersReplayed | undefined;
      for await (const { replayed, ids, before } of answers<DeadLettersReplayed & BulkAnswer>(
        "POST",
        "/v1/dlq/replay",
        replay,
        options,
      )) {
        const told = all === undefined ? ids : all.ids && ids && [...all.ids, ...ids];
        all = {
          replayed: (all?.replayed ?? 0) + replayed,
          ...(told !== undefined && told.length <= 1_000 && { ids: told }),
          before,
        };
      }
      return all!;
    },
    /** Removes failed jobs for good. One whose job id the server must remember still, for a day after its enqueue, is kept. */
    purge: async (purge: PurgeOptions, options?: CallOptions): Promise<DeadLettersPurged> => {
      let [purged, kept] = [0, 0];
      for await (const answer of answers<DeadLettersPurged & BulkAnswer>("DELETE", "/v1/dlq", purge, options)) {
        purged += answer.purged;
        kept += answer.kept;
      }
      return { purged, kept };
    },
  };
};
