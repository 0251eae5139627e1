/** Runs of functions: started, awaited, looked at, cancelled, replayed. */

import type { CancelledRun, JobReason, JobState, Run, RunsCancelled, RunsReplayed } from "../api.js";
import { nextIdInStep } from "../context.js";
import { type Duration, formatDuration, parseDuration } from "../duration.js";
import {
  fromWireError,
  RotorApiError,
  RotorConnectionError,
  WorkflowCancelledError,
  WorkflowFailedError,
  WorkflowSkippedError,
  WorkflowTimeoutError,
} from "../errors.js";
import type { RotorFunction } from "../function.js";
import { uuidv7 } from "../ids.js";
import type { Jsonify, Untyped } from "../json.js";
import { pause } from "../pause.js";
import { allOf, answersOf, type BulkAnswer, type BulkOptions, instant } from "./bulk.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

export type StartOptions = CallOptions & {
  /** Of two starts of one function with one id the second does nothing and gives the first run. Default as an enqueue's. */
  readonly id?: string;
  /** Before the first delivery; a number is seconds. */
  readonly delay?: Duration | number;
};

export type InvokeOptions = StartOptions & {
  /** How long to wait for its end, a delay included (default `"5m"`). */
  readonly timeout?: Duration;
};

export type RunFilter = ListOptions & {
  readonly function?: string;
  readonly state?: JobState | JobReason;
  /** Name of the event that started it. */
  readonly event?: string;
  readonly tag?: string;
  /** Id of the event that started it. */
  readonly eventId?: string;
  /** Created at or after this time. */
  readonly createdAfter?: Date | string;
  /** Created before this time. */
  readonly createdBefore?: Date | string;
  /** Leaves out event data and outputs that are large, and names what: for a list that is looked through. */
  readonly brief?: boolean;
};

export type CancelOptions = CallOptions & {
  /** Also the runs and jobs that it started and waits for, and theirs (default: they go on). */
  readonly children?: boolean;
};

/** Either the runs, or all that a filter finds. */
export type RunSelection = (
  | { readonly ids: readonly string[] }
  | {
      readonly filter: Pick<RunFilter, "function" | "state" | "event" | "tag"> & {
        /** Created at or after this time. */
        readonly createdAfter?: Date | string;
        /** Created before this time. */
        readonly createdBefore?: Date | string;
      };
    }
) & {
  /** Only what was created before this time (default: now). The `before` of an answer makes an ask that can be repeated. */
  readonly before?: Date | string;
  /** Only tell how many there are. */
  readonly dryRun?: boolean;
  /** Needed for a filter that leaves nothing out. */
  readonly confirm?: boolean;
};

/** The server holds one request for a result this long at most. */
const POLL_MS = 30_000;

/** Between two requests for one result: nothing beside a wait of half a minute, enough not to hammer a server that does not wait. */
const EARLY_PAUSE_MS = 250;

/** Beyond what the server waits: for the way there and back. */
const MARGIN_MS = 10_000;

/** Of a request that the server holds so long. */
const held = (waitMs: number) => ({ timeoutMs: waitMs + MARGIN_MS, apart: true });

/** Between two tries while the server is away. */
const AWAY_PAUSE_MS = 1_000;

/** Answers of something before the server, or of one that goes down. */
const AWAY = new Set([502, 503, 504]);

/** How long somebody waits for a run's end. */
class Patience {
  readonly #startedAt = performance.now();
  readonly #ms: number;

  constructor(
    readonly timeout: Duration,
    readonly signal: AbortSignal | undefined,
  ) {
    this.#ms = parseDuration(timeout, { name: "timeout" });
  }

