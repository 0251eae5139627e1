/** Carries one claimed job to its endpoint and says how that ended. Reads no table and writes none. */
import { answerContext } from "@rotorsh/sdk/protocol";
import { verifyAnswer } from "@rotorsh/sdk/signature";
import { readCallbackAnswer, storable } from "../core/callback-answer.js";
import type { End } from "../core/job.js";
import { limits } from "../core/limits.js";
import { makeToken } from "../core/token.js";
import { parseAnswer } from "../core/workflow-answer.js";
import { workflowBody } from "../core/workflow-body.js";
import { type DeliveryResult, deliver } from "../delivery/deliver.js";
import type { Pools } from "../delivery/pools.js";
import { callbackRequest, workflowRequest } from "../delivery/request.js";
import type { LoadedJob, StepRow } from "../store/load.js";

/** What a courier needs of its server. */
export type CourierOptions = {
  readonly pools: Pools;
  readonly publicUrl: string;
  readonly tokenSecret: string;
  /** Active signing secrets of a workspace, the newest first. */
  readonly secrets: (workspace: string) => Promise<readonly string[]>;
};

/** The end of one call. `hash` is the app's list of functions as it is now, where the app said so. */
export type Carried = {
  readonly end: End;
  readonly status: number | null;
  readonly durationMs: number;
  /** JSON text: heads and timing of the call; see `core/detail.ts`. */
  readonly detail?: string | null;
  readonly hash?: string;
};

export async function carry(
  options: CourierOptions,
  job: LoadedJob,
  steps: readonly StepRow[],
  signal: AbortSignal,
): Promise<Carried> {
  const secrets = await options.secrets(job.queue.workspace);
  const startedAt = performance.now();
  try {
    return await (job.queue.kind === "callback"
      ? callback(options, job, secrets, signal)
      : workflow(options, job, steps, secrets, signal));
  } catch (error) {
    // A job that cannot even be put into words: the attempt counts, or it would come back for ever.
    const message = `It could not be delivered: ${error instanceof Error ? error.message : String(error)}`;
    const end: End = { kind: "failed", final: false, error: { name: "DeliveryError", message } };
    return { end, status: null, durationMs: performance.now() - startedAt };
  }
}

const nowSeconds = (): number => Math.floor(Date.now() / 1000);

async function callback(
  options: CourierOptions,
  job: LoadedJob,
  secrets: readonly string[],
  signal: AbortSignal,
): Promise<Carried> {
  const token = makeToken(options.tokenSecret, "complete", { jobId: job.jobId, delivery: job.delivery });
  const request = callbackRequest({
    jobId: job.jobId,
    queue: job.queue.name,
    attempt: job.attempt,
    maxAttempts: job.maxAttempts,
    scheduledAt: job.runAt.toISOString(),
    body: job.body,
    contentType: job.contentType,
    queueHeaders: job.headers,
    completeUrl: `${options.publicUrl}/v1/jobs/${job.jobId}/complete?token=${token}`,
    secrets,
    nowSeconds: nowSeconds(),
    standardWebhooks: job.queue.standardWebhooks,
  });
  const result = await deliver(options.pools, {
    url: job.queue.url,
    ...request,
    timeoutMs: job.timeoutMs,
    maxBodyBytes: limits.callbackOutputBytes,
    workspace: job.queue.workspace,
    signal,
  });
  if (result.kind === "answered")
    return { end: readCallbackAnswer(result, Date.now()), status: result.status, durationMs: result.durationMs };
  return { end: unanswered(result, job.timeoutMs), status: null, durationMs: result.durationMs };
}

