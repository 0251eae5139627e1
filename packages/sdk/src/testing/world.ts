/**
 * The server's side of the protocol in memory, with a clock that moves only when it is told to: runs, events, signals, and
 * the deliveries of what is due. How a run's code is replayed is `replay.ts`, which is the same that an app uses.
 */

import { createAdviser } from "../advice.js";
import { backoffMs } from "../backoff.js";
import type { CheckpointResult } from "../checkpoint.js";
import { currentStepKey } from "../context.js";
import { formatDuration } from "../duration.js";
import { RotorInputError } from "../errors.js";
import type { RotorFunction } from "../function.js";
import { manifestOf } from "../function.js";
import { uuidv7 } from "../ids.js";
import { createLane, type ReplyOfRun } from "../lane.js";
import type {
  Answer,
  CheckpointRequest,
  FunctionManifest,
  Json,
  OutgoingEvent,
  Report,
  WireEvent,
} from "../protocol.js";
import { PROTOCOL_VERSION } from "../protocol.js";
import { replay } from "../replay.js";
import { celOf, equals, isTrue, type Matches, mistakeIn } from "./match.js";
import { recordReports } from "./record.js";
import { copied, type StoredJob, StoredRun, type StoredStep, type Watch } from "./stored-run.js";

/** An event that came; `at` is when, among all that happened. */
export type PastEvent = WireEvent & { readonly at: number; readonly ms: number };

type Served = { readonly handler: RotorFunction["handler"]; readonly manifest: FunctionManifest };

type End = {
  readonly state: "completed" | "failed" | "cancelled";
  readonly output?: Json;
  readonly error?: StoredStep["error"];
};

/** Of one run, which has at most 1,000 steps: beyond this it moves in a circle, and the test would never end. */
const MAX_DELIVERIES = 10_000;

/** Begins the key of a run that handles the failure of another. */
const FAILURE = "rotor:failure:";

/** An event starts a function once. */
const keyOf = (eventId: string): string => `rotor:event:${eventId}`;

export class World {
  nowMs: number;
  readonly runs: StoredRun[] = [];
  readonly events: PastEvent[] = [];
  readonly sent: OutgoingEvent[] = [];
  readonly jobs: StoredJob[] = [];
  readonly #functions: ReadonlyMap<string, Served>;
  readonly matches: Matches | undefined;
  readonly #lane = createLane("test", { post: async (_, body) => this.#checkpoint(body) });
  readonly #adviser = createAdviser();
  readonly #inHand = new Set<Promise<void>>();
  #delayed: WireEvent[] = [];
  #happened = 0;
  /** What the test itself has done wrong, or a bug: told to whoever waits for the world to come to rest. */
  #fault: unknown;

  constructor(functions: readonly RotorFunction[], nowMs: number, matches: Matches | undefined) {
    this.nowMs = nowMs;
    this.matches = matches;
    const served = functions.map((one): [string, Served] => [
      one.id,
      { handler: one.handler, manifest: manifestOf(one) },
    ]);
    this.#functions = new Map(served);
    const twice = served.find(([id], place) => served.findIndex(([other]) => other === id) !== place);
    if (twice) throw new RotorInputError(`Two functions have the id "${twice[0]}": give one of them another`);
  }

  /** The next moment: what happens in one millisecond has an order, too. */
  moment(): number {
    this.#happened += 1;
    return this.#happened;
  }

  has(fn: string): boolean {
    return this.#functions.has(fn);
  }

