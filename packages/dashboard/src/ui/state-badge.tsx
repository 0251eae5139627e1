/** The state of a job, run or step, with the reason why it does not move. Colour is never alone: the word is there. */
import type { JobReason, JobState, StepView } from "@rotorsh/sdk";
import styles from "./state-badge.module.css";

type State = JobState | StepView["state"];
export type Tone = "green" | "red" | "blue" | "amber" | "violet" | "grey";

const STATE_TONES: Readonly<Record<State, Tone>> = {
  pending_approval: "violet",
  waiting: "amber",
  active: "blue",
  completed: "green",
  failed: "red",
  cancelled: "grey",
  dropped: "grey",
};

/** Words for reasons that say more than the state; those that need somebody are loud. */
const REASONS: Readonly<Record<JobReason, { readonly word: string; readonly tone: Tone }>> = {
  delayed: { word: "delayed", tone: "grey" },
  queued: { word: "queued", tone: "blue" },
  retrying: { word: "retrying", tone: "amber" },
  sleeping: { word: "sleeping", tone: "violet" },
  event: { word: "waits for event", tone: "violet" },
  signal: { word: "waits for signal", tone: "violet" },
  child: { word: "waits for child", tone: "violet" },
  rate_limited: { word: "rate limited", tone: "amber" },
  key_blocked: { word: "key taken", tone: "amber" },
  paused: { word: "paused", tone: "amber" },
  breaker: { word: "breaker open", tone: "red" },
  held: { word: "held", tone: "red" },
  unreachable: { word: "app unreachable", tone: "red" },
  no_url: { word: "no URL", tone: "red" },
  approval: { word: "needs approval", tone: "violet" },
};

const STATE_WORDS: Partial<Record<State, string>> = { pending_approval: "needs approval", active: "running" };

export const toneOf = (state: State, reason?: JobReason | null): Tone =>
  reason ? (REASONS[reason]?.tone ?? "amber") : (STATE_TONES[state] ?? "grey");

export const wordOf = (state: State, reason?: JobReason | null): string =>
  reason ? (REASONS[reason]?.word ?? reason) : (STATE_WORDS[state] ?? state);

type Props = { readonly state: State; readonly reason?: JobReason | null };

export function StateBadge({ state, reason }: Props) {
  return (
    <Badge tone={toneOf(state, reason)} isMoving={state === "active"}>
      {wordOf(state, reason)}
    </Badge>
  );
}

type BadgeProps = { readonly tone: Tone; readonly children: string; readonly isMoving?: boolean };

/** A word in a colour, for states that are not a job's. */
export function Badge({ tone, children, isMoving = false }: BadgeProps) {
  return (
    <span className={`${styles.badge} ${styles[tone]}`}>
      <span className={`${styles.dot} ${isMoving ? styles.moving : ""}`} aria-hidden="true" />
      {children}
    </span>
  );
}
