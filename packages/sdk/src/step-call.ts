/** Each call on `step`, checked and turned into what replay needs. Nothing runs here. */

import { partsOf } from "./any-call.js";
import type { Backoff } from "./backoff.js";
import { isBackoff } from "./backoff.js";
import type { Duration } from "./duration.js";
import { parseDuration, YEAR_MS } from "./duration.js";
import { NonRetriableError, RotorInputError } from "./errors.js";
import type { EventName, EventToSend } from "./events.js";
import { nameOfEvent } from "./events.js";
import { toJsonText } from "./json.js";
import type { EnqueueReport, EventReport, Json, Report, StepKind } from "./protocol.js";
import type { AnyOptions, JobToEnqueue, RunOptions, Step, StepContext, WaitOptions, WaitPart } from "./step.js";

/** Where in its run a wait stands: what its look-back begins with. See `after` and `previous` in `docs/protocol.md`. */
export type Place = Pick<EventReport, "after" | "previous">;

/** A step that the code asks for, checked. */
export type StepCall =
  | {
      readonly kind: "run";
      readonly id: string;
      readonly fn: (context: StepContext) => unknown;
      /** Undefined: the function's. */
      readonly maxAttempts: number | undefined;
      readonly timeoutMs: number;
      readonly backoff: Backoff;
    }
  | {
      readonly kind: Exclude<StepKind, "run">;
      readonly id: string;
      /** Finished as soon as the server has it, so nothing is waited for: such a step does not suspend the run. */
      readonly immediate: boolean;
      readonly report: (key: string, place: Place) => Report;
    };

/** A run beyond this belongs in several, unless its function says that it knows what it does. */
const DEFAULT_MAX_STEPS = 1_000;
const STEP_TIMEOUT_MS = 600_000;
const MAX_STEP_TIMEOUT_MS = 43_200_000;
const MAX_ARGUMENT_BYTES = 1024 * 1024;
const MAX_SENT_BYTES = 4 * 1024 * 1024;

/**
 * Control characters would break logs and URLs, half a surrogate pair comes back as another character; `#2` at the end is how
 * the second use of an id is stored.
 */
const BAD_ID = /[\p{Cc}\p{Cs}]|#\d+$/u;

function checkId(id: unknown): string {
  if (typeof id !== "string" || id === "" || id.length > 256 || BAD_ID.test(id)) {
    const shown = JSON.stringify(typeof id === "string" ? id.slice(0, 60) : id);
    throw new RotorInputError(
      `Step id ${shown}: use a text of 1 to 256 characters without control characters or halves of characters, not ending in "#" and digits`,
    );
  }
  return id;
}

const text = (value: unknown, what: string): string => {
  if (typeof value !== "string" || value === "") throw new RotorInputError(`${what}: write its name`);
  return value;
};

// Read back at once, so that what the code does to the value afterwards changes nothing.
const json = (value: unknown, what: string): Json => JSON.parse(toJsonText(value, what, MAX_ARGUMENT_BYTES));

function runCall(id: string, fn: unknown, options: RunOptions = {}): StepCall {
  const { retries, timeout, backoff = "exponential" } = options;
  if (typeof fn !== "function") throw new RotorInputError(`Step "${id}": its second argument is the function to run`);
  if (retries !== undefined && !(Number.isInteger(retries) && retries >= 0 && retries <= 1000)) {
    throw new RotorInputError(`Step "${id}": retries is a whole number from 0 to 1000`);
  }
  if (!isBackoff(backoff)) {
    throw new RotorInputError(`Step "${id}": backoff is "exponential", "linear", "fixed" or a list of durations`);
  }
  return {
    kind: "run",
    id,
    fn: fn as (context: StepContext) => unknown,
    maxAttempts: retries === undefined ? undefined : retries + 1,
    timeoutMs:
      timeout === undefined ? STEP_TIMEOUT_MS : parseDuration(timeout, { maxMs: MAX_STEP_TIMEOUT_MS, name: "timeout" }),
    backoff,
  };
}

