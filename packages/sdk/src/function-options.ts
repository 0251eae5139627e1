/**
 * How the runs of a function are started and ended, as `createFunction` takes it: checked, and put into the words of the
 * wire. What cannot work is refused here, with a sentence that says what to write; the server refuses it again.
 */

import type { Duration } from "./duration.js";
import { parseDuration } from "./duration.js";
import { RotorInputError } from "./errors.js";
import type { EventName } from "./events.js";
import { nameOfEvent } from "./events.js";
import type { MatchObject, StartOptions } from "./protocol.js";

/** At most so many runs being executed at a time; with a `key`, for each of its values. */
export type ConcurrencyOption = {
  readonly limit: number;
  /** CEL over `event` and `data`, such as `"data.account"`. Without it the limit is for all runs of the function. */
  readonly key?: string;
};

/** Expressions are CEL over `event` and `data`; one that fails, or finds nothing, gives null. */
export type FunctionOptions = {
  /**
   * Runs being executed at one time; those that sleep or wait do not count (default 100). A list: one limit for all, and up
   * to two for each value of a key.
   */
  readonly concurrency?: number | readonly ConcurrencyOption[];
  /**
   * One unfinished run, its sleeps and waits included, for each value of `key`. Another start waits for its turn, is not made
   * (`skip`: then the answer names the run that there is), or cancels what there is.
   */
  readonly singleton?: { readonly key?: string; readonly mode: "wait" | "skip" | "cancel" };
  /** Runs that begin in any span of `period`, for each value of `key`. What is more begins later, and is never dropped. */
  readonly rateLimit?: { readonly limit: number; readonly period: Duration; readonly key?: string };
  /**
   * A run begins when no event has come for `period`, with the last one; at the latest `maxWait` after the first. For event
   * triggers: what is started by `runs.start`, `step.invoke` or a schedule begins at once.
   */
  readonly debounce?: { readonly period: Duration; readonly key?: string; readonly maxWait?: Duration };
  /**
   * A run begins with `size` events, or with those that have come when `timeout` is over, or with as many as fit a delivery;
   * it finds them in `events`. For event triggers, as `debounce`.
   */
  readonly batch?: { readonly size: number; readonly timeout: Duration; readonly key?: string };
  /** An expression for seconds of head start, rounded, from -100 to 100: its run begins before others that are due. */
  readonly priority?: string;
  /** Of two starts with one value the second does nothing, as long as the first is kept; null is no value. */
  readonly idempotencyKey?: string;
  /** A run that has not ended this long after it was due fails. */
  readonly timeout?: Duration;
  /** Events that cancel a run (`match`: as of `waitForEvent`, `trigger` is the run's own event); within `timeout` of its start. */
  readonly cancelOn?: readonly {
    readonly event: EventName;
    readonly match?: string | MatchObject;
    readonly timeout?: Duration;
  }[];
  /** Steps that a run may have (default 1,000, at most 10,000). */
  readonly maxSteps?: number;
};

export const OPTION_NAMES: readonly (keyof FunctionOptions)[] = [
  "concurrency",
  "singleton",
  "rateLimit",
  "debounce",
  "batch",
  "priority",
  "idempotencyKey",
  "timeout",
  "cancelOn",
  "maxSteps",
];

const DEFAULT_CONCURRENCY = 100;
const MAX_CONCURRENCY = 100_000;
const MAX_KEYS = 2;
const MAX_CANCEL_ON = 10;
const MAX_EXPRESSION = 2_000;
const MAX_RATE_PERIOD_MS = 31 * 86_400_000;

export const isWhole = (value: unknown, min: number, max: number): boolean =>
  Number.isInteger(value) && (value as number) >= min && (value as number) <= max;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Reads one function's options; every complaint begins with the function's name. */
class Reader {
  readonly #id: string;
  constructor(id: string) {
    this.#id = id;
  }

  fail(what: string): never {
    throw new RotorInputError(`Function "${this.#id}": ${what}`);
  }

  /** An object with no other keys than these. */
  object(name: string, value: unknown, keys: readonly string[], example: string): void {
    if (!isObject(value)) this.fail(`${name} is an object such as ${example}`);
    const unknown = Object.keys(value).find((key) => !keys.includes(key));
    if (unknown !== undefined) this.fail(`${name} has no "${unknown}"; write ${example}`);
  }

