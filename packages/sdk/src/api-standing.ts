/** How a workspace stands, and what is found by an id or name: what the dashboard shows beside things themselves. */

import type { JobState } from "./api.js";

/** A number of things. Where there are many it is an estimate. */
export type Count = { readonly count: number; readonly exact: boolean };

export type StatsWindow = "1h" | "6h" | "24h";

/** Something that needs somebody. */
export type Problem = {
  /** Such as `queue.late`, `app.unreachable`, `nodes.none`. */
  readonly type: string;
  readonly severity: "error" | "warning";
  /** Name of a queue, function, app or schedule; null where it is the whole. */
  readonly subject: string | null;
  readonly kind: "callback" | "function" | null;
  readonly since: string | null;
  readonly message: string;
};

export type QueueStats = {
  readonly name: string;
  readonly kind: "callback" | "function";
  readonly pausedAt: string | null;
  readonly breakerUntil: string | null;
  readonly concurrency: number | null;
  /** Jobs whose time is there. */
  readonly due: Count;
  /** These, and those of later times. */
  readonly waiting: Count;
  readonly active: Count;
  /** Jobs that wait for a concurrency key, or a value of a rate key. */
  readonly blocked: Count;
  readonly failed: Count;
  readonly oldestDueAt: string | null;
  /** Deliveries in the window. */
  readonly ended: number;
  /** Of these, those that failed. */
  readonly failures: number;
  readonly failingSince: string | null;
};

export type Stats = {
  readonly at: string;
  readonly window: StatsWindow;
  readonly environment: string;
  /** Nothing is delivered: the database belongs to another environment. */
  readonly held: boolean;
  /** `ok`: there are no problems. */
  readonly status: "ok" | "trouble";
  /** The worst first. */
  readonly problems: readonly Problem[];
  readonly totals: {
    readonly due: Count;
    readonly waiting: Count;
    readonly active: Count;
    readonly blocked: Count;
    readonly pendingApproval: Count;
    readonly held: Count;
    readonly failed: Count;
    readonly ended: number;
    readonly failures: number;
  };
  readonly queues: readonly QueueStats[];
  /** There are more queues than are told; they count in nothing here. */
  readonly moreQueues: boolean;
  /** Parts of the window, the oldest first. */
  readonly series: {
    readonly from: string;
    readonly stepS: number;
    readonly ended: readonly number[];
    readonly failures: readonly number[];
    /** The longest that a delivery of the part had been due when it was sent off. */
    readonly waitMs: readonly (number | null)[];
  };
  readonly nodes: readonly {
    readonly id: string;
    readonly label: string;
    readonly startedAt: string;
    readonly alive: boolean;
  }[];
  readonly store: { readonly store: string; readonly oldestTransactionMs: number | null };
};

/** A thing that has the id or name that was asked for. */
export type Found = {
  readonly type: "run" | "job" | "event" | "queue" | "function" | "schedule" | "webhook";
  readonly id: string;
  /** Of a job or run its job id, of an event its name. */
  readonly name: string | null;
  /** Of a job its queue, of a run its function. */
  readonly queue: string | null;
  readonly state: JobState | null;
};

/** An app, and how it is reached. */
export type App = {
  readonly name: string;
  readonly url: string;
  /** How many it serves. */
  readonly functions: number;
  readonly syncedAt: string | null;
  readonly unreachableSince: string | null;
};