/** An `undefined` would vanish on the wire, and the wait then end with anybody's event. */
function checkMatch(id: string, match: WaitOptions["match"]): WaitOptions["match"] {
  if (match === undefined || typeof match === "string") return match;
  const bad = Object.entries(match).find(
    ([, value]) => value !== null && !["string", "boolean"].includes(typeof value) && !Number.isFinite(value),
  );
  if (bad)
    throw new RotorInputError(
      `Step "${id}": match.${bad[0]} is ${typeof bad[1]}; compare with a text, a number, true, false or null`,
    );
  if (Object.keys(match).length === 0)
    throw new RotorInputError(`Step "${id}": an empty match would match every event; leave it out`);
  return match;
}

function untilMs(id: string, date: Date | string): number {
  const ms = date instanceof Date ? date.getTime() : typeof date === "string" ? Date.parse(date) : Number.NaN;
  if (Number.isNaN(ms))
    throw new RotorInputError(`Step "${id}": give a Date or an ISO date such as "2027-01-31T09:00:00Z"`);
  if (ms - Date.now() > YEAR_MS) throw new RotorInputError(`Step "${id}": at most 365 days from now are possible`);
  return ms;
}

function lookBack(since: string | undefined, place: Place): Place | Pick<EventReport, "since_ms"> {
  if (since === undefined) return place;
  if (since === "run-start") return {};
  if (since === "now") return { since_ms: 0 };
  return /^\d/.test(since) ? { since_ms: parseDuration(since, { name: "since" }) } : { after: since };
}

function jobOptions(job: JobToEnqueue): EnqueueReport["options"] {
  const { jobId, delay, priority, tags, concurrencyKey, keyOrder, retries, timeout } = job;
  const delayMs =
    typeof delay === "number" ? Math.round(delay * 1000) : delay && parseDuration(delay, { name: "delay" });
  return {
    ...(jobId !== undefined && { job_id: jobId }),
    ...(typeof delayMs === "number" && { delay_ms: delayMs }),
    ...(priority !== undefined && { priority }),
    ...(tags !== undefined && { tags }),
    ...(concurrencyKey !== undefined && { concurrency_key: concurrencyKey }),
    ...(keyOrder !== undefined && { key_order: keyOrder }),
    ...(retries !== undefined && { max_attempts: retries + 1 }),
    ...(timeout !== undefined && { timeout_ms: parseDuration(timeout, { name: "timeout" }) }),
  };
}

type Wait = { kind: "sleep" | "event" | "signal" | "any" | "invoke" | "enqueue" | "send"; immediate?: boolean };

/**
 * The `step` object of one delivery.
 * @param ask registers a step and answers with the promise of its result.
 * @param runId the default of a signal's id begins with it.
 * @param maxSteps how many steps the run may ask for.
 */