  whole(name: string, value: unknown, min: number, max: number): number {
    if (!isWhole(value, min, max)) this.fail(`${name} is a whole number from ${min} to ${max}`);
    return value as number;
  }

  /** Milliseconds, at least `minMs`. */
  duration(name: string, value: unknown, minMs = 1, maxMs?: number): number {
    const ms = parseDuration(value as Duration, { name: `Function "${this.#id}": ${name}`, ...(maxMs && { maxMs }) });
    if (ms < minMs) this.fail(`${name} is at least "${minMs}ms"`);
    return ms;
  }

  expression(name: string, value: unknown): string {
    if (typeof value !== "string" || value.trim() === "")
      this.fail(`${name} is an expression over event and data, such as "data.account"`);
    if (value.length > MAX_EXPRESSION) this.fail(`${name} has more than ${MAX_EXPRESSION} characters`);
    return value;
  }

  key(name: string, value: unknown): { key?: string } {
    return value === undefined ? {} : { key: this.expression(`${name}.key`, value) };
  }
}

function readConcurrency(read: Reader, given: FunctionOptions["concurrency"]) {
  if (given === undefined) return { concurrency: DEFAULT_CONCURRENCY, keys: [] };
  if (typeof given === "number") return { concurrency: read.whole("concurrency", given, 1, MAX_CONCURRENCY), keys: [] };
  if (!Array.isArray(given) || given.length === 0)
    read.fail(`concurrency is a number, or a list such as [{ limit: 1, key: "data.account" }]`);
  const entries = (given as readonly ConcurrencyOption[]).map((entry, index) => {
    const name = `concurrency[${index}]`;
    read.object(name, entry, ["limit", "key"], `{ limit: 1, key: "data.account" }`);
    return { limit: read.whole(`${name}.limit`, entry.limit, 1, MAX_CONCURRENCY), ...read.key(name, entry.key) };
  });
  const plain = entries.filter((entry) => entry.key === undefined);
  if (plain.length > 1) read.fail("concurrency has two limits without a key: give one");
  const keys = entries.flatMap(({ limit, key }) => (key === undefined ? [] : [{ key, limit }]));
  if (keys.length === 2 && keys[0]!.key === keys[1]!.key) read.fail("concurrency has two limits for one key");
  return { concurrency: plain[0]?.limit ?? DEFAULT_CONCURRENCY, keys };
}

function readSingleton(read: Reader, given: NonNullable<FunctionOptions["singleton"]>) {
  read.object("singleton", given, ["key", "mode"], `{ key: "data.account", mode: "skip" }`);
  if (!["wait", "skip", "cancel"].includes(given.mode))
    read.fail(`singleton.mode is "wait", "skip" or "cancel": what becomes of a start while a run is unfinished`);
  return { ...read.key("singleton", given.key), mode: given.mode };
}

function readRateLimit(read: Reader, given: NonNullable<FunctionOptions["rateLimit"]>) {
  read.object("rateLimit", given, ["limit", "period", "key"], `{ limit: 10, period: "1m" }`);
  return {
    limit: read.whole("rateLimit.limit", given.limit, 1, 1_000_000),
    period_ms: read.duration("rateLimit.period", given.period, 100, MAX_RATE_PERIOD_MS),
    ...read.key("rateLimit", given.key),
  };
}

function readDebounce(read: Reader, given: NonNullable<FunctionOptions["debounce"]>) {
  read.object("debounce", given, ["period", "key", "maxWait"], `{ period: "5s" }`);
  const period_ms = read.duration("debounce.period", given.period);
  const max_wait_ms = given.maxWait === undefined ? undefined : read.duration("debounce.maxWait", given.maxWait);
  if (max_wait_ms !== undefined && max_wait_ms < period_ms) read.fail("debounce.maxWait is not less than its period");
  return { period_ms, ...read.key("debounce", given.key), ...(max_wait_ms !== undefined && { max_wait_ms }) };
}

function readBatch(read: Reader, given: NonNullable<FunctionOptions["batch"]>) {
  read.object("batch", given, ["size", "timeout", "key"], `{ size: 100, timeout: "5s" }`);
  return {
    size: read.whole("batch.size", given.size, 1, 1_000),
    timeout_ms: read.duration("batch.timeout", given.timeout),
    ...read.key("batch", given.key),
  };
}

