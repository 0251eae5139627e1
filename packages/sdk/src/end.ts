/** How a function ended, and the answer that this makes. Whether the time to answer has come is `replay.ts`. */

import { isNonRetriable, RotorInputError, retryAfterMs, toWireError } from "./errors.js";
import { toJsonText } from "./json.js";
import type { Answer } from "./protocol.js";

/** An answer without what every answer has. */
export type AnswerBody = Answer extends infer A ? (A extends Answer ? Omit<A, "version" | "hash"> : never) : never;

export type End =
  | { readonly kind: "returned"; readonly value: unknown }
  | { readonly kind: "threw"; readonly error: unknown };

/** The contract's limit for the output of a run. */
const MAX_OUTPUT_BYTES = 1024 * 1024;

/**
 * Whether trying again would end the same way.
 * @param stored the errors that stored steps threw: each replay throws them again.
 */
function isPermanent(error: unknown, stored: WeakSet<object>): boolean {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.every((part) => isPermanent(part, stored));
  }
  if (error instanceof RotorInputError || isNonRetriable(error)) return true;
  return typeof error === "object" && error !== null && stored.has(error);
}

function failed(error: unknown, retriable: boolean): AnswerBody {
  const retry_after_ms = retriable ? retryAfterMs(error) : undefined;
  return {
    status: "failed",
    error: toWireError(error),
    retriable,
    ...(retry_after_ms !== undefined && { retry_after_ms }),
  };
}

export function answerTo(end: End, stored: WeakSet<object>): AnswerBody {
  if (end.kind === "threw") return failed(end.error, !isPermanent(end.error, stored));
  try {
    return {
      status: "completed",
      output: JSON.parse(toJsonText(end.value, "The function's result", MAX_OUTPUT_BYTES)),
    };
  } catch (error) {
    return failed(error, false);
  }
}
