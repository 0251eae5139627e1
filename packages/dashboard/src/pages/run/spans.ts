/** From when to when each step of a run went, as far as its record tells. Pure. */
import type { Run, StepView } from "@rotorsh/sdk";

export type Span = {
  readonly step: StepView;
  /** Milliseconds since 1970. */
  readonly from: number;
  /** Null: it goes on. */
  readonly to: number | null;
  /** Its result was copied from the run that this one replays. */
  readonly isCopied: boolean;
};

/** When a step began: run steps tell how long they took; a wait began when it was stored. */
function beginOf(step: StepView, fallback: number): number {
  const asked = step.askedAt === null ? fallback : Date.parse(step.askedAt);
  if (step.durationMs === null) return asked;
  const told = (step.endedAt === null ? asked : Date.parse(step.endedAt)) - step.durationMs;
  // A step that failed before was asked for with its first attempt.
  return step.attempt > 1 ? Math.min(asked - step.durationMs, told) : told;
}

/** A run's steps in the order in which they began. */
export function spansOf(run: Run): Span[] {
  const created = Date.parse(run.createdAt);
  const finished = run.finishedAt === null ? null : Date.parse(run.finishedAt);
  const spans = (run.steps ?? []).map((step): Span => {
    const ended = step.endedAt === null ? null : Date.parse(step.endedAt);
    // A replay begins with results that were asked for before it was there.
    if (step.askedAt !== null && Date.parse(step.askedAt) < created)
      return { step, from: created, to: created, isCopied: true };
    const from = Math.max(created, beginOf(step, created));
    return { step, from, to: ended === null ? finished : Math.max(from, ended), isCopied: false };
  });
  return spans.sort((a, b) => a.from - b.from || place(a) - place(b));
}

/** What has ended comes before what goes on. */
const place = ({ to }: Span): number => to ?? Number.POSITIVE_INFINITY;

/** When the code is at work, or about to be, and no step tells so: from the last end until now. */
export function restOf(run: Run, spans: readonly Span[]): { readonly from: number; readonly word: string } | undefined {
  if (run.finishedAt !== null || run.state === "pending_approval") return undefined;
  const from = spans.reduce((latest, { to }) => Math.max(latest, to ?? 0), Date.parse(run.createdAt));
  if (run.state === "active") return { from, word: "Running" };
  return run.reason === "queued" ? { from, word: "Queued" } : undefined;
}