  get leftMs(): number {
    return Math.max(0, Math.round(this.#ms - (performance.now() - this.#startedAt)));
  }

  /**
   * Asks for as long as one request may be held. Once the server was there, it is asked again when it is away for a while:
   * it may be starting anew, and the run goes on without it.
   */
  async ask<T>(request: (waitMs: number) => Promise<T>): Promise<T> {
    for (let wasThere = false; ; ) {
      const { leftMs } = this;
      try {
        return await request(Math.min(POLL_MS, leftMs));
      } catch (error) {
        const isAway =
          error instanceof RotorConnectionError || (error instanceof RotorApiError && AWAY.has(error.status));
        wasThere ||= isAway && !(error instanceof RotorConnectionError && error.reason === "unreachable");
        if (!wasThere || !isAway || leftMs === 0) throw error;
        await pause(Math.min(AWAY_PAUSE_MS, leftMs), this.signal);
      }
    }
  }
}

type Ended = Pick<Run, "state" | "output" | "error">;

const asked = (selection: RunSelection): RunSelection =>
  "filter" in selection
    ? {
        ...selection,
        filter: {
          ...selection.filter,
          createdAfter: instant(selection.filter.createdAfter),
          createdBefore: instant(selection.filter.createdBefore),
        },
      }
    : selection;

/** The calls of `rotor.runs`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const runsOf = (call: Call) => {
  const path = (runId: string) => `/v1/runs/${segment(runId)}`;

  type Started = { readonly runId: string; readonly skipped?: true; readonly run?: Ended };

  /** `waits`: the answer comes when the run has ended, or when these are over, and has the run then. */
  async function begin(
    fn: string | { readonly id: string },
    data: unknown,
    { id, delay, ...options }: StartOptions,
    waits?: Patience,
  ): Promise<Started> {
    const route = `/v1/functions/${segment(typeof fn === "string" ? fn : fn.id)}/runs`;
    const body = { id: id ?? nextIdInStep() ?? uuidv7(), data: data === undefined ? null : data, delay };
    const input = { body, repeatable: true, ...options };
    if (waits === undefined) return (await call("POST", route, input)) as Started;
    return waits.ask(async (waitMs) => {
      const waiting = { ...input, ...held(waitMs), body: { ...body, wait: formatDuration(waitMs) } };
      return (await call("POST", route, waiting)) as Started;
    });
  }

  /**
   * Starts a run of a function, given itself or by its id, with `data` as its event's. `skipped`: the function's singleton
   * lets only one be unfinished, so none was started and `runId` is the one that there is.
   */
  async function start<Data>(
    fn: string | RotorFunction<Data>,
    data?: Data | undefined,
    options: StartOptions = {},
  ): Promise<{ runId: string; skipped?: true }> {
    const { runId, skipped } = await begin(fn, data, options);
    return { runId, ...(skipped && { skipped }) };
  }

  /**
   * Starts a run as `start` does and waits for its end, in one request where it ends within half a minute. Where the wait is
   * over, the run goes on, and its error names it.
   * @throws as `result` does; WorkflowSkippedError where the function's singleton lets no other run be unfinished.
   */
  async function invoke<Data, Result>(
    fn: RotorFunction<Data, Result>,
    data?: Data,
    options?: InvokeOptions,
  ): Promise<{ result: Jsonify<Result>; runId: string }>;
  async function invoke<Result = Untyped>(
    id: string,
    data?: unknown,
    options?: InvokeOptions,
  ): Promise<{ result: Result; runId: string }>;
  async function invoke(
    fn: string | { readonly id: string },
    data?: unknown,
    { timeout = "5m", ...options }: InvokeOptions = {},
  ): Promise<{ result: unknown; runId: string }> {
    const patience = new Patience(timeout, options.signal);
    const { runId, skipped, run } = await begin(fn, data, options, patience);
    if (skipped)
      throw new WorkflowSkippedError(`It was not started: its singleton lets one run be unfinished, and ${runId} is.`);
    return { result: await resultOf(runId, patience, run), runId };
  }

  /**
   * What a run returned, as soon as it has ended.
   * @param options.timeout how long to wait (default `"5m"`).
   * @throws WorkflowFailedError with the run's error as cause; WorkflowCancelledError; WorkflowTimeoutError, then the run goes on.
   */
  async function result<Result = Untyped>(
    runId: string,
    { timeout = "5m", signal }: CallOptions & { readonly timeout?: Duration } = {},
  ): Promise<Result> {
    return (await resultOf(runId, new Patience(timeout, signal))) as Result;
  }

  /** `seen`: as the run was a moment ago, where that is known. */
  async function resultOf(runId: string, patience: Patience, seen?: Ended): Promise<unknown> {
    const { timeout, signal } = patience;
    const look = async (waitMs: number) => {
      const input = { signal, query: { wait: formatDuration(waitMs) }, ...held(waitMs) };
      return (await call("GET", `${path(runId)}/result`, input)) as Ended;
    };
    for (let run = seen; ; run = undefined) {
      const { leftMs } = patience;
      run ??= await patience.ask(look);
      if (run.state === "completed") return run.output;
      if (run.state === "cancelled") throw new WorkflowCancelledError(`Run ${runId} was cancelled`);
      if (run.state === "failed") {
        const cause = run.error ? fromWireError(run.error) : undefined;
        throw new WorkflowFailedError(`Run ${runId} failed${cause ? `: ${cause.message}` : ""}`, { cause });
      }
      if (leftMs === 0) throw new WorkflowTimeoutError(`Run ${runId} did not end within ${timeout}; it goes on`);
      // A server that is short of room may answer before the time that was asked for.
      await pause(Math.min(EARLY_PAUSE_MS, leftMs), signal);
    }
  }

  return {
    start,
    invoke,
    result,
    /** The run with its steps. */
    get: async (runId: string, options?: CallOptions) => call("GET", path(runId), options) as Promise<Run>,
    list: ({
      function: id,
      state,
      event,
      tag,
      eventId,
      createdAfter,
      createdBefore,
      brief,
      ...options
    }: RunFilter = {}) =>
      listingOf<Run>(call, "/v1/runs", options, {
        function: id,
        state,
        event,
        tag,
        event_id: eventId,
        created_after: instant(createdAfter),
        created_before: instant(createdBefore),
        brief,
      }),
    /** Ends an unfinished run; a step under way learns it at its `signal`. */
    cancel: async (runId: string, { children, ...options }: CancelOptions = {}): Promise<CancelledRun> => {
      const input = { ...options, body: children === undefined ? undefined : { children }, repeatable: true };
      let below = 0;
      for (;;) {
        const answer = (await call("POST", `${path(runId)}/cancel`, input)) as CancelledRun & {
          childrenLeft?: boolean;
        };
        const { childrenLeft, childrenCancelled, ...run } = answer;
        below += childrenCancelled ?? 0;
        if (childrenLeft !== true)
          return { ...run, ...(childrenCancelled !== undefined && { childrenCancelled: below }) };
      }
    },
    /** Ends many unfinished runs. */
    cancelAll: async (selection: RunSelection, options?: BulkOptions): Promise<RunsCancelled> => {
      const parts = answersOf<RunsCancelled & BulkAnswer>(call, "POST", "/v1/runs/cancel", asked(selection), options);
      const { count, ...rest } = await allOf(parts, ({ cancelled }) => cancelled, options);
      return { cancelled: count, ...rest };
    },
    /**
     * Starts many ended runs anew, from the start, each as a run of its own. Given `before`, it may be asked again after an
     * answer was lost: what it has started is not started twice.
     */
    replayAll: async (selection: RunSelection, options?: BulkOptions): Promise<RunsReplayed> => {
      const parts = answersOf<RunsReplayed & BulkAnswer>(call, "POST", "/v1/runs/replay", asked(selection), options);
      const { count, ...rest } = await allOf(parts, ({ replayed }) => replayed, options);
      return { replayed: count, ...rest };
    },
    /**
     * Starts a new run like this one: from the start, or from one of its steps with the results recorded before it (of an
     * unfinished step, all results), with other data if given.
     */
    replay: async (
      runId: string,
      { fromStep, input, ...options }: CallOptions & { readonly fromStep?: string; readonly input?: unknown } = {},
    ): Promise<{ runId: string }> => {
      const answer = await call("POST", `${path(runId)}/replay`, { ...options, body: { fromStep, input } });
      return { runId: (answer as { runId: string }).runId };
    },
    /** Lets a failed run go on where it failed: its finished steps stay as they are. */
    retry: async (runId: string, options?: CallOptions) =>
      call("POST", `${path(runId)}/retry`, options) as Promise<Run>,
    /** Ends a sleep of a run now. For development: a server of `rotor dev` does so, others refuse (403). */
    skip: async (runId: string, step: string, options?: CallOptions) =>
      call("POST", `${path(runId)}/skip`, { ...options, body: { step } }) as Promise<Run>,
    /** Tries a held run again, after its code was mended. */
    resume: async (runId: string, options?: CallOptions) =>
      call("POST", `${path(runId)}/resume`, options) as Promise<Run>,
  };
};
