/** The `step` object as a function sees it: types only. What a call becomes is `step-call.ts`. */

import type { Backoff } from "./backoff.js";
import type { Duration } from "./duration.js";
import type { EventDefinition, EventName, EventToSend } from "./events.js";
import type { RotorFunction } from "./function.js";
import type { Jsonify, Untyped } from "./json.js";
import type { MatchObject } from "./protocol.js";

/** What the code of a step is given. */
export type StepContext = {
  /** The same on each attempt, and no other step's: an idempotency key for what the code calls. */
  readonly key: string;
  /** From 1. */
  readonly attempt: number;
  /** Aborts at the step's time limit, on cancel, and when another delivery has taken over. */
  readonly signal: AbortSignal;
  /** W3C trace context of the delivery, for what the code calls; undefined where the platform handed none over. */
  readonly traceparent: string | undefined;
};

export type RunOptions = {
  /** Attempts after the first (default: the function's `retries`). */
  readonly retries?: number;
  /** The longest that one attempt may take (default "10m", at most "12h"). */
  readonly timeout?: Duration;
  /** Delays between attempts (default "exponential": 2 s, 6 s, 18 s … 1 h, with half jitter). */
  readonly backoff?: Backoff;
};

export type WaitOptions = {
  /** A CEL expression over `data` (or `event`) and `trigger`, or equalities on `data` by dotted path. */
  readonly match?: string | MatchObject;
  /** Null is the answer after it. */
  readonly timeout: Duration;
  /** Since when events count: default, since the step before this one began. A step's id: since that one ended. */
  readonly since?: "run-start" | "now" | Duration | (string & {});
};

/** One of several things that a run waits for. A signal's id is `<run id>/<step id>/<name>` unless given. */
export type WaitPart =
  | { readonly event: EventName; readonly match?: string | MatchObject; readonly signal?: never }
  | { readonly signal?: string; readonly event?: never; readonly match?: never };

export type AnyOptions = Pick<WaitOptions, "timeout" | "since">;

type DataOfPart<P> = P extends { readonly event: EventDefinition<never, infer Data> } ? Data : Untyped;

/** The name of the part that came first, and its data. */
export type First<Parts> = {
  [Name in keyof Parts & string]: { name: Name; data: DataOfPart<Parts[Name]> };
}[keyof Parts & string];

export type JobToEnqueue = {
  readonly payload: unknown;
  /** Unique in its queue; the run and step are the default. */
  readonly jobId?: string;
  /** A number is seconds. */
  readonly delay?: Duration | number;
  /** −100 … 100: seconds of head start. */
  readonly priority?: number;
  readonly tags?: readonly string[];
  /** Jobs of one key take turns, over all queues. */
  readonly concurrencyKey?: string;
  /** `strict`: others of its key wait while it is between two attempts, too (default "started"). */
  readonly keyOrder?: "started" | "strict";
  readonly retries?: number;
  readonly timeout?: Duration;
};

type JobWait = { readonly wait: true; readonly timeout?: Duration };

/** Each method makes one step: done once, remembered, and answered from memory when the function is replayed. */
export type Step = {
  /**
   * Runs `fn` until it succeeds once. Its result travels as JSON; `undefined` becomes null.
   * @throws StepError when no attempts are left, with the last error as its cause.
   */
  run<T>(id: string, fn: (context: StepContext) => T | PromiseLike<T>, options?: RunOptions): Promise<Jsonify<T>>;
  /** Sleeps without a worker, a connection or memory; at most 365 days. */
  sleep(id: string, duration: Duration): Promise<void>;
  /** Sleeps until a time, at most 365 days away; a time in the past is no wait. A string is an ISO date. */
  sleepUntil(id: string, date: Date | string): Promise<void>;
  /** The data of the first event that matches, or null at the timeout. */
  waitForEvent<Data>(
    id: string,
    options: WaitOptions & { readonly event: EventDefinition<never, Data> },
  ): Promise<Data | null>;
  waitForEvent<T = Untyped>(id: string, options: WaitOptions & { readonly event: EventName }): Promise<T | null>;
  /**
   * The `data` of the call that completes the signal, whose id is `<run id>/<step id>` unless given.
   * @throws SignalTimeoutError when none came in time.
   */
  waitForSignal<R = Untyped>(id: string, options: { readonly signal?: string; readonly timeout: Duration }): Promise<R>;
  /**
   * The first of several events and signals that comes, by the name that it is given here; null at the timeout. The others
   * are not waited for any more.
   *
   *     const first = await step.waitForAny("answer", { paid: { event: paid }, refused: { signal: "refuse" } }, { timeout: "7d" });
   *     if (first?.name === "paid") first.data.amount;
   */
  waitForAny<const Parts extends Readonly<Record<string, WaitPart>>>(
    id: string,
    parts: Parts,
    options: AnyOptions,
  ): Promise<First<Parts> | null>;
  /**
   * Starts a run of another function, once, and waits for its result.
   * @throws WorkflowFailedError, WorkflowCancelledError, or WorkflowTimeoutError (then the other run goes on).
   */
  invoke<Data, R>(
    id: string,
    options: { readonly workflow: RotorFunction<Data, R>; readonly data: Data; readonly timeout: Duration },
  ): Promise<{ result: Jsonify<R>; runId: string }>;
  invoke<R = Untyped>(
    id: string,
    options: { readonly workflow: string; readonly data?: unknown; readonly timeout: Duration },
  ): Promise<{ result: R; runId: string }>;
  /** With the result's type written out; without it, `data` must be what the function takes. */
  invoke<R>(
    id: string,
    options: {
      readonly workflow: RotorFunction<never, unknown>;
      readonly data?: unknown extends R ? never : unknown;
      readonly timeout: Duration;
    },
  ): Promise<{ result: R; runId: string }>;
  /** Publishes one event or several, once. */
  sendEvent(
    id: string,
    events: EventToSend | readonly EventToSend[],
  ): Promise<{ events: { id: string; runs: string[] }[] }>;
  /** Enqueues a callback job, once. With `wait: true` the answer is the job's output, once it has ended. */
  enqueue<T = Untyped>(id: string, queue: string, job: JobToEnqueue, options: JobWait): Promise<T>;
  enqueue(id: string, queue: string, job: JobToEnqueue, options?: { readonly wait?: false }): Promise<{ id: string }>;
};