async function workflow(
  options: CourierOptions,
  job: LoadedJob,
  steps: readonly StepRow[],
  secrets: readonly string[],
  signal: AbortSignal,
): Promise<Carried> {
  const token = makeToken(options.tokenSecret, "checkpoint", { jobId: job.jobId, delivery: job.delivery });
  const text = workflowBody(
    {
      app: job.queue.app ?? "",
      function: job.queue.name,
      run: job.jobId,
      delivery: job.delivery,
      attempt: job.attempt,
      maxAttempts: job.maxAttempts,
      event: job.body.toString(),
      checkpoint: { url: `${options.publicUrl}/v1/checkpoints`, token },
    },
    steps,
    limits.deliveryBytes,
  );
  const request = workflowRequest({ body: text, secrets, nowSeconds: nowSeconds(), run: job.jobId });
  const result = await deliver(options.pools, {
    url: job.queue.url,
    ...request,
    timeoutMs: limits.timeoutMs,
    idleTimeoutMs: limits.runSilenceMs,
    maxBodyBytes: limits.answerBytes,
    workspace: job.queue.workspace,
    signal,
  });
  const knownSeq = Number(steps.findLast((step) => step.seq !== null)?.seq ?? 0);
  if (result.kind !== "answered")
    return { end: unanswered(result, limits.runSilenceMs), status: null, durationMs: result.durationMs };
  const base = { status: result.status, durationMs: result.durationMs };
  if (result.status === 413) return { ...base, end: { kind: "diverged", error: tooLarge(steps) } };
  const signed =
    result.status === 200 ? verifyAnswer(result.body, answerContext(job.jobId, job.delivery), [...secrets]) : undefined;
  if (signed === undefined) {
    const said = storable(result.body).slice(0, 500);
    return {
      ...base,
      end: {
        kind: "unreached",
        error: {
          name: "AppUnreachableError",
          message: `${job.queue.url} answered ${result.status} without Rotor's signature: ${said}`,
        },
      },
    };
  }
  const answer = parseAnswer(signed.json);
  if (!answer.ok) {
    return {
      ...base,
      end: {
        kind: "failed",
        final: false,
        error: { name: "InvalidAnswerError", message: `The app's answer is not one: ${answer.message}` },
      },
    };
  }
  const { value } = answer;
  const known = { ...base, hash: value.hash };
  switch (value.status) {
    case "completed": {
      const output = JSON.stringify(value.output);
      if (output.length <= limits.runOutputBytes) return { ...known, end: { kind: "done", output } };
      const message = `The function returned ${output.length} bytes; at most ${limits.runOutputBytes} are kept. Return a reference to what is large.`;
      return { ...known, end: { kind: "failed", final: true, error: { name: "OutputTooLargeError", message } } };
    }
    case "failed":
      return {
        ...known,
        end: { kind: "failed", final: !value.retriable, error: value.error, retryAfterMs: value.retry_after_ms },
      };
    case "waiting":
    case "yield":
      return { ...known, end: { kind: value.status, reports: value.reports, knownSeq, seenSeq: value.known_seq } };
    case "stale":
      return { ...known, end: { kind: "stale" } };
    case "diverged": {
      const asks =
        value.asked === null ? "the code no longer reaches it" : `the code asks for a step of kind ${value.asked}`;
      const message = `The step ${value.step} is recorded as ${value.recorded}, and ${asks}. Mend the code and resume the run, or cancel it.`;
      return { ...known, end: { kind: "diverged", error: { name: "DivergedError", message } } };
    }
  }
}

/** A call that brought no answer. */
function unanswered(result: Exclude<DeliveryResult, { kind: "answered" }>, limitMs: number): End {
  switch (result.kind) {
    case "unreached":
      return { kind: "unreached", error: { name: "UnreachableError", message: result.message, code: result.reason } };
    case "lost":
      return { kind: "failed", final: false, error: { name: "ConnectionLostError", message: result.message } };
    case "timed-out":
      return {
        kind: "failed",
        final: false,
        error: { name: "TimeoutError", message: `No answer within ${limitMs} ms.` },
      };
    case "aborted":
      return { kind: "released" };
  }
}

function tooLarge(steps: readonly StepRow[]): { name: string; message: string } {
  const largest = [...steps]
    .sort((a, b) => (b.output?.length ?? 0) - (a.output?.length ?? 0))
    .slice(0, 3)
    .map((step) => `${step.key} (${step.output?.length ?? 0} bytes)`);
  return {
    name: "BodyTooLargeError",
    message: `The app refuses the delivery's body (413). Its largest steps: ${largest.join(", ") || "none"}. Return references, or raise the app's limit, and resume the run.`,
  };
}
