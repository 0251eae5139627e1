/**
 * One run as the server stores it, in memory: its steps, the order of their results, what each waits for. What ends a wait,
 * and when the run is delivered, is `world.ts`.
 */

import type { Json, MatchObject, Report, StepKind, WireError, WireEvent, WireStep } from "../protocol.js";

/** An event or a signal that ends a step; of a `waitForAny` one of several, with its name. */
export type Watch = { readonly name?: string } & (
  | { readonly event: string; readonly match?: string | MatchObject }
  | { readonly signal: string }
);

export type StoredStep = {
  readonly key: string;
  readonly kind: StepKind;
  /** `dropped`: unfinished when its run ended. */
  state: "waiting" | "completed" | "failed" | "dropped";
  attempt: number;
  /** Place among the results. */
  seq?: number;
  /** Unix milliseconds of the virtual clock, while unfinished. */
  dueMs?: number;
  output?: Json;
  error?: WireError;
  /** Of its attempts that were followed by another. */
  readonly failures: readonly WireError[];
  readonly watches: readonly Watch[];
  /** The run or job whose end it waits for. */
  readonly child?: string;
  /** Steps that were reported together are stored together. */
  readonly batch: number;
  /** When it ended, among all that happened. */
  endedAt?: number;
};

export type Ending = Pick<StoredStep, "output" | "error"> & {
  readonly state: "completed" | "failed";
  /** When, among all that happened; an event's, where one ended it. */
  readonly at: number;
  readonly event?: string;
};

export type RunState = "waiting" | "active" | "completed" | "failed" | "cancelled";

/** Of the server's limits, the longest that an unfinished thing waits without a limit of its own. */
const YEAR_MS = 365 * 86_400_000;

/** A wire's worth of distance between what is stored and what the code holds. */
export const copied = <T>(value: T): T => (value === undefined ? value : JSON.parse(JSON.stringify(value)));

export class StoredRun {
  state: RunState = "waiting";
  readonly steps = new Map<string, StoredStep>();
  delivery = 0;
  /** Deliveries that failed outside a step, and this one. */
  attempt = 1;
  /** When it is delivered next, while it waits. */
  dueMs: number;
  /** When it fails unless it has ended: its function's `timeout`. */
  deadlineMs = Number.POSITIVE_INFINITY;
  /** Why it is held: its code no longer fits what is stored. */
  held: string | undefined;
  output: Json | undefined;
  error: WireError | undefined;
  /** Ids of the events that it has been given. */
  readonly consumed = new Set<string>();
  #seq = 0;
  #batch = 0;

  constructor(
    readonly id: string,
    readonly fn: string,
    readonly event: WireEvent,
    /** When it was created: on the clock, and among all that happened. */
    readonly created: { readonly ms: number; readonly at: number },
    /** Of two starts with one key the second does nothing; of an event's run it is the event's. */
    readonly key: string | undefined,
  ) {
    this.dueMs = created.ms;
    this.consumed.add(event.id);
  }

  get token(): string {
    return `${this.id}:${this.delivery}`;
  }

  get isFinished(): boolean {
    return this.state !== "waiting" && this.state !== "active";
  }

  /** The reports that say anything new: a result is written once, a later attempt replaces an earlier. */
  fresh(reports: readonly Report[]): readonly Report[] {
    this.#batch += 1;
    return reports.filter((report) => {
      const known = this.steps.get(report.key);
      if (!known) return true;
      return (
        report.kind === "run" && known.kind === "run" && known.state === "waiting" && known.attempt < report.attempt
      );
    });
  }

  /** Stores an unfinished step. */
  store(report: Report, nowMs: number, more: Pick<StoredStep, "watches" | "child">): StoredStep {
    const { key, kind } = report;
    const delayMs = "delay_ms" in report ? report.delay_ms : "timeout_ms" in report ? report.timeout_ms : undefined;
    const dueMs = "until_ms" in report ? report.until_ms : nowMs + (delayMs ?? YEAR_MS);
    const attempt = report.kind === "run" ? report.attempt : 1;
    const error = report.kind === "run" && report.outcome === "retry" ? copied(report.error) : undefined;
    const failures = [...(this.steps.get(key)?.failures ?? []), ...(error === undefined ? [] : [error])];
    const step: StoredStep = {
      key,
      kind,
      state: "waiting",
      attempt,
      dueMs,
      error,
      failures,
      batch: this.#batch,
      ...more,
    };
    this.steps.set(key, step);
    return step;
  }

  /** Ends a step, once; false where it had ended. */
  end(key: string, { state, output, error, at, event }: Ending): boolean {
    const step = this.steps.get(key);
    if (step?.state !== "waiting") return false;
    this.#seq += 1;
    Object.assign(step, { state, output: copied(output), error: copied(error), endedAt: at, seq: this.#seq });
    delete step.dueMs;
    if (event !== undefined) this.consumed.add(event);
    // A delivery that finishes something makes the failures before it count no longer.
    if (this.state === "active") this.attempt = 1;
    return true;
  }

  /** The run has ended: what it waits for is kept to be shown. */
  drop(): void {
    for (const step of this.unfinished()) {
      step.state = "dropped";
      delete step.dueMs;
    }
  }

  unfinished(): StoredStep[] {
    return [...this.steps.values()].filter(({ state }) => state === "waiting");
  }

  /** Finished ones in the order of their results, then the others. */
  inOrder(): StoredStep[] {
    const seq = (step: StoredStep) => step.seq ?? Number.MAX_SAFE_INTEGER;
    return [...this.steps.values()].sort((a, b) => seq(a) - seq(b));
  }

  get lastSeq(): number {
    return this.#seq;
  }

  get earliestDueMs(): number {
    return this.unfinished().reduce((least, { dueMs = 0 }) => Math.min(least, dueMs), Number.POSITIVE_INFINITY);
  }

  wireSteps(nowMs: number): WireStep[] {
    return this.inOrder().map((step) => wireStep(step, nowMs));
  }

  /** What a checkpoint's reply says: the steps that it reported, and all that ended after those that the code knows. */
  reply(reports: readonly Report[], knownSeq: number, nowMs: number): WireStep[] {
    const reported = new Set(reports.map(({ key }) => key));
    return this.inOrder()
      .filter(({ key, seq = 0 }) => reported.has(key) || seq > knownSeq)
      .map((step) => wireStep(step, nowMs));
  }
}

function wireStep({ key, kind, state, attempt, seq, dueMs, output, error }: StoredStep, nowMs: number): WireStep {
  // While a delivery lives the virtual clock stands still: what is not due now becomes due in another.
  if (state === "waiting") return { key, kind, state, attempt, due_in_ms: dueMs! > nowMs ? YEAR_MS : 0 };
  const ended = { key, kind, state: state as "completed" | "failed", attempt, seq };
  return state === "failed" ? { ...ended, error: copied(error) } : { ...ended, output: copied(output) ?? null };
}

/** A callback job that a step enqueued. */
export type StoredJob = {
  readonly id: string;
  readonly queue: string;
  readonly payload: Json;
  readonly options: { readonly [name: string]: unknown };
  /** The step that enqueued it. */
  readonly run: StoredRun;
  readonly step: string;
};
