/**
 * Runs a function against the steps that the server has stored: the one clever file. Where it runs, and who signs, is not here.
 *
 * 1. A step is its id, or `id#n` from its second use on. What is stored under that key is its answer.
 * 2. Finished steps resolve in order of `seq`, one at a time: one is released, every continuation runs until the event loop
 *    has turned, then the next. So `race` and `any` take the branch that they took before. One that is released before the
 *    code asks for it resolves when asked.
 * 3. Nothing new starts or leaves before all stored results are released.
 * 4. A result leaves by the lane; its promise resolves when the server has it, by rule 2. What the code gets has been
 *    through JSON, as in a replay.
 * 5. Where nothing runs and the code only waits, the delivery is answered `waiting` with the waits not yet reported. While
 *    something runs, new waits and retries leave at once, so that an event can end them.
 * 6. A due retry is run again here while the delivery lives. A due wait is ended by the server, never here: it is asked.
 * 7. The function's end is the run's end: steps of losing branches are aborted, their results ignored.
 * 8. Told to yield, nothing new starts; what runs ends and is stored, then the answer is `yield`. Told to leave, it is `stale`.
 * 9. Without a server to checkpoint to, what can run runs, and its reports travel in the answer; their promises stay open.
 * 10. Another kind of step under a stored key, or an unfinished stored step that the code no longer asks for: `diverged`.
 */

import { fitting } from "./answer-room.js";
import type { Asked } from "./asked.js";
import { runAttempt } from "./attempt.js";
import type { AnswerBody, End } from "./end.js";
import { answerTo } from "./end.js";
import { contextFor } from "./function-context.js";
import type { Outgoing, ReplyOfRun, Seat } from "./lane.js";
import { outgoing } from "./lane.js";
import { lazyAbort } from "./lazy-abort.js";
import type { Ledger } from "./ledger.js";
import { createLedger, errorOf, resultOf } from "./ledger.js";
import type { Report, WireError, WireStep } from "./protocol.js";
import type { ReplayOptions } from "./replay-options.js";
import type { Place, StepCall } from "./step-call.js";
import { createStep } from "./step-call.js";
import { createTimers, MAX_TIMER_MS } from "./timers.js";
import { turn } from "./turn.js";
import { warnOnce } from "./warn.js";

/** Steps of one run whose code runs at the same time. */
const PARALLELISM = 100;
/** A due wait that the server did not yet call ended is asked for again after this. */
const ASK_AGAIN_MS = 100;
const GRACE_MS = 1_000;

const now = () => performance.now();

/** Runs one delivery to its answer. Rejects only for a bug of ours. */
export const replay = (options: ReplayOptions): Promise<AnswerBody> => new Delivery(options).run();

class Delivery {
  readonly #options: ReplayOptions;
  readonly #ledger: Ledger;
  readonly #seat: Seat;
  readonly #over = lazyAbort();
  readonly #startedMs = now();
  readonly #uses = new Map<string, number>();
  readonly #asked = new Map<string, Asked>();
  /** Asked and not settled, in the order of asking. */
  readonly #open = new Set<Asked>();
  /** Errors that a stored step threw, and its key: each replay throws them again. */
  readonly #thrown = new WeakMap<object, string>();
  readonly #timers = createTimers();
  #outbox: Outgoing[] = [];
  /** Whether the outbox holds a result that code may be waiting for. */
  #urgent = false;
  #running = 0;
  /** Key of the step whose result the code received last. */
  #received: string | undefined;
  /** Nothing new may start. */
  #holding = false;
  /** The server could not be reached: reports travel in the answer. */
  #detached: boolean;
  #end: End | undefined;
  #verdict: AnswerBody | undefined;
  #grace: "unused" | "running" | "over" = "unused";
  #answered: AnswerBody["status"] | undefined;
  #changed = false;
  #wake = () => {};

