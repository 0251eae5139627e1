/** States and reasons by which jobs and runs are listed. */
import type { JobReason, JobState } from "@rotorsh/sdk";
import type { Choice } from "./filters.js";
import { wordOf } from "./state-badge.js";

const STATES: readonly JobState[] = ["active", "waiting", "pending_approval", "completed", "failed", "cancelled"];
const REASONS: readonly JobReason[] = [
  "queued",
  "delayed",
  "retrying",
  "sleeping",
  "event",
  "signal",
  "child",
  "rate_limited",
  "key_blocked",
  "paused",
  "breaker",
  "unreachable",
  "held",
  "no_url",
];

export const STATE_CHOICES: Readonly<Record<string, readonly Choice[]>> = {
  State: STATES.map((value) => ({ value, label: wordOf(value) })),
  "Waiting, because": REASONS.map((value) => ({ value, label: wordOf("waiting", value) })),
};