  /** Starts a run. Of two starts of one function with one `key` the second gives the first run. */
  start(
    fn: string,
    event: Partial<WireEvent> & { data: Json },
    { id = uuidv7(this.nowMs), key }: { id?: string; key?: string | undefined } = {},
  ): StoredRun {
    const known = key === undefined ? undefined : this.runs.find((run) => run.fn === fn && run.key === key);
    if (known) return known;
    const whole = { id: key ?? id, name: "rotor/run.started", ts: this.nowMs, ...copied(event) };
    const run = new StoredRun(id, fn, whole, { ms: this.nowMs, at: this.moment() }, key);
    run.deadlineMs = this.nowMs + (this.#functions.get(fn)?.manifest.timeout_ms ?? Number.POSITIVE_INFINITY);
    this.runs.push(run);
    return run;
  }

  /** Publishes an event, or keeps it until its time has come. Of two with one id the second does nothing. */
  publish({ name, data, id = uuidv7(), ts }: OutgoingEvent): { id: string; runs: StoredRun[] } {
    const event: WireEvent = { id, name, data: copied(data) ?? null, ts: ts ?? this.nowMs };
    if (this.events.some((one) => one.id === id) || this.#delayed.some((one) => one.id === id)) {
      return { id, runs: this.runs.filter((run) => run.key === keyOf(id)) };
    }
    if (event.ts > this.nowMs) {
      this.#delayed.push(event);
      return { id, runs: [] };
    }
    return { id, runs: this.#arrive(event) };
  }

  #arrive(event: WireEvent): StoredRun[] {
    const at = this.moment();
    const waiting = this.runs.filter((run) => !run.isFinished);
    this.events.push({ ...event, at, ms: this.nowMs });
    const started = [...this.#functions].flatMap(([fn, { manifest }]) =>
      manifest.triggers.some(
        (trigger) => "event" in trigger && trigger.event === event.name && this.#triggers(trigger.if, event),
      )
        ? [this.start(fn, event, { key: keyOf(event.id) })]
        : [],
    );
    for (const run of waiting) {
      if (this.#isCancelledBy(run, event)) this.cancel(run);
      else this.#endWaitWith(run, event, at);
    }
    return started;
  }

  #isCancelledBy(run: StoredRun, event: WireEvent): boolean {
    const { cancel_on = [] } = this.#functions.get(run.fn)!.manifest;
    return cancel_on.some(
      ({ timeout_ms = Number.POSITIVE_INFINITY, ...watch }) =>
        this.nowMs < run.created.ms + timeout_ms && this.fits(run, watch, event),
    );
  }

  #triggers(condition: string | undefined, event: WireEvent): boolean {
    if (condition === undefined) return true;
    return isTrue(condition, celOf(this.matches, condition), { event, data: event.data, trigger: null });
  }

