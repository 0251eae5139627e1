/** `callbackHandler`: an endpoint for callback jobs on any server that speaks Request and Response. Durable functions are served by `serve.ts`. */

import { isNonRetriable, retryAfterMs, toWireError } from "./errors.js";
import type { Untyped } from "./json.js";
import { headers } from "./protocol.js";
import { type Secret, verifyRotorSignature } from "./signature.js";

export type CallbackOptions = {
  /** The queue's secret, or several while one replaces another. */
  readonly secret: Secret;
};

/** A job as its handler gets it. */
export type CallbackJob<Payload = Untyped> = {
  /** The payload, parsed; its bytes (`Uint8Array`) where it was enqueued with a content type that is not JSON; undefined for an empty body. */
  readonly payload: Payload;
  readonly jobId: string;
  /** Counts from 1. */
  readonly attempt: number;
  /** Aborts when the server has stopped to wait, where the runtime tells. */
  readonly signal: AbortSignal;
};

const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\b/i;

function answer(status: number, body: string, extra: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { "content-type": "application/json", ...extra } });
}

const refusal = (status: number, code: string, message: string, extra?: Record<string, string>): Response =>
  answer(status, JSON.stringify({ error: { code, message } }), extra);

/** Fails the job without another attempt. */
const NO_RETRY = { [headers.noRetry]: "true" };

function failure(thrown: unknown): Response {
  const { name, message } = toWireError(thrown);
  const delayMs = retryAfterMs(thrown);
  return answer(500, JSON.stringify({ error: { name, message } }), {
    ...(isNonRetriable(thrown) && NO_RETRY),
    ...(delayMs !== undefined && { "retry-after": String(Math.ceil(delayMs / 1000)) }),
  });
}

function payloadOf(request: Request, bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  const type = request.headers.get("content-type");
  if (type && !JSON_TYPE.test(type)) return bytes;
  return JSON.parse(new TextDecoder().decode(bytes));
}

/**
 * Makes a fetch-style handler of a function that does one job. What it returns is the job's output. What it throws fails the
 * attempt: it is tried again by the queue's back-off, at once never with `NonRetriableError`, at the time of a `RetryAfterError`.
 * Requests that Rotor did not sign get 401 and never reach the function.
 */
export function callbackHandler<Payload = Untyped>(
  { secret }: CallbackOptions,
  handler: (job: CallbackJob<Payload>) => unknown,
): (request: Request) => Promise<Response> {
  return async (request) => {
    if (request.method !== "POST")
      return refusal(405, "method_not_allowed", "Rotor delivers by POST", { allow: "POST" });
    const bytes = new Uint8Array(await request.arrayBuffer());
    if (!verifyRotorSignature(bytes, request.headers.get(headers.signature), secret)) {
      return refusal(
        401,
        "bad_signature",
        "The signature is not one of this queue's secret, or not of the last five minutes",
      );
    }
    let payload: unknown;
    try {
      payload = payloadOf(request, bytes);
    } catch {
      // It will not be JSON at the next attempt either.
      return refusal(400, "bad_payload", "The payload is not JSON, as its content type says", NO_RETRY);
    }
    let output: unknown;
    try {
      output = await handler({
        payload: payload as Payload,
        jobId: request.headers.get(headers.jobId) ?? "",
        attempt: Number(request.headers.get(headers.attempt) ?? 1),
        signal: request.signal,
      });
    } catch (thrown) {
      return failure(thrown);
    }
    try {
      return answer(200, JSON.stringify(output === undefined ? null : output) ?? "null");
    } catch {
      // The work is done: another attempt would do it twice.
      return refusal(500, "bad_output", "The handler did its work, but what it returned has no JSON", NO_RETRY);
    }
  };
}
