/** The flags that say what a job shall be, of `rotor jobs enqueue` and `update`. */

import type { Duration, JobOptions } from "@rotorsh/sdk";
import { type Command, InvalidArgumentError, Option } from "commander";
import { delay, duration, headerPair, several, wholeNumber } from "../arguments.js";

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

function instant(text: string): string {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new InvalidArgumentError("Write a date such as 2026-11-23T20:00:00Z.");
  return date.toISOString();
}

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
export const jobOptionsOf = (flags: JobFlags): Omit<JobOptions, "payload"> => ({
  ...(flags.delay !== undefined && { delay: flags.delay }),
  ...(flags.runAt !== undefined && { runAt: flags.runAt }),
  ...(flags.priority !== undefined && { priority: flags.priority }),
  ...(flags.tag !== undefined && { tags: flags.tag }),
  ...(flags.retryAttempts !== undefined && { maxAttempts: flags.retryAttempts }),
  ...(flags.timeout !== undefined && { timeout: flags.timeout }),
  ...(flags.header !== undefined && { headers: flags.header }),
  ...(flags.keyOrder !== undefined && { keyOrder: flags.keyOrder }),
});
