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

type Stored = WeakMap<object, string>;

/**
 * Whether trying again would end the same way.
 * @param stored the errors that stored steps threw, each with its step's key: each replay throws them again.
 */
function isPermanent(error: unknown, stored: Stored): boolean {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.every((part) => isPermanent(part, stored));
  }
  if (error instanceof RotorInputError || isNonRetriable(error)) return true;
  return typeof error === "object" && error !== null && stored.has(error);
}

/** Below this, a cause says nothing about the first; and a circle ends. */
const MAX_CAUSES = 5;

/** The step whose error this is, or is the cause of it. Never throws, whatever was thrown. */
function stepOf(error: unknown, stored: Stored, depth = 0): string | undefined {
  if (typeof error !== "object" || error === null || depth > MAX_CAUSES) return undefined;
  const own = stored.get(error);
  if (own !== undefined) return own;
  try {
    const parts: unknown[] = error instanceof AggregateError ? error.errors : [(error as Error).cause];
    for (const part of parts) {
      const step = stepOf(part, stored, depth + 1);
      if (step !== undefined) return step;
    }
  } catch {
    // A getter of somebody else's error threw: then it names no step.
  }
  return undefined;
}

function failed(error: unknown, retriable: boolean, stored: Stored): AnswerBody {
  const step = stepOf(error, stored);
  const retry_after_ms = retriable ? retryAfterMs(error) : undefined;
  return {
    status: "failed",
    error: { ...toWireError(error), ...(step !== undefined && { step }) },
    retriable,
    ...(retry_after_ms !== undefined && { retry_after_ms }),
  };
}

export function answerTo(end: End, stored: Stored): AnswerBody {
  if (end.kind === "threw") return failed(end.error, !isPermanent(end.error, stored), stored);
  try {
    return {
      status: "completed",
      output: JSON.parse(toJsonText(end.value, "The function's result", MAX_OUTPUT_BYTES)),
    };
  } catch (error) {
    return failed(error, false, stored);
  }
}
