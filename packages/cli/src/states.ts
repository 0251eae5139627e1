/** The states and reasons by which jobs and runs are listed: one list, so that a misspelt one is told here. */

import type { JobReason, JobState } from "@rotorsh/sdk";
import { Option } from "commander";

const STATES: readonly JobState[] = ["pending_approval", "waiting", "active", "completed", "failed", "cancelled"];

/** Those that the server gives today. */
const REASONS: readonly JobReason[] = [
  "delayed",
  "queued",
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
  "approval",
];

/** `--state`: a stored state, or a reason to wait. */
export const stateOption = (): Option =>
  new Option("--state <state>", "only those in this state, or waiting for this reason").choices([
    ...STATES,
    ...REASONS,
  ]);
