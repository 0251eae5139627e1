/**
 * What the HTTP API answers, in camelCase, as the client returns it. Instants (`…At`) are RFC 3339 texts of the server's
 * clock. What is sent is typed beside the call that sends it, in `client/`.
 * Long, since it is one type after the other: whoever looks one up finds it here.
 */

import type { Breaker, RateLimit, Retention } from "./api-limits.js";
import type { Backoff } from "./backoff.js";
import type { Duration } from "./duration.js";
import type { Untyped } from "./json.js";
import type { MatchObject, StepKind, StepState, WireError } from "./protocol.js";

export type * from "./api-limits.js";
export type * from "./api-standing.js";
export type * from "./api-why.js";

/** Stored state of a job, and of a run, which is a job of a function. */
export type JobState = "pending_approval" | "waiting" | "active" | "completed" | "failed" | "cancelled";

/** Why an unfinished job or run does not move; derived by the server, beside the stored state. */
export type JobReason =
  | "delayed"
  | "queued"
  | "retrying"
  | "sleeping"
  | "event"
  | "signal"
  | "child"
  | "rate_limited"
  | "key_blocked"
  | "paused"
  | "breaker"
  | "held"
  | "unreachable"
  | "no_url"
  | "approval";

export type Retry = {
  /** The first attempt included. */
  readonly maxAttempts: number;
  readonly backoff: Backoff;
  readonly factor: number;
  readonly min: Duration;
  readonly max: Duration;
  readonly jitter: "half" | "none";
};

export type Queue = {
  readonly name: string;
  /** `function` for the queue of a function's runs. */
  readonly kind: "callback" | "function";
  /** Null: jobs wait, with reason `no_url`. */
  readonly callbackUrl: string | null;
  readonly headers: Readonly<Record<string, string>>;
  /** Jobs being delivered at one time; null: no limit. */
  readonly concurrency: number | null;
  readonly retry: Retry;
  /** Of one delivery, in all. */
  readonly timeout: Duration;
  /** How long an endpoint that answered 202 may take to report back. */
  readonly asyncTimeout: Duration;
  readonly approvalRequired: boolean;
  readonly approvalTimeout: Duration;
  readonly standardWebhooks: boolean;
  /** Its deliveries are signed with a secret of its own. */
  readonly hasSecret: boolean;
  /** A slot is free only when the endpoint answered or the time limit passed. */
  readonly strictConcurrency: boolean;
  /** Null: no limit. */
  readonly rateLimit: RateLimit | null;
  /** Null: none, jobs are sent whatever the endpoint answers. `openUntil` is set while it is open: none is sent before. */
  readonly breaker: (Breaker & { readonly openUntil: string | null }) | null;
  readonly retention: Retention;
  readonly pausedAt: string | null;
  readonly createdAt: string;
};

/** One delivery of a job that ended, as it was logged. */
export type Delivery = {
  readonly delivery: number;
  /** Which attempt it was, from 1. */
  readonly attempt: number;
  readonly outcome: string;
  /** HTTP status; null when no answer came. */
  readonly status: number | null;
  readonly endedAt: string;
  readonly durationMs: number;
  readonly output?: Untyped;
  readonly error: WireError | null;
  /** As sent; signatures, capabilities and secrets are replaced by `…`. Missing where nothing was sent. */
  readonly request?: { readonly url: string; readonly headers: Readonly<Record<string, string>> };
  /** Missing where no head of an answer came. */
  readonly response?: { readonly headers: Readonly<Record<string, string>> };
  /** Where the time went; a part that was not reached is missing. */
  readonly timing?: {
    /** From being due to being sent off. */
    readonly queueMs?: number;
    /** Until there was a connection. */
    readonly connectMs?: number;
    /** Until the answer's head. */
    readonly waitMs?: number;
    /** Until its end. */
    readonly readMs?: number;
  };
};

