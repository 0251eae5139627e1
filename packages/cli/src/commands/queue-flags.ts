/** The flags that say what a queue shall be, of `rotor queues create` and `update`: how each is read, and what it sets. */

import type { Breaker, Duration, QueueOptions, RateLimit, Retention, Retry } from "@rotorsh/sdk";
import { type Command, InvalidArgumentError, Option } from "commander";
import { duration, given, headerPair, wholeNumber } from "../arguments.js";
import type { JsonOption } from "../command.js";
import { UsageError } from "../failure.js";

export type QueueFlags = JsonOption & {
  readonly callbackUrl?: string;
  readonly header?: Readonly<Record<string, string>>;
  /** False: no limit. */
  readonly concurrency?: number | false;
  readonly strictConcurrency?: boolean;
  /** False: none any more. */
  readonly rateLimit?: Pick<RateLimit, "limit" | "period"> | false;
  readonly rateKey?: string;
  readonly retryAttempts?: number;
  readonly backoff?: Retry["backoff"];
  readonly min?: Duration;
  readonly max?: Duration;
  readonly factor?: number;
  readonly jitter?: Retry["jitter"];
  readonly timeout?: Duration;
  readonly asyncTimeout?: Duration;
  /** True: with the defaults. False: none any more. */
  readonly breaker?: boolean;
  readonly breakerFailures?: number;
  readonly breakerMin?: Duration;
  readonly breakerMax?: Duration;
  readonly standardWebhooks?: boolean;
  readonly approvalRequired?: boolean;
  readonly approvalTimeout?: Duration;
  readonly retention?: Retention;
};

/** Reads `10/1s`, or `10/s`. */
function rateLimit(text: string): Pick<RateLimit, "limit" | "period"> {
  const [, limit, period] = /^([1-9]\d{0,6})\/(\S+)$/.exec(text) ?? [];
  if (limit === undefined || period === undefined)
    throw new InvalidArgumentError("Write it as 10/1s: how many, and in which time.");
  return { limit: Number(limit), period: duration(/^\d/.test(period) ? period : `1${period}`) };
}

/** Reads the name of a curve, or `5s,1m,…`. */
function backoff(text: string): Retry["backoff"] {
  if (text === "exponential" || text === "linear" || text === "fixed") return text;
  if (!/^\d/.test(text)) throw new InvalidArgumentError("Write exponential, linear, fixed, or a list such as 5s,1m.");
  return text.split(",").map(duration);
}

function factor(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value < 1 || value > 100)
    throw new InvalidArgumentError("It must be a number from 1 to 100.");
  return value;
}

const KEPT = ["completed", "failed", "cancelled"] as const;

/** Reads `completed=7d,failed=30d`. */
function retention(text: string): Retention {
  const pairs = text.split(",").map((part): [string, Duration] => {
    const [, state, kept] = /^([a-z]+)=(\S+)$/.exec(part.trim()) ?? [];
    const known = KEPT.find((each) => each === state);
    if (known === undefined || kept === undefined)
      throw new InvalidArgumentError("Write it as completed=7d,failed=30d,cancelled=7d, or some of these.");
    return [known, duration(kept)];
  });
  return Object.fromEntries(pairs);
}

export const withQueueFlags = (command: Command): Command =>
  command
    .option("--url, --callback-url <url>", "where its jobs are posted; without one they wait")
    .option("--header <name: value>", "sent with each delivery; may be repeated", headerPair)
    .option("--concurrency <n>", "deliveries at one time", wholeNumber(1, 100_000))
    .option("--no-concurrency", "no limit any more")
    .option("--strict-concurrency", "a slot is free only when the endpoint answered or the time limit passed")
    .option("--no-strict-concurrency", "a slot is free when its job has left")
    .option("--rate-limit <limit/period>", "deliveries that may begin in a time, such as 10/1s", rateLimit)
    .option("--rate-key <expression>", "each of its values has the rate limit to itself, such as payload.customer")
    .option("--no-rate-limit", "no rate limit any more")
    .option("--retry-attempts <n>", "attempts in all, the first included", wholeNumber(1, 1_000))
    .option("--backoff <curve>", "exponential, linear, fixed, or a list such as 5s,1m", backoff)
    .option("--min <duration>", "the shortest delay between attempts", duration)
    .option("--max <duration>", "the longest delay between attempts", duration)
    .option("--factor <n>", "by which an exponential delay grows", factor)
    .addOption(new Option("--jitter <jitter>", "delays vary by up to half, or not").choices(["half", "none"]))
    .option("--timeout <duration>", 'of one delivery, such as "30s"', duration)
    .option("--async-timeout <duration>", "in which an endpoint that answered 202 reports back", duration)
    .option("--breaker", "leave an endpoint that fails alone for a while")
    .option("--breaker-failures <n>", "so many failures in a row open the breaker", wholeNumber(1, 1_000))
    .option("--breaker-min <duration>", "how long it is open first", duration)
    .option("--breaker-max <duration>", "how long it is open at the longest", duration)
    .option("--no-breaker", "no breaker any more")
    .option("--standard-webhooks", "send the Standard Webhooks headers along")
    .option("--no-standard-webhooks", "send them no more")
    .option("--approval-required", "each job waits for a person's yes")
    .option("--no-approval-required", "jobs go without one")
    .option("--approval-timeout <duration>", "how long a job waits for that", duration)
    .option("--retention <state=duration,…>", "how long jobs are kept, such as completed=7d,failed=30d", retention);

function rateOf({ rateLimit: rate, rateKey }: QueueFlags): RateLimit | null | undefined {
  if (rateKey !== undefined && !rate)
    throw new UsageError("--rate-key goes with --rate-limit, such as 10/1s: say both.");
  if (rate === undefined || rate === false) return rate === false ? null : undefined;
  return { ...rate, ...(rateKey !== undefined && { key: rateKey }) };
}

function breakerOf({ breaker, ...flags }: QueueFlags): Partial<Breaker> | null | undefined {
  const said = given({ failures: flags.breakerFailures, min: flags.breakerMin, max: flags.breakerMax });
  const any = Object.keys(said).length > 0;
  if (breaker === false && any) throw new UsageError("Give either --no-breaker or what it shall be.");
  if (breaker === false) return null;
  return any || breaker ? said : undefined;
}

/** What the flags set; what was not given is left out. */
export function queueOptionsOf(flags: QueueFlags): QueueOptions {
  const { callbackUrl, header, concurrency, strictConcurrency, timeout, asyncTimeout } = flags;
  const { approvalRequired, approvalTimeout } = flags;
  const retry = given({
    maxAttempts: flags.retryAttempts,
    backoff: flags.backoff,
    min: flags.min,
    max: flags.max,
    factor: flags.factor,
    jitter: flags.jitter,
  });
  return given({
    callbackUrl,
    headers: header,
    concurrency: concurrency === false ? null : concurrency,
    strictConcurrency,
    standardWebhooks: flags.standardWebhooks,
    rateLimit: rateOf(flags),
    retry: Object.keys(retry).length > 0 ? retry : undefined,
    timeout,
    asyncTimeout,
    breaker: breakerOf(flags),
    approvalRequired,
    approvalTimeout,
    retention: flags.retention,
  });
}
