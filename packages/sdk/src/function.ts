/** `createFunction`: a durable function and what its app tells the server of it. How it runs is in `replay.ts`. */

import { RotorInputError } from "./errors.js";
import type { EventDefinition, EventName } from "./events.js";
import { nameOfEvent } from "./events.js";
import { type FailureContext, failureId } from "./function-failure.js";
import { type FunctionOptions, isWhole, OPTION_NAMES, readOptions } from "./function-options.js";
import type { Untyped } from "./json.js";
import type { FunctionManifest, Trigger } from "./protocol.js";
import type { Step } from "./step.js";

/** Starts a run when an event of this name arrives; `if` is a CEL expression over `event` (or `data`). */
export type EventTrigger<E extends EventName = EventName> = { readonly event: E; readonly if?: string };

/** Starts a run at each time of a cron expression, read in an IANA time zone. */
export type CronTrigger = { readonly cron: string; readonly timezone: string };

export type TriggerOption = EventTrigger | CronTrigger;

export type FunctionConfig<T extends TriggerOption = TriggerOption> = {
  /** Unique in its app: a letter or digit, then up to 127 of letters, digits, ".", "_", "-". */
  readonly id: string;
  /** None: started by `runs.start` or `step.invoke` only. */
  readonly trigger?: T | readonly T[];
  /** Attempts after the first, of each step, and of the code between steps (default 3). */
  readonly retries?: number;
  /** The same, counted with the first attempt: `retries: 3` is `max_attempts: 4`. Give one of both. */
  readonly max_attempts?: number;
  /** Called when a run has failed for good, in a run of its own; that one's failure calls nobody. */
  readonly onFailure?: (context: FailureContext<DataOf<T>>) => unknown;
} & FunctionOptions;

/** The type of `event.data`: what the definition says, anything for a bare name or a cron tick. */
type DataOf<T> = T extends { readonly event: EventDefinition<never, infer Data> } ? Data : Untyped;

export type Logger = {
  readonly [level in "debug" | "info" | "warn" | "error"]: (...values: unknown[]) => void;
};

/** An event as a function gets it; `ts` in Unix milliseconds. */
export type EventOf<Data> = { readonly id: string; readonly name: string; readonly data: Data; readonly ts: number };

/** What a function is given. */
export type FunctionContext<Data> = {
  /** What started the run; of a batch the first. */
  readonly event: EventOf<Data>;
  /** Of a batch all of its events, in the order in which they came; else the one. */
  readonly events: readonly EventOf<Data>[];
  readonly step: Step;
  readonly runId: string;
  /** Counts the deliveries that failed outside a step, from 1. */
  readonly attempt: number;
  /** The console, silent while the code is replayed: so each line is printed about once. */
  readonly logger: Logger;
  /** Aborts when this delivery is over, for whatever reason. */
  readonly signal: AbortSignal;
  /** W3C trace context of this delivery: all deliveries of a run, and of what it starts, are of one trace. */
  readonly traceparent: string | undefined;
  /** What the platform hands over beside the request (Workers' bindings); undefined elsewhere. */
  readonly env: unknown;
};

/** A durable function. `Data` and `Result` are what `step.invoke` infers from. */
export type RotorFunction<Data = never, Result = unknown> = {
  readonly id: string;
  readonly config: Omit<FunctionConfig, "onFailure">;
  readonly handler: (context: FunctionContext<Data>) => Result | PromiseLike<Result>;
  readonly onFailure?: (context: FailureContext<Data>) => unknown;
};

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const KNOWN = new Set<string>(["id", "trigger", "retries", "max_attempts", "onFailure", ...OPTION_NAMES]);
const DEFAULT_MAX_ATTEMPTS = 4;