export type Job = {
  readonly id: string;
  /** The id that whoever enqueued it gave. */
  readonly jobId: string | null;
  /** Jobs of one key take turns, over all queues. */
  readonly concurrencyKey: string | null;
  readonly queue: string;
  /** `function` where the job is a run: among the dead letters. */
  readonly kind: "callback" | "function";
  readonly state: JobState;
  readonly reason: JobReason | null;
  /** When the reason ends by time, where it does. */
  readonly until: string | null;
  /** Attempts begun; counts from 1 with the first. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly tags: readonly string[];
  readonly payload: Untyped;
  readonly contentType: string;
  /** `base64`: the payload is no JSON, and its bytes are given so. */
  readonly payloadEncoding: "json" | "base64";
  /** Body of the 2xx answer. */
  readonly output?: Untyped;
  /** Of its last delivery, where that failed. */
  readonly error: WireError | null;
  /** The run that started it. */
  readonly parentId: string | null;
  readonly createdAt: string;
  /** When it was to start, as enqueued. */
  readonly runAt: string;
  readonly finishedAt: string | null;
  /** Of a list that was asked for with `brief`: what was left out, since it is large. */
  readonly omitted?: readonly ("payload" | "output")[];
  /** The log of deliveries; of a single job only. */
  readonly deliveries?: readonly Delivery[];
};

/** What became of an enqueue. */
export type Enqueued = {
  readonly id: string;
  readonly queue: string;
  readonly state: JobState;
  /** The job was there already, by its id; nothing was enqueued. */
  readonly duplicate: boolean;
  /** Of a duplicate: its payload is another one than was sent now. */
  readonly payloadDiffers?: boolean;
  /** Of a duplicate: it waited, and is now what was sent, since that was asked with `onDuplicate: "replace"`. */
  readonly replaced?: boolean;
};

/** What a batch answers for each job, in the order sent. */
export type EnqueuedInBatch = Enqueued;

/** A failed job, or run; `error` made it fail, at `finishedAt`. */
export type DeadLetter = Job;

export type DeadLettersReplayed = {
  /** Jobs that wait again; with `dryRun`, that would. */
  readonly replayed: number;
  /** Left out where there are more than a thousand. */
  readonly ids?: readonly string[];
  /** What failed from then on was left alone. Given back as `before`, it makes an ask that can be repeated. */
  readonly before: string;
};

export type DeadLettersPurged = {
  /** Jobs that are gone for good; with `dryRun`, that would be. */
  readonly purged: number;
  /** Jobs that stay, since their job id is remembered: for a day after their enqueue. */
  readonly kept: number;
};

/** What a tick does while the job of the tick before is not finished. */
export type ScheduleOverlap = "allow" | "skip";

/** Which ticks are made of those that were missed. */
export type ScheduleCatchUp = "none" | "last" | "all";

/** Ticks that enqueued nothing. */
export type UnmadeTicks = { readonly count: number; readonly lastAt: string | null };

export type Schedule = {
  readonly name: string;
  readonly queue: string | null;
  readonly function: string | null;
  readonly cron: string;
  readonly timezone: string;
  readonly payload: Untyped;
  readonly overlap: ScheduleOverlap;
  readonly catchUp: ScheduleCatchUp;
  /** Made by a trigger of the function, and goes with it. */
  readonly owned: boolean;
  readonly pausedAt: string | null;
  /** The last tick that enqueued. */
  readonly lastAt: string | null;
  /** The job, or run, of that tick. */
  readonly lastJobId: string | null;
  /** Left out by `overlap: "skip"`. */
  readonly skipped: UnmadeTicks;
  /** Not made up for by `catchUp`. */
  readonly missed: UnmadeTicks;
  /** The next five fires, soonest first; none while paused. */
  readonly nextFires: readonly string[];
};

