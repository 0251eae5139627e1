/**
 * The types of the wire between a Rotor server and an app; `docs/protocol.md` is the text that they follow.
 * Types and constants only: the server imports this file, and nothing else of the SDK but signatures and durations.
 */

/** The version that this code speaks. A server accepts this one and the one before it. */
export const PROTOCOL_VERSION = 1;

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

export const headers = {
  signature: "x-rotor-signature",
  nonce: "x-rotor-nonce",
  jobId: "x-rotor-job-id",
  queue: "x-rotor-queue",
  attempt: "x-rotor-attempt",
  maxAttempts: "x-rotor-max-attempts",
  scheduledAt: "x-rotor-scheduled-at",
  completeUrl: "x-rotor-complete-url",
  async: "x-rotor-async",
  noRetry: "x-rotor-no-retry",
} as const;

/** First word of the line that signs an answer. */
export const ANSWER_SIGNATURE = "rotor-signature";

/** Used by `rotor dev` and by apps with `ROTOR_DEV=1` only. Not a secret: `rotor start` refuses an app that answers with it. */
export const DEVELOPMENT_SIGNING_KEY = "whsec_cm90b3ItZGV2ZWxvcG1lbnQta2V5LW5vdC1hLXNlY3JldCE=";

/** In place of a delivery's number in a check: an answer to one can never be taken for a delivery's. */
export const CHECK_DELIVERY = 0;

/** What an answer's signature covers beside its text: the question that it answers. */
export const answerContext = (run: string, delivery: number): string => `answer.${run}.${delivery}`;
export const manifestContext = (nonce: string): string => `manifest.${nonce}`;

export type Trigger =
  | { readonly event: string; readonly if?: string }
  | { readonly cron: string; readonly timezone: string };

/** A function as its app describes it. */
export type FunctionManifest = {
  readonly id: string;
  readonly triggers: readonly Trigger[];
  /** Deliveries that may fail outside a step, and the default for attempts of one step. */
  readonly max_attempts: number;
  /** Runs being executed at one time; a run that sleeps or waits does not count. */
  readonly concurrency: number;
} & StartOptions;

/** How runs of a function are started and ended. Expressions are CEL over `event` and `data`; all of it may be left out. */
export type StartOptions = {
  /** Runs being executed at one time for each value of the expression; at most two, with a singleton's. */
  readonly keys?: readonly { readonly key: string; readonly limit: number }[];
  /** One unfinished run for each value of the key: others wait, are not started, or take its place. */
  readonly singleton?: { readonly key?: string; readonly mode: "wait" | "skip" | "cancel" };
  /** Runs that may begin in a period, for each value of the key; the others begin later. */
  readonly rate_limit?: { readonly limit: number; readonly period_ms: number; readonly key?: string };
  /** A run begins when no event has come for the period, with the last of them. */
  readonly debounce?: { readonly period_ms: number; readonly key?: string; readonly max_wait_ms?: number };
  /** A run begins with so many events, or with those that have come when the time is over. */
  readonly batch?: { readonly size: number; readonly timeout_ms: number; readonly key?: string };
  /** Seconds of head start, from -100 to 100. */
  readonly priority?: string;
  /** Of two starts with one value the second does nothing. */
  readonly idempotency_key?: string;
  /** A run that has not ended by then fails. */
  readonly timeout_ms?: number;
  /** An event that ends the run; within `timeout_ms` of its start, where given. */
  readonly cancel_on?: readonly {
    readonly event: string;
    readonly match?: string | MatchObject;
    readonly timeout_ms?: number;
  }[];
  /** The function that is started when a run fails. */
  readonly on_failure?: string;
};

export type Manifest = {
  readonly version: number;
  readonly app: string;
  readonly sdk: string;
  /** Changes when the list of functions changes; each answer carries it. */
  readonly hash: string;
  readonly dev: boolean;
  /** It answers checks. What does not know of them would run steps: it is asked for none. */
  readonly checks?: boolean;
  readonly functions: readonly FunctionManifest[];
};

export type StepKind = "run" | "sleep" | "event" | "signal" | "any" | "invoke" | "enqueue" | "send";
export type StepState = "waiting" | "completed" | "failed";

export type WireError = {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: string;
  readonly cause?: WireError;
  /** Of a run: the key of the failed step whose error it did not catch. */
  readonly step?: string;
};

/** A step as the server has stored it. */
export type WireStep = {
  readonly key: string;
  readonly kind: StepKind;
  readonly state: StepState;
  /** Position among the results of its run; absent while `waiting`. */
  readonly seq?: number;
  readonly attempt: number;
  /** Milliseconds until an unfinished step is due; 0 or less means now. */
  readonly due_in_ms?: number;
  readonly output?: Json;
  readonly error?: WireError;
};

export type WireEvent = {
  readonly id: string;
  readonly name: string;
  readonly data: Json;
  /** Unix milliseconds. */
  readonly ts: number;
};