export function createStep(
  ask: (call: StepCall) => Promise<unknown>,
  runId: string,
  maxSteps: number = DEFAULT_MAX_STEPS,
): Step {
  let count = 0;
  const asked = (make: () => StepCall): Promise<never> => {
    if (++count > maxSteps) {
      const error = new NonRetriableError(
        `This run has asked for more than ${maxSteps} steps: give part of the work to a run of its own with step.invoke, ` +
          "or let its function have more by maxSteps (at most 10000)",
      );
      return Promise.reject(error);
    }
    // Async, so that a bad argument rejects the promise like any other failure of a step.
    const result = (async () => (await ask(make())) as never)();
    // A step that loses a race may fail with nobody listening; its error is stored, and must not end the process.
    result.catch(() => {});
    return result;
  };
  const wait = ({ kind, immediate = false }: Wait, id: string, make: () => (key: string, place: Place) => Report) =>
    asked(() => ({ kind, id: checkId(id), immediate, report: make() }));

  return {
    run: (id, fn, options) => asked(() => runCall(checkId(id), fn, options)),
    sleep: (id, duration) =>
      wait({ kind: "sleep" }, id, () => {
        const delay_ms = parseDuration(duration, { name: `Step "${id}"` });
        return (key) => ({ kind: "sleep", key, delay_ms });
      }),
    sleepUntil: (id, date) =>
      wait({ kind: "sleep" }, id, () => {
        const until_ms = untilMs(id, date);
        return (key) => ({ kind: "sleep", key, until_ms });
      }),
    waitForEvent: (id: string, { event, match, timeout, since }: WaitOptions & { readonly event: EventName }) =>
      wait({ kind: "event" }, id, () => {
        const name = text(nameOfEvent(event), `Step "${id}": event`);
        const timeout_ms = parseDuration(timeout, { name: `Step "${id}": timeout` });
        checkMatch(id, match);
        return (key, place) => ({
          kind: "event",
          key,
          event: name,
          ...(match !== undefined && { match }),
          timeout_ms,
          ...lookBack(since, place),
        });
      }),
    waitForSignal: (id, { signal, timeout }) =>
      wait({ kind: "signal" }, id, () => {
        const timeout_ms = parseDuration(timeout, { name: `Step "${id}": timeout` });
        return (key) => ({ kind: "signal", key, signal: signal ?? `${runId}/${key}`, timeout_ms });
      }),
    waitForAny: (id: string, given: Readonly<Record<string, WaitPart>>, { timeout, since }: AnyOptions) =>
      wait({ kind: "any" }, id, () => {
        const parts = partsOf(id, given, (match) => checkMatch(id, match));
        const timeout_ms = parseDuration(timeout, { name: `Step "${id}": timeout` });
        return (key, place) => ({ kind: "any", key, parts: parts(key, runId), timeout_ms, ...lookBack(since, place) });
      }),
    invoke: (
      id: string,
      options: {
        readonly workflow: string | { readonly id: string };
        readonly data?: unknown;
        readonly timeout: Duration;
      },
    ) =>
      wait({ kind: "invoke" }, id, () => {
        const { workflow } = options;
        const name = text(typeof workflow === "string" ? workflow : workflow?.id, `Step "${id}": workflow`);
        const data = json(options.data, `The data of step "${id}"`);
        const timeout_ms = parseDuration(options.timeout, { name: `Step "${id}": timeout` });
        return (key) => ({ kind: "invoke", key, function: name, data, timeout_ms });
      }),
    sendEvent: (id, events) =>
      wait({ kind: "send", immediate: true }, id, () => {
        const list = (Array.isArray(events) ? events : [events]) as readonly EventToSend[];
        // Each of them is looked at below; together they travel in one report.
        toJsonText(list, `What step "${id}" sends`, MAX_SENT_BYTES);
        const sent = list.map(({ name, data, id: eventId, ts, tags }) => ({
          name: text(name, `Step "${id}": an event`),
          data: json(data, `The data of event "${name}"`),
          ...(eventId !== undefined && { id: eventId }),
          ...(ts !== undefined && { ts }),
          ...(tags !== undefined && { tags }),
        }));
        return (key) => ({ kind: "send", key, events: sent });
      }),
    enqueue: (id: string, queue: string, job: JobToEnqueue, options: { wait?: boolean; timeout?: Duration } = {}) =>
      wait({ kind: "enqueue", immediate: options.wait !== true }, id, () => {
        const name = text(queue, `Step "${id}": queue`);
        const payload = json(job.payload, `The payload of step "${id}"`);
        const { timeout } = options;
        const limit = timeout !== undefined && {
          timeout_ms: parseDuration(timeout, { name: `Step "${id}": timeout` }),
        };
        const jobSettings = jobOptions(job);
        return (key) => ({
          kind: "enqueue",
          key,
          queue: name,
          payload,
          options: jobSettings,
          wait: options.wait === true,
          ...limit,
        });
      }),
  };
}