export type FunctionView = {
  readonly id: string;
  readonly app: string | null;
  /** Null: the app no longer has this function; its runs wait. */
  readonly serveUrl: string | null;
  readonly triggers: readonly {
    readonly event?: string;
    readonly if?: string;
    readonly cron?: string;
    readonly timezone?: string;
  }[];
  readonly maxAttempts: number;
  readonly concurrency: number | null;
  readonly concurrencyKeys?: readonly { readonly limit: number; readonly key: string }[];
  readonly singleton?: { readonly key?: string; readonly mode: "wait" | "skip" | "cancel" };
  readonly rateLimit?: RateLimit;
  readonly debounce?: { readonly period: Duration; readonly key?: string; readonly maxWait?: Duration };
  readonly batch?: { readonly size: number; readonly timeout: Duration; readonly key?: string };
  readonly priority?: string;
  readonly idempotencyKey?: string;
  readonly timeout?: Duration;
  readonly cancelOn?: readonly {
    readonly event: string;
    readonly match?: string | MatchObject;
    readonly timeout?: Duration;
  }[];
  /** Id of the function that is started when a run has failed. */
  readonly onFailure?: string;
  readonly pausedAt: string | null;
  readonly createdAt: string;
};

export type Synced = {
  readonly app: string;
  readonly serveUrl: string;
  /** Ids of functions that are new. */
  readonly added: readonly string[];
  /** Ids of functions that the app no longer has. */
  readonly removed: readonly string[];
  readonly functions: readonly FunctionView[];
};

/** An attempt of a step that failed and was followed by another. */
export type StepFailure = {
  readonly attempt: number;
  readonly at: string;
  readonly durationMs: number;
  readonly error: WireError;
};

export type StepView = {
  /** The step's id, or `<id>#<n>` for its n-th use. */
  readonly key: string;
  readonly kind: StepKind;
  /** `dropped`: the run ended before this wait did. */
  readonly state: StepState | "dropped";
  readonly attempt: number;
  readonly output?: Untyped;
  readonly error: WireError | null;
  /** Its earlier attempts that failed, the oldest first; of more than 20 the newest. */
  readonly failures: readonly StepFailure[];
  /** When its wait, or its first result, was stored. */
  readonly askedAt: string | null;
  /** Of an unfinished step. */
  readonly dueAt: string | null;
  readonly endedAt: string | null;
  readonly durationMs: number | null;
  /** What it waits for, as asked. */
  readonly wait: Untyped;
  /** The event that ended it. */
  readonly eventId: string | null;
};

export type Run = {
  readonly id: string;
  readonly function: string;
  readonly state: JobState;
  readonly reason: JobReason | null;
  readonly until: string | null;
  /** Attempts that count: deliveries that failed outside a step, and the one under way. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly tags: readonly string[];
  readonly output?: Untyped;
  readonly error: WireError | null;
  readonly event: { readonly id: string; readonly name: string; readonly data: Untyped; readonly ts: number };
  /** The run that invoked it; of a run that handles a failure, the one that failed. */
  readonly parentId: string | null;
  /** Of a single failed run: the run of its function's `onFailure` that this failure started. */
  readonly failureRunId?: string | null;
  readonly replayOf: string | null;
  /** It fails where it has not ended by then: its function's `timeout`. */
  readonly deadlineAt: string | null;
  readonly createdAt: string;
  readonly runAt: string;
  readonly finishedAt: string | null;
  /** Of a list that was asked for with `brief`: what was left out, since it is large. */
  readonly omitted?: readonly ("event.data" | "output")[];
  /** Of a single run only. */
  readonly steps?: readonly StepView[];
  readonly deliveries?: readonly Delivery[];
};

export type CancelledRun = Run & {
  /** Where its children were cancelled with it: runs and jobs below it that this ended. */
  readonly childrenCancelled?: number;
};

export type RunsCancelled = {
  /** Runs that were ended; with `dryRun`, that would be. */
  readonly cancelled: number;
  /** Left out where there are more than a thousand. */
  readonly ids?: readonly string[];
  /** Runs that were created from then on were left alone. Given back as `before`, it makes an ask that can be repeated. */
  readonly before: string;
};

