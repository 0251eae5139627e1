/** The flags that say what a job shall be, of `rotor jobs enqueue` and `update`. */

import type { Duration, JobOptions } from "@rotorsh/sdk";
import { type Command, Option } from "commander";
import { delay, duration, given, headerPair, instant, several, wholeNumber } from "../arguments.js";

export type JobFlags = {
  readonly delay?: Duration | number;
  readonly runAt?: string;
  readonly priority?: number;
  readonly tag?: readonly string[];
  readonly retryAttempts?: number;
  readonly timeout?: Duration;
  readonly header?: Readonly<Record<string, string>>;
  readonly keyOrder?: "started" | "strict";
};

export const withJobFlags = (command: Command): Command =>
  command
    .option("--delay <duration>", 'before the first delivery, such as "30s"', delay)
    .option("--run-at <time>", "of the first delivery, such as 2026-11-23T20:00:00Z", instant)
    .option("--priority <n>", "seconds of head start before other due jobs", wholeNumber(-100, 100))
    .option("--tag <tag>", "may be repeated", several)
    .option("--retry-attempts <n>", "attempts in all, in place of the queue's", wholeNumber(1, 1_000))
    .option("--timeout <duration>", "of one delivery, in place of the queue's", duration)
    .option("--header <name: value>", "sent with each delivery; may be repeated", headerPair)
    .addOption(
      new Option(
        "--key-order <order>",
        "strict: others of its concurrency key wait while it is between two attempts, too",
      ).choices(["started", "strict"]),
    );

/** What the flags set; what was not given is left out. */
export const jobOptionsOf = (flags: JobFlags): Omit<JobOptions, "payload"> => {
  const { delay, runAt, priority, timeout, keyOrder } = flags;
  const maxAttempts = flags.retryAttempts;
  return given({ delay, runAt, priority, tags: flags.tag, maxAttempts, timeout, headers: flags.header, keyOrder });
};
