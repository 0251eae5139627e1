/** One run as a server would store it, in memory: records reports, ends waits, gives out `seq`. For the SDK's own tests. */

import type { Answer, Json, Report, WireStep } from "../protocol.js";

type Stored = Omit<WireStep, "due_in_ms"> & {
  readonly dueMs?: number;
  readonly events?: readonly (readonly [name: string, part: string | null])[];
};

/** The events and signals that a step waits for, each with the name of the part. */
function awaitedBy(report: Report): Stored["events"] {
  if (report.kind === "event") return [[report.event, null]];
  if (report.kind === "signal") return [[report.signal, null]];
  if (report.kind !== "any") return undefined;
  return report.parts.map((part) => ["event" in part ? part.event : part.signal, part.name]);
}

export class StoredRun {
  readonly steps = new Map<string, Stored>();
  delivery = 0;
  attempt = 1;
  /** The answers of its deliveries, in order. */
  readonly answers: Answer[] = [];
  /** Keys in the order in which they finished. */
  readonly finished: string[] = [];
  #seq = 10;

  constructor(
    readonly id: string,
    readonly fn: string,
    readonly data: Json,
    readonly clock: { nowMs: number },
  ) {}

  get token(): string {
    return `${this.id}:${this.delivery}`;
  }

  finish(key: string, result: Partial<Stored>): void {
    const step = this.steps.get(key);
    if (step?.state !== "waiting") return;
    const { dueMs: _, ...rest } = step;
    // Not dense, as the protocol says.
    this.#seq += 3;
    this.steps.set(key, { ...rest, state: "completed", ...result, seq: this.#seq });
    this.finished.push(key);
  }

  record(report: Report): void {
    const { key, kind } = report;
    const known = this.steps.get(key);
    if (report.kind === "run") {
      if (known && (known.state !== "waiting" || known.attempt >= report.attempt)) return;
      this.steps.set(key, { key, kind, state: "waiting", attempt: report.attempt, dueMs: this.clock.nowMs });
      if (report.outcome === "completed") this.finish(key, { output: report.output });
      else if (report.outcome === "failed") this.finish(key, { state: "failed", error: report.error });
      else this.steps.set(key, { ...this.steps.get(key)!, dueMs: this.clock.nowMs + report.delay_ms });
      return;
    }
    if (known) return;
    const ms = "timeout_ms" in report ? report.timeout_ms : "delay_ms" in report ? report.delay_ms : 0;
    const dueMs = "until_ms" in report ? report.until_ms : this.clock.nowMs + (ms ?? 0);
    this.steps.set(key, { key, kind, state: "waiting", attempt: 1, dueMs, events: awaitedBy(report) });
    if (report.kind === "send")
      this.finish(key, { output: { events: report.events.map(() => ({ id: "e", runs: [] })) } });
    if (report.kind === "enqueue" && !report.wait) this.finish(key, { output: { id: `job-${key}` } });
  }

  /** Ends what is due, as the server does before each body and reply. */
  endDue(): void {
    for (const step of [...this.steps.values()]) {
      if (step.state !== "waiting" || step.kind === "run" || step.dueMs! > this.clock.nowMs) continue;
      if (step.kind === "sleep") this.finish(step.key, {});
      else if (step.kind === "event" || step.kind === "any") this.finish(step.key, { output: null });
      else {
        const name = step.kind === "signal" ? "SignalTimeoutError" : "WorkflowTimeoutError";
        this.finish(step.key, { state: "failed", error: { name, message: "too late" } });
      }
    }
  }

  /** An event, or the completion of a signal, with that name. */
  resume(name: string, data: Json): void {
    for (const { key, state, events } of [...this.steps.values()]) {
      const [, part] = (state === "waiting" && events?.find(([awaited]) => awaited === name)) || [];
      if (part !== undefined) this.finish(key, { output: part === null ? data : { name: part, data } });
    }
  }

  #wire({ dueMs, events: _, ...step }: Stored): WireStep {
    return step.state === "waiting" ? { ...step, due_in_ms: dueMs! - this.clock.nowMs } : step;
  }

  wireSteps(): WireStep[] {
    return [...this.steps.values()].map((step) => this.#wire(step));
  }

  reply(reports: readonly Report[], knownSeq: number): WireStep[] {
    const asked = new Map(reports.map((report) => [report.key, report]));
    const steps = this.wireSteps().filter((step) => asked.has(step.key) || (step.seq ?? 0) > knownSeq);
    const seq = (step: WireStep) => step.seq ?? Number.MAX_SAFE_INTEGER;
    return steps
      .sort((a, b) => seq(a) - seq(b))
      .map(({ output, ...step }) => {
        const report = asked.get(step.key);
        const isKnown = report?.kind === "run" && report.attempt === step.attempt;
        return isKnown || output === undefined ? step : { ...step, output };
      });
  }

  get earliestDueMs(): number {
    const due = [...this.steps.values()].filter((step) => step.state === "waiting").map((step) => step.dueMs!);
    return due.length === 0 ? this.clock.nowMs : Math.min(...due);
  }
}
