/** Why a job or run does not move, as the server explains it. */

import type { JobReason, JobState } from "./api.js";
import type { Untyped } from "./json.js";

/** Why a job or run does not move. */
export type Why = {
  readonly id: string;
  readonly state: JobState;
  /** Null where it is active or finished. */
  readonly reason: JobReason | null;
  /** Since when it waits so, as far as that is known. */
  readonly since: string | null;
  /** When that ends by time, where it does. */
  readonly until: string | null;
  /** What it waits for, for a person. */
  readonly sentence: string;
  /** Who has the slots, or the turns of its key: up to ten, the first to end first. */
  readonly blockedBy: readonly { readonly id: string; readonly queue: string; readonly until: string | null }[];
  /** Commands that unblock it, the most fitting first; none where only time does. */
  readonly unblock: readonly string[];
  /** Of a wait for an event: the last 20 events of that name that did not match, the newest first. */
  readonly nearMisses: readonly NearMiss[];
};

/** An event that a wait might have meant, and the values in which it differs from what was asked for. */
export type NearMiss = {
  readonly eventId: string;
  readonly receivedAt: string;
  /** Of a wait for several things: the name of the one that it missed. */
  readonly part: string | null;
  readonly differences: readonly {
    /** Into the event's data; the whole expression where no single value says it. */
    readonly path: string;
    readonly wanted: Untyped;
    readonly found: Untyped;
  }[];
};
