/**
 * The life of a job: its states, and what the end of a delivery means for it. Pure: no clock, no store. The transition
 * table is in ARCHITECTURE.md; the writes are in `store/`, one file a transition or two.
 */
import type { Report, WireError } from "@rotorsh/sdk/protocol";
import { type Backoff, backoffMs } from "./backoff.js";
import { limits } from "./limits.js";

export type State = "pending_approval" | "waiting" | "active" | "completed" | "failed" | "cancelled";

export const FINISHED: readonly State[] = ["completed", "failed", "cancelled"];

/** A job in the hands of a node: what the claim answered. */
export type Claimed = {
  readonly jobId: string;
  readonly queueId: number;
  readonly delivery: number;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly timeoutMs: number;
};

export type QueueKind = "callback" | "function";

/** What decides about a failure: the job's own or its queue's. */
export type Policy = { readonly maxAttempts: number; readonly backoff: Backoff };

/** How a delivery ended, in words that both kinds share. */
export type End =
  | { readonly kind: "done"; readonly output: string | null; readonly note?: string }
  | { readonly kind: "accepted" }
  /** `retryAfterMs` comes from the endpoint; `final` means that trying again is pointless. */
  | { readonly kind: "failed"; readonly error: WireError; readonly final: boolean; readonly retryAfterMs?: number }
  /** A run's "not yet". `knownSeq` is what the delivery brought, `seenSeq` what the app says that its code has seen. */
  | {
      readonly kind: "waiting";
      readonly reports: readonly Report[];
      readonly knownSeq: number;
      readonly seenSeq?: number | undefined;
    }
  /** The same, by an app that is shutting down: due again at once. */
  | {
      readonly kind: "yield";
      readonly reports: readonly Report[];
      readonly knownSeq: number;
      readonly seenSeq?: number | undefined;
    }
  /** The app was not reached: nothing of the delivery was processed. Costs a run no attempt. */
  | { readonly kind: "unreached"; readonly error: WireError }
  /** Given back unposted. */
  | { readonly kind: "released" }
  | { readonly kind: "diverged"; readonly error: WireError }
  /** The app was told that this delivery is over. */
  | { readonly kind: "stale" };

/**
 * What is written. `state` is where the job goes; `delayMs` its due time from now, or null where the steps decide.
 * `byAttempt`: its back-off, or that it fails, follows from the number of the attempt, which a step that ended in this delivery sets back.
 */
export type Outcome = {
  readonly outcome: OutcomeName;
  readonly state: State;
  readonly delayMs: number | null;
  readonly attempt: "keep" | "give-back";
  readonly held: boolean;
  readonly byAttempt: boolean;
  readonly output: string | null;
  readonly error: WireError | null;
  readonly reports: readonly Report[];
  readonly knownSeq: number;
  readonly seenSeq: number | null;
};

export type OutcomeName =
  | "completed"
  | "failed"
  | "retry"
  | "accepted"
  | "waiting"
  | "yield"
  | "unreached"
  | "released"
  | "held"
  | "orphaned"
  | "expired"
  | "cancelled"
  | "rejected"
  | "replaced";

/** What most ends do not have. */
type Rest = Partial<Omit<Outcome, "outcome" | "state" | "delayMs">>;

/** Member by member: with a spread it took V8 forty times as long, for each job. */
const outcomeOf = (outcome: OutcomeName, state: State, delayMs: number | null, rest: Rest = {}): Outcome => ({
  outcome,
  state,
  delayMs,
  attempt: rest.attempt ?? "keep",
  held: rest.held ?? false,
  byAttempt: rest.byAttempt ?? false,
  output: rest.output ?? null,
  error: rest.error ?? null,
  reports: rest.reports ?? [],
  knownSeq: rest.knownSeq ?? 0,
  seenSeq: rest.seenSeq ?? null,
});

/**
 * Decides what the end of a delivery means. `attempt` is the number of this attempt, from 1; `random` is in [0, 1).
 * Returns undefined where nothing is to be written: another delivery, or a cancel, has taken over.
 */
export function decide(
  job: { readonly kind: QueueKind; readonly attempt: number; readonly asyncTimeoutMs: number },
  end: End,
  policy: Policy,
  random: number,
): Outcome | undefined {
  switch (end.kind) {
    case "done":
      // The note is kept with the attempt; it is completed all the same.
      return outcomeOf("completed", "completed", null, {
        output: end.output,
        error: end.note === undefined ? null : { name: "Warning", message: end.note },
      });
    case "accepted":
      return outcomeOf("accepted", "active", job.asyncTimeoutMs);
    case "waiting": {
      const { reports, knownSeq, seenSeq = null } = end;
      return outcomeOf("waiting", "waiting", null, { reports, knownSeq, seenSeq });
    }
    case "yield": {
      const { reports, knownSeq, seenSeq = null } = end;
      return outcomeOf("yield", "waiting", 0, { reports, knownSeq, seenSeq, attempt: "give-back" });
    }
    case "released":
      return outcomeOf("released", "waiting", 0, { attempt: "give-back" });
    case "diverged":
      return outcomeOf("held", "waiting", limits.heldMs, { held: true, error: end.error, attempt: "give-back" });
    case "stale":
      return undefined;
    case "unreached":
      // A callback's endpoint that refuses is a failed attempt: who owns it expects the retries that he set.
      return job.kind === "callback"
        ? retryOrFail(job.attempt, end.error, undefined, policy, random)
        : outcomeOf("unreached", "waiting", limits.breakerMinMs, { attempt: "give-back", error: end.error });
    case "failed":
      return end.final
        ? outcomeOf("failed", "failed", null, { error: end.error })
        : retryOrFail(job.attempt, end.error, end.retryAfterMs, policy, random);
  }
}

/** A failed attempt: again after its back-off, or the dead letters. */
export function retryOrFail(
  attempt: number,
  error: WireError,
  retryAfterMs: number | undefined,
  policy: Policy,
  random: number,
): Outcome {
  if (attempt >= policy.maxAttempts) return outcomeOf("failed", "failed", null, { byAttempt: true, error });
  const delayMs =
    retryAfterMs === undefined
      ? backoffMs(policy.backoff, attempt, random)
      : Math.min(retryAfterMs, limits.retryAfterMs);
  return outcomeOf("retry", "waiting", delayMs, { byAttempt: retryAfterMs === undefined, error });
}

/** The key of the failed step whose error a run did not catch, by the JSON text of the run's error; null where it names none. */
export const failedStepOf = (error: string | null): string | null =>
  error === null ? null : ((JSON.parse(error) as WireError).step ?? null);
