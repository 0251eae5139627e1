/** The states and reasons by which jobs and runs are listed: one list, so that a misspelt one is told here. */

import type { JobReason, JobState } from "@rotorsh/sdk";
import { Option } from "commander";

const states: Readonly<Record<JobState | JobReason, true>> = {
  pending_approval: true,
  waiting: true,
  active: true,
  completed: true,
  failed: true,
  cancelled: true,
  delayed: true,
  queued: true,
  retrying: true,
  sleeping: true,
  event: true,
  signal: true,
  child: true,
  rate_limited: true,
  key_blocked: true,
  paused: true,
  breaker: true,
  held: true,
  unreachable: true,
  no_url: true,
  approval: true,
};

/** `--state`: a stored state, or a reason to wait. */
export const stateOption = (): Option =>
  new Option("--state <state>", "only those in this state, or waiting for this reason").choices(Object.keys(states));