  constructor(options: ReplayOptions) {
    const { request, steps, lane } = options;
    this.#options = options;
    this.#ledger = createLedger(steps);
    this.#detached = lane.down;
    this.#seat = lane.join({
      token: request.checkpoint.token,
      knownSeq: this.#ledger.knownSeq,
      replied: (reply, sent) => this.#learn(reply, sent),
      unreachable: (unsent) => this.#detach(unsent),
    });
  }

  async run(): Promise<AnswerBody> {
    const { inHand, startWithinMs } = this.#options;
    const hold = () => {
      this.#holding = true;
      this.#notify();
    };
    const obey = () => {
      if (inHand?.order === "leave") this.#verdict ??= { status: "stale" };
      if (inHand?.order !== "go") hold();
    };
    if (startWithinMs !== undefined && startWithinMs <= 0) this.#holding = true;
    else if (startWithinMs !== undefined) this.#timers.after(startWithinMs, hold);
    if (inHand) {
      inHand.onOrder = obey;
      obey();
    }
    try {
      const answer = await this.#live();
      this.#answered = answer.status;
      const missed = () => this.#ledger.finished().find((key) => !this.#asked.has(key));
      this.#options.advice?.answered(answer.status, this.#open, missed);
      return answer;
    } finally {
      this.#close();
    }
  }

  async #live(): Promise<AnswerBody> {
    if (!this.#verdict) this.#startFunction();
    for (;;) {
      await turn();
      this.#changed = false;
      const answer = this.#ended();
      if (answer) return answer;
      if (this.#releaseNext()) continue;
      this.#wakeDue();
      this.#startSteps();
      this.#sendReports();
      const suspended = this.#suspended();
      if (suspended) return suspended;
      await this.#nextChange();
    }
  }

  #startFunction(): void {
    const { request, handler, env, traceparent, maxSteps } = this.#options;
    const step = createStep((call) => this.#ask(call), request.run, maxSteps);
    const speaks = () => !this.#ledger.replaying();
    const context = contextFor(request, { step, over: this.#over, traceparent, env, speaks });
    const finish = (end: End) => {
      this.#end = end;
      this.#notify();
    };
    (async () => handler(context))().then(
      (value) => finish({ kind: "returned", value }),
      (error) => finish({ kind: "threw", error }),
    );
  }

  #ask(call: StepCall): Promise<unknown> {
    if (this.#answered !== undefined) return this.#tooLate(call);
    const use = (this.#uses.get(call.id) ?? 0) + 1;
    this.#uses.set(call.id, use);
    const key = use === 1 ? call.id : `${call.id}#${use}`;
    const stored = this.#ledger.get(key);
    if (stored && stored.kind !== call.kind) {
      this.#verdict ??= { status: "diverged", step: key, recorded: stored.kind, asked: call.kind };
    }
    return new Promise((resolve, reject) => {
      const before = this.#received;
      const attempt = stored?.attempt ?? 0;
      const asked: Asked = { key, call, resolve, reject, before, phase: { at: "stored" }, attempt };
      this.#asked.set(key, asked);
      this.#open.add(asked);
      this.#options.advice?.asked(asked);
      if (stored?.state === "waiting") {
        asked.phase = { at: "waiting", dueMs: this.#startedMs + (stored.due_in_ms ?? 0) };
      } else if (stored) {
        if (this.#ledger.isReleased(key)) {
          this.#options.advice?.late(key);
          this.#settle(asked, stored);
        }
      } else if (call.kind === "run") {
        asked.phase = { at: "ready" };
      } else {
        asked.phase = { at: "reported" };
        this.#report(call.report(key, this.#placeAfter(before)), call.immediate);
      }
      this.#notify();
    });
  }

  /** A wait looks back to where the step before it could first start: to the end of the step before that one. */
  #placeAfter(before: string | undefined): Place {
    const previous = before === undefined ? undefined : this.#asked.get(before);
    if (previous?.before === undefined) return {};
    const isForEvents = previous.call.kind === "event" || previous.call.kind === "any";
    return { after: previous.before, ...(isForEvents && { previous: previous.key }) };
  }

  #tooLate({ id }: StepCall): Promise<never> {
    if (this.#answered === "waiting") {
      const name = this.#options.request.function;
      warnOnce(
        `late-step:${name}:${id}`,
        `function "${name}" asked for step "${id}" after its delivery had been answered: while a wait is open, ` +
          "code between steps must not await anything but steps; put that work into a step.run",
      );
    }
    return new Promise(() => {});
  }

  #report(report: Report, urgent: boolean): void {
    this.#outbox.push(outgoing(report));
    this.#urgent ||= urgent;
  }

  #releaseNext(): boolean {
    for (let step = this.#ledger.release(); step; step = this.#ledger.release()) {
      const asked = this.#asked.get(step.key);
      if (!asked) continue;
      this.#settle(asked, step);
      return true;
    }
    return false;
  }

  #settle(asked: Asked, step: WireStep): void {
    const { phase } = asked;
    asked.phase = { at: "settled" };
    this.#open.delete(asked);
    this.#received = asked.key;
    if (phase.at === "running") phase.abort.abort(endOfDelivery);
    if (step.state === "completed") {
      asked.resolve(resultOf(step));
      return;
    }
    const error = errorOf(asked.call.id, step);
    this.#thrown.set(error, step.key);
    asked.reject(error);
  }

  /** The answer, when the function has ended or the server has said that the delivery has. */
  #ended(): AnswerBody | undefined {
    if (this.#verdict || !this.#end) return this.#verdict;
    this.#holding = true;
    const answer = answerTo(this.#end, this.#thrown);
    if (answer.status === "completed") return this.#unreached() ?? answer;
    // What is finished shall be stored before the function is tried again.
    const isLast = answer.status === "failed" && !answer.retriable;
    return isLast || this.#detached || !(this.#urgent || this.#seat.busy) ? answer : undefined;
  }

  #unreached(): AnswerBody | undefined {
    const missing = this.#ledger.unfinished().find(({ key }) => !this.#asked.has(key));
    return missing && { status: "diverged", step: missing.key, recorded: missing.kind, asked: null };
  }

  #wakeDue(): void {
    const time = now();
    for (const asked of this.#open) {
      if (asked.phase.at !== "waiting" || asked.phase.dueMs > time) continue;
      if (asked.call.kind === "run") asked.phase = { at: "ready" };
      else if (this.#detached) asked.phase = { at: "waiting", dueMs: Number.POSITIVE_INFINITY };
      else {
        asked.phase = { at: "waiting", dueMs: time + ASK_AGAIN_MS };
        this.#seat.ask();
      }
    }
  }

  #startSteps(): void {
    for (const asked of this.#open) {
      if (this.#holding || this.#running >= PARALLELISM) return;
      if (asked.phase.at === "ready" && asked.call.kind === "run") void this.#execute(asked, asked.call);
    }
  }

  async #execute(asked: Asked, call: StepCall & { readonly kind: "run" }): Promise<void> {
    const { request, traceparent } = this.#options;
    const abort = lazyAbort();
    asked.phase = { at: "running", abort };
    asked.attempt += 1;
    this.#running += 1;
    const { key, attempt } = asked;
    const maxAttempts = call.maxAttempts ?? request.max_attempts;
    const report = await runAttempt({ runId: request.run, key, call, attempt, maxAttempts, abort, traceparent });
    this.#running -= 1;
    if (asked.phase.at === "running" && this.#answered === undefined) {
      asked.phase = { at: "reported", output: report.outcome === "completed" ? report.output : undefined };
      this.#report(report, report.outcome !== "retry");
    }
    this.#notify();
  }

  #sendReports(): void {
    if (this.#detached || this.#outbox.length === 0) return;
    if (!this.#urgent && this.#running === 0 && fitting(this.#outbox).length === this.#outbox.length) return;
    const reports = this.#outbox;
    this.#outbox = [];
    this.#urgent = false;
    this.#seat.report(reports);
  }

  /** The answer, when nothing runs and the code can go on only in another delivery. */
  #suspended(): AnswerBody | undefined {
    if (this.#end || this.#running > 0 || this.#open.size === 0) return undefined;
    // A reply may end a wait; an answer given before it would leave that result unseen.
    if (!this.#detached && this.#seat.busy) return undefined;
    const fits = fitting(this.#outbox);
    const reports = fits.map(({ report }) => report);
    const known_seq = this.#ledger.knownSeq();
    // What does not fit is asked for again, or run again, by the delivery that follows at once.
    const isCut = fits.length < this.#outbox.length;
    if (isCut || [...this.#open].some(({ phase }) => phase.at === "ready"))
      return { status: "yield", reports, known_seq };
    const diverged = this.#unreached();
    if (!diverged) return { status: "waiting", reports, known_seq };
    if (this.#grace === "over") return diverged;
    if (this.#grace === "unused") {
      this.#grace = "running";
      this.#timers.after(this.#options.graceMs ?? GRACE_MS, () => {
        this.#grace = "over";
        this.#notify();
      });
    }
    return undefined;
  }

  #learn(reply: ReplyOfRun, sent: readonly Outgoing[]): void {
    for (const step of reply.steps) this.#learnStep(step);
    if (reply.verdict === "yield") this.#holding = true;
    else if (reply.verdict === "cancelled" || reply.verdict === "stale") this.#verdict ??= { status: "stale" };
    else if (reply.verdict === "invalid") this.#refuse(reply.error ?? UNNAMED_REFUSAL, sent[0]?.report);
    // Where there is more, what is not told of yet comes with it: the lane asks by itself.
    if (reply.more !== true && (reply.verdict === "go" || reply.verdict === "yield")) {
      const told = new Set(reply.steps.map(({ key }) => key));
      const untold = sent.filter(({ report }) => !told.has(report.key));
      // A server that says nothing of a report has not stored it, as far as one can know.
      if (untold.length > 0) this.#detach(untold);
    }
    this.#notify();
  }

  #learnStep(step: WireStep): void {
    const asked = this.#asked.get(step.key);
    if (step.state === "waiting") {
      // A reply to an earlier checkpoint says nothing of the attempt that has been made since.
      const isCurrent = step.kind !== "run" || step.attempt === asked?.attempt;
      if (isCurrent && (asked?.phase.at === "reported" || asked?.phase.at === "waiting")) {
        asked.phase = { at: "waiting", dueMs: now() + (step.due_in_ms ?? 0) };
      }
      return;
    }
    const own = asked?.phase.at === "reported" && step.attempt === asked.attempt ? asked.phase.output : undefined;
    const told = step.output !== undefined || own === undefined;
    this.#ledger.record(told ? step : Object.assign({}, step, { output: own }));
  }

  /** The server will never take this report, so what it is about fails with the server's reason. */
  #refuse(error: WireError, report: Report | undefined): void {
    if (!report || (report.kind === "run" && report.outcome !== "completed")) {
      this.#verdict ??= { status: "failed", error, retriable: false };
    } else if (report.kind === "run") {
      const { key, attempt, duration_ms } = report;
      this.#report({ kind: "run", key, attempt, duration_ms, outcome: "failed", error }, true);
    } else {
      this.#ledger.record({ key: report.key, kind: report.kind, state: "failed", attempt: 0, error });
    }
  }

  #detach(unsent: readonly Outgoing[]): void {
    this.#detached = true;
    this.#outbox.unshift(...unsent);
    this.#notify();
  }

  #notify(): void {
    this.#changed = true;
    this.#wake();
  }

  async #nextChange(): Promise<void> {
    const dueMs = [...this.#open].reduce(
      (least, { phase }) => (phase.at === "waiting" ? Math.min(least, phase.dueMs) : least),
      Number.POSITIVE_INFINITY,
    );
    const takeBack = dueMs < now() + MAX_TIMER_MS ? this.#timers.after(dueMs - now(), () => this.#notify()) : undefined;
    if (!this.#changed) await new Promise<void>((resolve) => (this.#wake = resolve));
    takeBack?.();
  }

  /** Promises of open steps are never settled after this: what awaits them is garbage, as they are. */
  #close(): void {
    this.#seat.leave();
    this.#timers.clear();
    for (const { phase } of this.#open) if (phase.at === "running") phase.abort.abort(endOfDelivery);
    this.#over.abort(endOfDelivery);
    this.#open.clear();
    this.#asked.clear();
    this.#outbox = [];
  }
}

const UNNAMED_REFUSAL: WireError = { name: "Error", message: "the server refused the step without saying why" };

const endOfDelivery = () => new DOMException("This delivery of the run is over", "AbortError");
