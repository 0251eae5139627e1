/** One attempt of one `step.run`: its code, its time limit, and the report of how it ended. Whether and when is `replay.ts`. */

import { backoffMs } from "./backoff.js";
import { runWithStepKey } from "./context.js";
import { isNonRetriable, retryAfterMs, toWireError } from "./errors.js";
import { toJsonText } from "./json.js";
import type { LazyAbort } from "./lazy-abort.js";
import type { Json, RunReport } from "./protocol.js";
import type { StepCall } from "./step-call.js";

export type Attempt = {
  readonly runId: string;
  readonly key: string;
  readonly call: StepCall & { readonly kind: "run" };
  /** From 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Trace context of the delivery. */
  readonly traceparent: string | undefined;
  /** Ends the attempt early; what it then reports is of no interest to anybody. */
  readonly abort: LazyAbort;
};

/** The contract's limit for the output of a step. */
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;

function timeLimit(ms: number, abort: LazyAbort): { passed: Promise<never>; clear: () => void } {
  let clear = () => {};
  const passed = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => {
      const error = new DOMException(`The step took longer than its time limit of ${ms} ms`, "TimeoutError");
      // Rejected first: code that throws on abort must not hide why.
      reject(error);
      abort.abort(() => error);
    }, ms);
    clear = () => clearTimeout(timer);
  });
  return { passed, clear };
}

async function execute({ runId, key, call, attempt, abort, traceparent }: Attempt): Promise<Json> {
  const limit = timeLimit(call.timeoutMs, abort);
  const stepKey = `${runId}/${key}`;
  try {
    const context = {
      key: stepKey,
      attempt,
      get signal() {
        return abort.signal;
      },
      traceparent,
    };
    const running = runWithStepKey(stepKey, async () => call.fn(context), traceparent);
    const output = await Promise.race([running, limit.passed]);
    // Read back, so that the code sees now what a replay would give it later.
    return JSON.parse(toJsonText(output, `The output of step "${call.id}"`, MAX_OUTPUT_BYTES));
  } finally {
    limit.clear();
  }
}

/** Runs the code once. Never rejects: a failure is a report, `retry` while attempts are left. */
export async function runAttempt(options: Attempt): Promise<RunReport> {
  const { key, call, attempt, maxAttempts } = options;
  const startedMs = performance.now();
  const took = () => Math.round(performance.now() - startedMs);
  try {
    const output = await execute(options);
    return { kind: "run", key, attempt, duration_ms: took(), outcome: "completed", output };
  } catch (thrown) {
    const duration_ms = took();
    const error = toWireError(thrown);
    if (attempt >= maxAttempts || isNonRetriable(thrown))
      return { kind: "run", key, attempt, duration_ms, outcome: "failed", error };
    const delay_ms = retryAfterMs(thrown) ?? backoffMs(call.backoff, attempt);
    return { kind: "run", key, attempt, duration_ms, outcome: "retry", error, delay_ms };
  }
}
