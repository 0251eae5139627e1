/** Carries one claimed job to its endpoint and says how that ended. Reads no table and writes none. */
import { type Answer, answerContext } from "@rotorsh/sdk/protocol";
import { verifyAnswer } from "@rotorsh/sdk/signature";
import { readCallbackAnswer, storable } from "../core/callback-answer.js";
import type { End } from "../core/job.js";
import { limits } from "../core/limits.js";
import { outputTooLarge } from "../core/report-limits.js";
import { makeToken } from "../core/token.js";
import { parseAnswer } from "../core/workflow-answer.js";
import { workflowBody } from "../core/workflow-body.js";
import type { Deliver, DeliveryResult } from "../delivery/deliver.js";
import type { Pools } from "../delivery/pools.js";
import { callbackRequest, webhookRequest, workflowRequest } from "../delivery/request.js";
import type { Stop } from "../delivery/stop.js";
import type { History, StepRow } from "../store/history.js";
import type { LoadedJob } from "../store/load.js";
import { fillQueue, secretsNeeded, withoutValues } from "./filling.js";
import { keptOf } from "./kept.js";

/** What a courier needs of its server. */
export type CourierOptions = {
  readonly pools: Pools;
  readonly deliver: Deliver;
  readonly publicUrl: string;
  /** The time of day, in milliseconds: what is signed with it is judged by others' clocks. */
  readonly now: () => number;
  readonly tokenSecret: string;
  /** What signs a queue's deliveries, the newest first. */
  readonly secrets: (workspace: string, queueId: number) => Promise<readonly string[]>;
  /** Of these names, the secrets that there are, for templates. */
  readonly secretValues: (workspace: string, names: readonly string[]) => Promise<ReadonlyMap<string, string>>;
};

/** The end of one call. `hash` is the app's list of functions as it is now, where the app said so. */
export type Carried = {
  readonly end: End;
  readonly status: number | null;
  readonly durationMs: number;
  /** JSON text: heads and timing of the call; see `core/detail.ts`. */
  readonly detail?: string | null;
  readonly hash?: string;
  /** It was posted, and no answer came before its limit: its endpoint may be at work still. */
  readonly unanswered?: boolean;
};

/** The end of a delivery that did not begin. */
export const RELEASED: Carried = { end: { kind: "released" }, status: null, durationMs: 0 };

/** An answer that nobody foresaw, which cannot be written down. */
export const unstorable = (error: unknown): Carried["end"] => {
  const message = `The answer cannot be stored: ${error instanceof Error ? error.message : String(error)}`;
  return { kind: "failed", final: false, error: { name: "InvalidAnswerError", message } };
};

const NO_VALUES: ReadonlyMap<string, string> = new Map();

export async function carry(options: CourierOptions, job: LoadedJob, history: History, stop: Stop): Promise<Carried> {
  const { workspace, id } = job.queue;
  // Not within what follows: a database that is away is no failure of the job.
  const secrets = await options.secrets(workspace, id);
  const needed = secretsNeeded(job);
  const values = needed.length === 0 ? NO_VALUES : await options.secretValues(workspace, needed);
  const startedAt = performance.now();
  try {
    return await (job.queue.kind === "callback"
      ? callback(options, job, secrets, values, stop)
      : workflow(options, job, history, secrets, stop));
  } catch (error) {
    // A job that cannot even be put into words: the attempt counts, or it would come back for ever.
    const message = `It could not be delivered: ${error instanceof Error ? error.message : String(error)}`;
    const end: End = { kind: "failed", final: false, error: { name: "DeliveryError", message } };
    return { end, status: null, durationMs: performance.now() - startedAt };
  }
}

async function callback(
  options: CourierOptions,
  job: LoadedJob,
  secrets: readonly string[],
  values: ReadonlyMap<string, string>,
  stop: Stop,
): Promise<Carried> {
  const filled = fillQueue(job.queue, values);
  if (!filled.ok) return { end: { kind: "failed", final: false, error: filled.error }, status: null, durationMs: 0 };
  const token = makeToken(options.tokenSecret, "complete", job);
  const isWebhook = job.queue.system === "webhook";
  const queueHeaders = both(filled.headers, job.headers);
  const nowSeconds = Math.floor(options.now() / 1000);
  const { jobId, body } = job;
  // Literals without a spread, here and below: V8 makes an object with a spread and more members about ten times as slowly.
  const request = isWebhook
    ? webhookRequest({ jobId, body, queueHeaders, secrets, nowSeconds })
    : callbackRequest({
        jobId,
        body,
        queueHeaders,
        secrets,
        nowSeconds,
        queue: job.queue.name,
        attempt: job.attempt,
        maxAttempts: job.maxAttempts,
        scheduledAt: job.runAt.toISOString(),
        contentType: job.contentType,
        completeUrl: `${options.publicUrl}/v1/jobs/${jobId}/complete?token=${token}`,
        standardWebhooks: job.queue.standardWebhooks,
        traceparent: job.headers.traceparent,
      });
  const came = await options.deliver(options.pools, {
    url: filled.url,
    headers: request.headers,
    body: request.body,
    timeoutMs: job.timeoutMs,
    maxBodyBytes: limits.callbackOutputBytes,
    workspace: job.queue.workspace,
    stop,
  });
  const result = withoutValues(came, filled.values);
  const { durationMs } = result;
  const configured = both(job.queue.headers, job.headers);
  const detail = keptOf(job, { sent: request.headers, configured, tokens: [token], values: filled.values }, result);
  if (result.kind === "answered") {
    const end = readCallbackAnswer(result, options.now());
    // A webhook was given no way to report back: whatever 2xx it answers, it has heard.
    const heard = isWebhook && end.kind === "accepted";
    return { end: heard ? { kind: "done", output: null } : end, status: result.status, durationMs, detail };
  }
  const unanswered = result.kind === "lost" || result.kind === "aborted";
  return { end: endWithoutAnswer(result, job.timeoutMs), status: null, durationMs, detail, unanswered };
}