  /** In a run, an event ends one wait: the one stored last, of those stored together the first in the order of the code. */
  #endWaitWith(run: StoredRun, event: WireEvent, at: number): void {
    const [step] = run
      .unfinished()
      .filter(({ watches, dueMs = 0 }) => dueMs > this.nowMs && watches.some((watch) => this.fits(run, watch, event)))
      .sort((a, b) => b.batch - a.batch);
    if (step) this.#wake(run, this.endWith(run, step, event, at));
  }

  fits(run: StoredRun, watch: Watch, event: WireEvent): boolean {
    if (!("event" in watch) || watch.event !== event.name) return false;
    const { match } = watch;
    if (match === undefined) return true;
    if (typeof match !== "string") return equals(match, event.data);
    return isTrue(match, celOf(this.matches, match), { event, data: event.data, trigger: run.event });
  }

  /** Ends a wait with an event. */
  endWith(run: StoredRun, step: StoredStep, event: WireEvent, at: number): boolean {
    const { name } = step.watches.find((watch) => this.fits(run, watch, event))!;
    const output = name === undefined ? event.data : { name, data: event.data };
    return run.end(step.key, { state: "completed", output, at, event: event.id });
  }

  #wake(run: StoredRun, ended: boolean): void {
    if (ended && run.state === "waiting" && run.held === undefined) run.dueMs = this.nowMs;
  }

  /** The unfinished wait for this signal. */
  waitFor(signal: string): { run: StoredRun; step: StoredStep; watch: Watch } | undefined {
    for (const run of this.runs) {
      for (const step of run.unfinished()) {
        const watch = step.watches.find((one) => "signal" in one && one.signal === signal);
        if (watch) return { run, step, watch };
      }
    }
    return undefined;
  }

  /** False where nobody waits for it. */
  completeSignal(signal: string, data: Json): boolean {
    const found = this.waitFor(signal);
    if (!found || found.step.dueMs! <= this.nowMs) return false;
    const { run, step, watch } = found;
    const output = watch.name === undefined ? data : { name: watch.name, data };
    this.#wake(run, run.end(step.key, { state: "completed", output, at: this.moment() }));
    return true;
  }

  /** The end of a run or job, as the step that waits for it learns it. */
  childEnded(id: string, { state, output, error }: End): boolean {
    for (const run of this.runs) {
      const step = run.unfinished().find(({ child }) => child === id);
      if (!step) continue;
      const at = this.moment();
      const result = output ?? null;
      const failure =
        state === "cancelled"
          ? { name: "WorkflowCancelledError", message: `${id} was cancelled.` }
          : { name: "WorkflowFailedError", message: `${id} failed: ${error?.message ?? state}`, cause: error };
      const end =
        state === "completed"
          ? { state, at, output: step.kind === "invoke" ? { result, runId: id } : result }
          : { state: "failed" as const, at, error: failure };
      this.#wake(run, run.end(step.key, end));
      return true;
    }
    return false;
  }

  cancel(run: StoredRun): void {
    if (!run.isFinished) this.#end(run, { state: "cancelled" });
  }

  #end(run: StoredRun, end: End): void {
    Object.assign(run, { state: end.state, output: copied(end.output), error: copied(end.error) });
    run.held = undefined;
    run.drop();
    this.childEnded(run.id, end);
    if (end.state === "failed") this.#startFailureRun(run);
  }

  /** The run of its `onFailure`; one that handles a failure has none of its own. */
  #startFailureRun({ id: run_id, fn, key = "", delivery, event, error }: StoredRun): void {
    const handler = this.#functions.get(fn)!.manifest.on_failure;
    if (handler === undefined || key.startsWith(FAILURE)) return;
    const data = { error: error ?? null, event, run_id, function: fn, failed_step: error?.step ?? null };
    this.start(handler, { name: "rotor/run.failed", data }, { key: `${FAILURE}${run_id}:${delivery}` });
  }

  /** Delivers what is due, and what that makes due, until nothing moves but by time or by the test. */
  async settle(): Promise<void> {
    // Called by a step's own code: what it waited for would wait for it. Whoever began the delivery sees to the rest.
    if (currentStepKey() !== undefined) return;
    for (;;) {
      for (const event of this.#delayed.filter(({ ts }) => ts <= this.nowMs)) this.#arrive(event);
      this.#delayed = this.#delayed.filter(({ ts }) => ts > this.nowMs);
      for (const run of this.runs) if (!run.isFinished && run.deadlineMs <= this.nowMs) this.#endLate(run);
      for (const run of this.runs) if (run.state === "waiting" && run.dueMs <= this.nowMs) this.#begin(run);
      if (this.#inHand.size === 0) break;
      await Promise.race(this.#inHand);
    }
    const fault = this.#fault;
    this.#fault = undefined;
    if (fault !== undefined) throw fault;
  }

  /** Moves the clock, stopping wherever something becomes due on the way. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    for (;;) {
      await this.settle();
      const dueMs = Math.min(
        ...this.runs
          .filter(({ state }) => state === "waiting")
          .map(({ dueMs, deadlineMs }) => Math.min(dueMs, deadlineMs)),
        ...this.#delayed.map(({ ts }) => ts),
      );
      if (dueMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, dueMs);
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  #endLate(run: StoredRun): void {
    const limit = formatDuration(run.deadlineMs - run.created.ms);
    const message = `The run did not end within ${limit}, the timeout of its function.`;
    this.#end(run, { state: "failed", error: { name: "RunTimeoutError", message } });
  }

  #begin(run: StoredRun): void {
    this.#endDue(run);
    run.state = "active";
    run.delivery += 1;
    const delivery = this.#deliver(run)
      .catch((error: unknown) => {
        this.#fault ??= error;
        if (!run.isFinished) this.#end(run, { state: "failed", error: { name: "Error", message: String(error) } });
      })
      .finally(() => this.#inHand.delete(delivery));
    this.#inHand.add(delivery);
  }

  /** Time ends waits before any body says so, in the order in which they are due. */
  #endDue(run: StoredRun): void {
    const due = run.unfinished().filter(({ kind, dueMs }) => kind !== "run" && dueMs! <= this.nowMs);
    for (const { key, kind } of due.sort((a, b) => a.dueMs! - b.dueMs!)) {
      const at = this.moment();
      if (kind === "sleep" || kind === "event" || kind === "any")
        run.end(key, { state: "completed", output: null, at });
      else {
        const error =
          kind === "signal"
            ? { name: "SignalTimeoutError", message: "The signal did not come in time." }
            : { name: "WorkflowTimeoutError", message: "It did not end in time; it goes on by itself." };
        run.end(key, { state: "failed", error, at });
      }
    }
  }

  async #deliver(run: StoredRun): Promise<void> {
    const { handler, manifest } = this.#functions.get(run.fn)!;
    if (run.delivery > MAX_DELIVERIES) throw new Error(`The run of "${run.fn}" was delivered ${run.delivery} times`);
    const { delivery } = run;
    const steps = run.wireSteps(this.nowMs);
    const request = {
      version: PROTOCOL_VERSION,
      app: "default",
      function: run.fn,
      run: run.id,
      delivery,
      attempt: run.attempt,
      max_attempts: manifest.max_attempts,
      event: copied(run.event),
      steps,
      more: null,
      checkpoint: { url: "test", token: run.token },
    };
    const advice = this.#adviser(run.fn, run.id);
    const answer = await replay({ request, steps, handler, lane: this.#lane, advice });
    // Cancelled meanwhile: the answer of a delivery that is over changes nothing.
    if (run.state !== "active" || run.delivery !== delivery) return;
    this.#settleWith(run, copied(answer) as Answer, manifest.max_attempts);
  }

  #settleWith(run: StoredRun, answer: Answer, maxAttempts: number): void {
    switch (answer.status) {
      case "completed":
        this.#end(run, { state: "completed", output: answer.output });
        return;
      case "failed":
        if (!answer.retriable || run.attempt >= maxAttempts) {
          this.#end(run, { state: "failed", error: answer.error });
          return;
        }
        run.state = "waiting";
        run.dueMs = this.nowMs + (answer.retry_after_ms ?? backoffMs("exponential", run.attempt));
        run.attempt += 1;
        return;
      case "waiting":
      case "yield": {
        this.#record(run, answer.reports);
        run.state = "waiting";
        const goesOn = answer.status === "yield" || run.lastSeq > (answer.known_seq ?? 0);
        run.dueMs = goesOn ? this.nowMs : run.earliestDueMs;
        return;
      }
      case "diverged":
        run.state = "waiting";
        run.dueMs = Number.POSITIVE_INFINITY;
        run.held =
          `The step ${answer.step} is recorded as ${answer.recorded}, and ` +
          (answer.asked === null
            ? "the code no longer reaches it"
            : `the code asks for a step of kind ${answer.asked}`);
        return;
      default:
        throw new Error(`A delivery was answered "${answer.status}", which nobody asked for`);
    }
  }

  #record(run: StoredRun, reports: readonly Report[]): void {
    recordReports(this, run, copied(reports));
  }

  /** A wait whose condition nobody here can read; the test is told, since it alone can help. */
  checkMatch(run: StoredRun, match: string): string | undefined {
    try {
      return mistakeIn(match, celOf(this.matches, match), run.event);
    } catch (error) {
      this.#fault ??= error;
      return (error as Error).message;
    }
  }

  #checkpoint(body: string): CheckpointResult {
    const { runs } = JSON.parse(body) as CheckpointRequest;
    const replies = runs.map(({ token, reports, known_seq }): ReplyOfRun => {
      const run = this.runs.find((one) => one.token === token);
      if (run?.state !== "active") return { verdict: run?.state === "cancelled" ? "cancelled" : "stale", steps: [] };
      this.#record(run, reports);
      return { verdict: "go", steps: run.reply(reports, known_seq, this.nowMs) };
    });
    return { kind: "reply", reply: { version: PROTOCOL_VERSION, runs: replies } };
  }
}