function checkTrigger(id: string, trigger: TriggerOption): void {
  const given = trigger as Partial<Record<"event" | "cron" | "timezone" | "if", unknown>>;
  const isEvent = given.event !== undefined && nameOfEvent(given.event as EventName);
  const isCron = typeof given.cron === "string" && typeof given.timezone === "string" && given.timezone !== "";
  if (!isEvent === !isCron) {
    throw new RotorInputError(
      `Function "${id}": a trigger is { event: "name" } or { cron: "0 9 * * *", timezone: "Europe/Stockholm" }`,
    );
  }
}

function checkConfig(config: FunctionConfig<never>): void {
  const { id, retries, max_attempts, onFailure } = config;
  if (typeof id !== "string" || !ID.test(id)) {
    throw new RotorInputError(
      `Function id ${JSON.stringify(id)}: begin with a letter or digit, then up to 127 letters, digits, ".", "_" or "-"`,
    );
  }
  const unknown = Object.keys(config).filter((key) => !KNOWN.has(key));
  if (unknown.length > 0) {
    throw new RotorInputError(
      `Function "${id}": this version does not know ${unknown.map((key) => `"${key}"`).join(", ")}`,
    );
  }
  if (retries !== undefined && max_attempts !== undefined) {
    throw new RotorInputError(`Function "${id}": give retries or max_attempts, not both`);
  }
  if (retries !== undefined && !isWhole(retries, 0, 1000)) {
    throw new RotorInputError(`Function "${id}": retries is a whole number from 0 to 1000`);
  }
  if (max_attempts !== undefined && !isWhole(max_attempts, 1, 1001)) {
    throw new RotorInputError(`Function "${id}": max_attempts is a whole number from 1 to 1001`);
  }
  if (onFailure !== undefined && typeof onFailure !== "function") {
    throw new RotorInputError(`Function "${id}": onFailure is the code that is run when a run has failed`);
  }
  if (onFailure !== undefined && !ID.test(failureId(id))) {
    throw new RotorInputError(`Function "${id}": with onFailure, its id may have up to 117 characters`);
  }
  for (const trigger of triggersOf(config)) checkTrigger(id, trigger);
  readOptions(id, config, hasEvent(config));
}

const triggersOf = ({ trigger }: Pick<FunctionConfig, "trigger">): readonly TriggerOption[] =>
  trigger === undefined ? [] : Array.isArray(trigger) ? trigger : [trigger as TriggerOption];

const hasEvent = (config: Pick<FunctionConfig, "trigger">): boolean =>
  triggersOf(config).some((trigger) => "event" in trigger);

/**
 * Makes a durable function. Serve it with `serveWorkflow` or `workflowHandler`.
 * @throws RotorInputError for an id, trigger or option that is not possible; the message says what to write.
 */
export function createFunction<const T extends TriggerOption = EventTrigger<string>, Result = unknown>(
  config: FunctionConfig<T>,
  handler: (context: FunctionContext<DataOf<T>>) => Result | PromiseLike<Result>,
): RotorFunction<DataOf<T>, Result> {
  checkConfig(config as FunctionConfig<never>);
  if (typeof handler !== "function")
    throw new RotorInputError(`Function "${config.id}": its second argument is the code`);
  const { onFailure, ...rest } = config;
  return { id: config.id, config: rest, handler, ...(onFailure !== undefined && { onFailure }) };
}

/** The function as its app describes it to the server. */
export function manifestOf({ id, config, onFailure }: RotorFunction): FunctionManifest {
  const triggers = triggersOf(config).map(
    (trigger): Trigger =>
      "event" in trigger
        ? { event: nameOfEvent(trigger.event), ...(trigger.if !== undefined && { if: trigger.if }) }
        : { cron: trigger.cron, timezone: trigger.timezone },
  );
  const max_attempts =
    config.max_attempts ?? (config.retries === undefined ? DEFAULT_MAX_ATTEMPTS : config.retries + 1);
  return {
    id,
    triggers,
    max_attempts,
    ...readOptions(id, config, hasEvent(config)),
    ...(onFailure !== undefined && { on_failure: failureId(id) }),
  };
}