export type DeliveryRequest = {
  readonly version: number;
  readonly app: string;
  readonly function: string;
  readonly run: string;
  readonly delivery: number;
  readonly attempt: number;
  readonly max_attempts: number;
  readonly event: WireEvent;
  /** Of a batch: all of its events, `event` being the first. */
  readonly events?: readonly WireEvent[];
  /** Replay what is stored, run no step, report nothing, and answer `checked`. */
  readonly check?: true;
  readonly steps: readonly WireStep[];
  /** Cursor of the steps that did not fit; null when all are here. */
  readonly more: string | null;
  readonly checkpoint: { readonly url: string; readonly token: string };
};

export type StepsPage = { readonly steps: readonly WireStep[]; readonly more: string | null };

export type RunReport = {
  readonly kind: "run";
  readonly key: string;
  readonly attempt: number;
  readonly duration_ms: number;
} & (
  | { readonly outcome: "completed"; readonly output: Json }
  | { readonly outcome: "failed"; readonly error: WireError }
  | { readonly outcome: "retry"; readonly error: WireError; readonly delay_ms: number }
);

export type SleepReport = { readonly kind: "sleep"; readonly key: string } & (
  | { readonly delay_ms: number }
  | { readonly until_ms: number }
);

/** Equalities on the event's `data`, by dotted path. */
export type MatchObject = { readonly [path: string]: string | number | boolean | null };

export type EventReport = {
  readonly kind: "event";
  readonly key: string;
  readonly event: string;
  readonly match?: string | MatchObject;
  readonly timeout_ms: number;
  /** Key of the step whose end begins the look-back (docs/protocol.md, section 4); without it, the run's beginning. */
  readonly after?: string;
  /** Key of the wait right before this one: where the event that ended it came earlier than that, the look-back begins there. */
  readonly previous?: string;
  /** Look back this far instead; 0 means only events from now on. */
  readonly since_ms?: number;
};

export type SignalReport = {
  readonly kind: "signal";
  readonly key: string;
  readonly signal: string;
  readonly timeout_ms: number;
};

/** A wait that the first of several things ends; its output is `{ name, data }`, or null at the timeout. */
export type AnyReport = {
  readonly kind: "any";
  readonly key: string;
  /** By name, in the order of the code. */
  readonly parts: readonly ({ readonly name: string } & (
    | { readonly event: string; readonly match?: string | MatchObject }
    | { readonly signal: string }
  ))[];
  readonly timeout_ms: number;
} & Pick<EventReport, "after" | "previous" | "since_ms">;

export type InvokeReport = {
  readonly kind: "invoke";
  readonly key: string;
  readonly function: string;
  readonly data: Json;
  readonly timeout_ms: number;
};

export type EnqueueReport = {
  readonly kind: "enqueue";
  readonly key: string;
  readonly queue: string;
  readonly payload: Json;
  readonly options: {
    readonly job_id?: string;
    readonly delay_ms?: number;
    readonly priority?: number;
    readonly tags?: readonly string[];
    readonly concurrency_key?: string;
    readonly key_order?: "started" | "strict";
    readonly max_attempts?: number;
    readonly timeout_ms?: number;
  };
  readonly wait: boolean;
  readonly timeout_ms?: number;
};

export type OutgoingEvent = {
  readonly name: string;
  readonly data: Json;
  readonly id?: string;
  /** Unix milliseconds; a time in the future delays it. */
  readonly ts?: number;
  readonly tags?: readonly string[];
};

export type SendReport = { readonly kind: "send"; readonly key: string; readonly events: readonly OutgoingEvent[] };

export type Report =
  | RunReport
  | SleepReport
  | EventReport
  | SignalReport
  | AnyReport
  | InvokeReport
  | EnqueueReport
  | SendReport;

type AnswerBase = { readonly version: number; readonly hash: string };

export type Answer = AnswerBase &
  (
    | { readonly status: "completed"; readonly output: Json }
    | {
        readonly status: "failed";
        readonly error: WireError;
        readonly retriable: boolean;
        readonly retry_after_ms?: number;
      }
    | {
        readonly status: "waiting" | "yield";
        readonly reports: readonly Report[];
        /** The highest `seq` that the code has been given: replies may have been lost. */
        readonly known_seq?: number;
      }
    | { readonly status: "stale" }
    /** The code fits what is stored; `next` are the steps that it would go on with. */
    | { readonly status: "checked"; readonly next: readonly string[] }
    | {
        readonly status: "diverged";
        readonly step: string;
        readonly recorded: StepKind;
        readonly asked: StepKind | null;
      }
  );

export type Verdict = "go" | "yield" | "cancelled" | "stale" | "retry" | "invalid";

export type CheckpointRequest = {
  readonly version: number;
  readonly runs: readonly { readonly token: string; readonly reports: readonly Report[]; readonly known_seq: number }[];
};

export type CheckpointReply = {
  readonly version: number;
  readonly runs: readonly {
    readonly verdict: Verdict;
    readonly steps: readonly WireStep[];
    /** More has ended than one reply holds: ask again, for this run alone. */
    readonly more?: true;
    readonly error?: WireError;
  }[];
};