type Headers = Readonly<Record<string, string>>;

/** A queue's headers and those of its job, which come first. Most jobs have none. */
const both = (ofQueue: Headers, ofJob: Headers): Headers =>
  Object.keys(ofJob).length === 0 ? ofQueue : { ...ofQueue, ...ofJob };

async function workflow(
  options: CourierOptions,
  job: LoadedJob,
  history: History,
  secrets: readonly string[],
  stop: Stop,
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
      batched: job.batched,
      checkpoint: { url: `${options.publicUrl}/v1/checkpoints`, token },
    },
    history,
    limits.deliveryBytes,
  );
  const knownSeq = newestSeq(history);
  const largest = largestOf(history.steps);
  const request = workflowRequest({
    body: text,
    secrets,
    nowSeconds: Math.floor(options.now() / 1000),
    run: job.jobId,
    traceparent: job.headers.traceparent,
  });
  const result = await options.deliver(options.pools, {
    url: job.queue.url,
    ...request,
    timeoutMs: limits.timeoutMs,
    idleTimeoutMs: limits.runSilenceMs,
    maxBodyBytes: limits.answerBytes,
    workspace: job.queue.workspace,
    stop,
  });
  const { durationMs } = result;
  const detail = keptOf(job, { sent: request.headers, configured: {}, tokens: [token], values: [] }, result);
  if (result.kind !== "answered")
    return { end: endWithoutAnswer(result, limits.runSilenceMs), status: null, durationMs, detail };
  const { status } = result;
  if (status === 413) return { end: { kind: "diverged", error: tooLarge(largest) }, status, durationMs, detail };
  const signed =
    result.status === 200
      ? verifyAnswer(result.body, answerContext(job.jobId, job.delivery), [...secrets], { now: options.now() })
      : undefined;
  if (signed === undefined) {
    const said = storable(result.body).slice(0, 500);
    const message = `${job.queue.url} answered ${status} without Rotor's signature: ${said}`;
    return { end: { kind: "unreached", error: { name: "AppUnreachableError", message } }, status, durationMs, detail };
  }
  const answer = parseAnswer(signed.json);
  if (!answer.ok) return { end: invalid(`The app's answer is not one: ${answer.message}`), status, durationMs, detail };
  const { hash } = answer.value;
  return { end: endOf(answer.value, knownSeq, result.body.length), status, durationMs, detail, hash };
}

const invalid = (message: string): End => ({
  kind: "failed",
  final: false,
  error: { name: "InvalidAnswerError", message },
});

/** What an app's signed answer means. `knownSeq`: of the newest step that it was sent; `bytes`: the answer's. */
function endOf(answer: Answer, knownSeq: number, bytes: number): End {
  switch (answer.status) {
    case "completed": {
      const output = JSON.stringify(answer.output);
      const weight = Buffer.byteLength(output);
      if (weight <= limits.runOutputBytes) return { kind: "done", output };
      const message = `The function returned ${weight} bytes; at most ${limits.runOutputBytes} are kept. Return a reference to what is large.`;
      return { kind: "failed", final: true, error: { name: "OutputTooLargeError", message } };
    }
    case "failed":
      return { kind: "failed", final: !answer.retriable, error: answer.error, retryAfterMs: answer.retry_after_ms };
    case "waiting":
    case "yield": {
      const tooLarge = outputTooLarge(answer.reports, bytes);
      if (tooLarge !== undefined) return { kind: "failed", final: true, error: tooLarge };
      return { kind: answer.status, reports: answer.reports, knownSeq, seenSeq: answer.known_seq };
    }
    case "stale":
      return { kind: "stale" };
    case "checked":
      // Nobody asked for a check here, so nothing was done.
      return invalid("The app answered a delivery as if it were a check.");
    case "diverged": {
      const asks =
        answer.asked === null ? "the code no longer reaches it" : `the code asks for a step of kind ${answer.asked}`;
      const message = `The step ${answer.step} is recorded as ${answer.recorded}, and ${asks}. Mend the code and resume the run, or cancel it.`;
      return { kind: "diverged", error: { name: "DivergedError", message } };
    }
  }
}

/** A call that brought no answer. */
function endWithoutAnswer(result: Exclude<DeliveryResult, { kind: "answered" }>, limitMs: number): End {
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

/** Of all finished steps: where none is here, the newest is the one before the cursor. */
const newestSeq = ({ steps, more }: History): number => {
  const newest = steps.findLast((step) => step.seq !== null);
  return newest === undefined ? Number(more ?? 1) - 1 : Number(newest.seq);
};

/** The steps that make a body large, with what they weigh. */
const largestOf = (steps: readonly StepRow[]): readonly string[] =>
  steps
    .map(({ key, output, error }) => ({ key, bytes: Buffer.byteLength(output ?? error ?? "") }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 3)
    .map(({ key, bytes }) => `${key} (${bytes} bytes)`);

const tooLarge = (largest: readonly string[]): { name: string; message: string } => ({
  name: "BodyTooLargeError",
  message: `The app refuses the delivery's body (413). Its largest steps: ${largest.join(", ") || "none"}. Return references, or raise the app's limit, and resume the run.`,
});