export type RunsReplayed = {
  /** New runs; with `dryRun`, that there would be. */
  readonly replayed: number;
  /** Of the new runs; with `dryRun`, of those that would be replayed. Left out where there are more than a thousand. */
  readonly ids?: readonly string[];
  /** See `RunsCancelled`. */
  readonly before: string;
};

export type Event = {
  readonly id: string;
  readonly name: string;
  readonly data: Untyped;
  /** Unix milliseconds, as the sender gave them. */
  readonly ts: number;
  readonly tags: readonly string[];
  /** Null: it is still to come. */
  readonly receivedAt: string | null;
  /** When it is published, where that is still to come. */
  readonly dueAt: string | null;
  /** Ids of the runs that it started; of a single event only. */
  readonly started?: readonly string[];
  /** Ids of the runs in which it ended a wait; of a single event only. */
  readonly resumed?: readonly string[];
  /** Ids of the runs that it cancelled; of a single event only. */
  readonly cancelled?: readonly string[];
};

/** What became of a sent event. */
export type Sent = {
  readonly id: string;
  /** Ids of the runs that it started. */
  readonly runs: readonly string[];
  /** Its id was known: nothing was published. */
  readonly duplicate: boolean;
  /** When it is published, where its `ts` is still to come. */
  readonly dueAt?: string;
  /** No function listens for this name, and no run waited for it; names the nearest one. */
  readonly warning?: string;
};

export type Approval = {
  readonly id: string;
  readonly jobId: string;
  readonly queue: string;
  readonly status: "pending" | "approved" | "rejected" | "expired";
  readonly expiresAt: string | null;
  /** As given with the decision. */
  readonly reason: string | null;
  readonly payload: Untyped;
  readonly contentType: string;
  readonly payloadEncoding: "json" | "base64";
  readonly tags: readonly string[];
  readonly createdAt: string;
};

export type Webhook = {
  readonly name: string;
  readonly url: string;
  readonly types: readonly (LifecycleType | "*")[];
  readonly headers: Readonly<Record<string, string>>;
  /** The queue of its deliveries, as dead letters name it. */
  readonly queue: string;
  readonly createdAt: string;
  /** Verifies what it is sent: only in the answers that made or rotated it. */
  readonly secret?: string;
};

/** What a webhook may be told of. */
export type LifecycleType =
  | `job.${"completed" | "failed" | "stalled"}`
  | `run.${"completed" | "failed" | "held"}`
  | `approval.${"pending" | "approved" | "rejected"}`
  | `queue.${"drained" | "error"}`
  | `${"queue.late" | "queue.failing" | "app.unreachable" | "schedule.missed"}${"" | ".recovered"}`
  | "webhook.test";

/** The JSON body of what a webhook is sent; `verifyRotorWebhook` tells whether Rotor sent it. Its keys are the wire's. */
export type LifecycleEvent = {
  /** The same on each attempt to deliver it. */
  readonly id: string;
  readonly type: LifecycleType;
  readonly created_at: string;
  readonly workspace: string;
  /** The subject under its own name (`job`, `run`, `approval`, `queue`, `app`, `schedule`), without payload or output. */
  readonly data: Untyped;
};

export type ApiKey = {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  /** The key itself: only in the answer that made it. */
  readonly key?: string;
};

/** What may be known of a secret. */
export type StoredSecret = { readonly name: string; readonly createdAt: string; readonly updatedAt: string };

/** Something that was changed, and by whom. */
export type AuditEvent = {
  readonly id: string;
  readonly at: string;
  /** `key:<id> <name>`; `local` for `rotor dev` without a key; `operator` for a command in the store itself. */
  readonly actor: string;
  /** Such as `queue.update`. */
  readonly action: string;
  /** Name or id; empty where it was many. */
  readonly subject: string;
  /** Names of what was given, without the values. */
  readonly details: { readonly fields?: readonly string[] };
};

export type Workspace = { readonly id: string; readonly name: string; readonly createdAt: string };

export type Health = { readonly status: string };
