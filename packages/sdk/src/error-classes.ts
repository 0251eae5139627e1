/** The errors that a user throws to Rotor, and those that Rotor throws to him. Import them from `errors.ts`. */

import type { Duration } from "./duration.js";
import { parseDuration } from "./duration.js";
import { RotorError, RotorInputError } from "./input-error.js";

type Cause = { readonly cause?: unknown };

/** Throw it where trying again is pointless: the step, job or run fails at once. */
export class NonRetriableError extends RotorError {
  override readonly name = "NonRetriableError";
}

/** Throw it to choose when the next attempt is made, in place of the back-off. The attempt counts as any other. */
export class RetryAfterError extends RotorError {
  override readonly name = "RetryAfterError";
  /** How long after the throw, or at what time, the next attempt may start. */
  readonly retryAfter: Duration | Date;

  /** @throws RotorInputError when `retryAfter` is neither a duration nor a valid date. */
  constructor(message: string, retryAfter: Duration | Date, options?: Cause) {
    super(message, options);
    if (!(retryAfter instanceof Date)) parseDuration(retryAfter, { name: "retryAfter" });
    else if (Number.isNaN(retryAfter.getTime())) throw new RotorInputError("retryAfter: the date is not valid");
    this.retryAfter = retryAfter;
  }
}

/** Thrown into a function when a step has no attempts left; `cause` is the error of its last attempt. */
export class StepError extends RotorError {
  override readonly name = "StepError";
  readonly stepId: string;
  /** Attempts made, the first included. */
  readonly attempts: number;

  constructor(stepId: string, attempts: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`Step "${stepId}" failed after ${attempts} ${attempts === 1 ? "attempt" : "attempts"}: ${reason}`, { cause });
    this.stepId = stepId;
    this.attempts = attempts;
  }
}

/** `step.waitForSignal` saw no signal before its timeout. */
export class SignalTimeoutError extends RotorError {
  override readonly name = "SignalTimeoutError";
}

/** The run that was waited for failed; `cause` is its error. */
export class WorkflowFailedError extends RotorError {
  override readonly name = "WorkflowFailedError";
}

/** The run that was waited for did not end in time. It goes on. */
export class WorkflowTimeoutError extends RotorError {
  override readonly name = "WorkflowTimeoutError";
}

/** The run that was waited for was cancelled. */
export class WorkflowCancelledError extends RotorError {
  override readonly name = "WorkflowCancelledError";
}

/** No run was started, since the function's `singleton` lets only one be unfinished and there is one. */
export class WorkflowSkippedError extends RotorError {
  override readonly name = "WorkflowSkippedError";
}

/** The server answered a client's request with an error; the message is the server's and says what to do. */
export class RotorApiError extends RotorError {
  override readonly name = "RotorApiError";
  /** HTTP status. */
  readonly status: number;
  /** The server's name for the error, such as `not_found`; `http_<status>` when something before the server answered. */
  readonly code: string;
  readonly details: unknown;

  constructor(message: string, answer: { status: number; code: string; details?: unknown }) {
    super(message);
    this.status = answer.status;
    this.code = answer.code;
    this.details = answer.details;
  }
}

/** No answer came from the server. Whether the request was carried out is unknown unless `reason` is `unreachable`. */
export class RotorConnectionError extends RotorError {
  override readonly name = "RotorConnectionError";
  /** `unreachable`: no connection was made, so nothing was sent. */
  readonly reason: "unreachable" | "lost" | "timeout";

  constructor(reason: RotorConnectionError["reason"], message: string, options?: Cause) {
    super(message, options);
    this.reason = reason;
  }
}

// By name beside instanceof: an app may hold two copies of this package.
const isNamed = (thrown: unknown, name: string): thrown is object => {
  try {
    return typeof thrown === "object" && thrown !== null && "name" in thrown && thrown.name === name;
  } catch {
    // A getter or proxy of somebody else's error threw: then it is none of ours.
    return false;
  }
};

/** Whether what was thrown says that trying again is pointless. Never throws. */
export const isNonRetriable = (thrown: unknown): boolean => isNamed(thrown, "NonRetriableError");

/** The delay that a `RetryAfterError` asks for, in whole milliseconds from `nowMs`; undefined for anything else. Never throws. */
export function retryAfterMs(thrown: unknown, nowMs: number = Date.now()): number | undefined {
  if (!isNamed(thrown, "RetryAfterError") || !("retryAfter" in thrown)) return undefined;
  try {
    const { retryAfter } = thrown as RetryAfterError;
    const ms = typeof retryAfter === "string" ? parseDuration(retryAfter) : retryAfter.getTime() - nowMs;
    return Number.isFinite(ms) ? Math.max(0, Math.ceil(ms)) : undefined;
  } catch {
    // Changed after it was made, or of another package's class: the ordinary back-off applies.
    return undefined;
  }
}