function readMatch(read: Reader, name: string, match: unknown): { match?: string | MatchObject } {
  if (match === undefined) return {};
  if (typeof match === "string") return { match: read.expression(name, match) };
  const isScalar = (value: unknown) => value === null || ["string", "number", "boolean"].includes(typeof value);
  if (!isObject(match) || !Object.values(match).every(isScalar))
    read.fail(`${name} is an expression, or an object of paths in the event's data and the values that they must have`);
  return { match: match as MatchObject };
}

function readCancelOn(read: Reader, given: NonNullable<FunctionOptions["cancelOn"]>) {
  if (!Array.isArray(given) || given.length === 0 || given.length > MAX_CANCEL_ON)
    read.fail(`cancelOn is a list of up to ${MAX_CANCEL_ON}, such as [{ event: "order.cancelled" }]`);
  return (given as NonNullable<FunctionOptions["cancelOn"]>).map(({ ...entry }, index) => {
    const name = `cancelOn[${index}]`;
    read.object(
      name,
      entry,
      ["event", "match", "timeout"],
      `{ event: "order.cancelled", match: "data.id == trigger.data.id" }`,
    );
    const event = entry.event === undefined ? "" : nameOfEvent(entry.event);
    if (typeof event !== "string" || event === "") read.fail(`${name}.event is an event's name, or its definition`);
    return {
      event,
      ...readMatch(read, `${name}.match`, entry.match),
      ...(entry.timeout !== undefined && { timeout_ms: read.duration(`${name}.timeout`, entry.timeout) }),
    };
  });
}

/** What cannot go together, and why. */
function refuseTogether(read: Reader, given: FunctionOptions, hasEvent: boolean): void {
  const gathers = given.batch ? "batch" : given.debounce ? "debounce" : undefined;
  if (given.batch && given.debounce)
    read.fail("give debounce or batch, not both: one keeps the last event, one all of them");
  if (gathers === undefined) return;
  if (!hasEvent) read.fail(`${gathers} gathers events, so the function needs an event trigger`);
  if (given.singleton && given.singleton.mode !== "wait")
    read.fail(`with ${gathers}, singleton.mode is "wait": a run that gathers is unfinished already`);
  if (given.idempotencyKey !== undefined)
    read.fail(`idempotencyKey is of one event; with ${gathers} a run has several`);
  if (given.priority !== undefined)
    read.fail(`priority is for runs that are due at once; with ${gathers} a run is due later`);
}

/** Options as the wire has them. `hasEvent`: an event may start the function. @throws RotorInputError */
export function readOptions(
  id: string,
  given: FunctionOptions,
  hasEvent: boolean,
): { readonly concurrency: number } & StartOptions {
  const read = new Reader(id);
  const { concurrency, keys } = readConcurrency(read, given.concurrency);
  if (keys.length + (given.singleton ? 1 : 0) > MAX_KEYS)
    read.fail(`at most ${MAX_KEYS} keys are possible in concurrency, a singleton's counted in`);
  const options: { concurrency: number } & StartOptions = {
    concurrency,
    ...(keys.length > 0 && { keys }),
    ...(given.singleton !== undefined && { singleton: readSingleton(read, given.singleton) }),
    ...(given.rateLimit !== undefined && { rate_limit: readRateLimit(read, given.rateLimit) }),
    ...(given.debounce !== undefined && { debounce: readDebounce(read, given.debounce) }),
    ...(given.batch !== undefined && { batch: readBatch(read, given.batch) }),
    ...(given.priority !== undefined && { priority: read.expression("priority", given.priority) }),
    ...(given.idempotencyKey !== undefined && {
      idempotency_key: read.expression("idempotencyKey", given.idempotencyKey),
    }),
    ...(given.timeout !== undefined && { timeout_ms: read.duration("timeout", given.timeout) }),
    ...(given.cancelOn !== undefined && { cancel_on: readCancelOn(read, given.cancelOn) }),
  };
  if (given.maxSteps !== undefined) read.whole("maxSteps", given.maxSteps, 1, 10_000);
  refuseTogether(read, given, hasEvent);
  return options;
}
