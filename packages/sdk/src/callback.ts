/** `callbackHandler`: an endpoint for callback jobs in any server's route. Durable functions are served by `serve.ts`. */

import { type RouteHandler, routeHandler } from "./adapters/any.js";
import { FETCH_REMEDY, rawBodyMissing } from "./adapters/fetch.js";
import { isNonRetriable, retryAfterMs, toWireError } from "./errors.js";
import type { Untyped } from "./json.js";
import { headers } from "./protocol.js";
import { MAX_BODY_BYTES, readBody } from "./request-body.js";
import { type Secret, verifyRotorSignature } from "./signature.js";
import { usableSecrets } from "./verifying.js";

export type CallbackOptions = {
  /** The queue's secret, or several while one replaces another; a function where only the request brings the environment (Workers). */
  readonly secret: Secret | ((env: unknown) => Secret);
};

/** A job as its handler gets it. */
export type CallbackJob<Payload = Untyped> = {
  /**
   * By the content type with which it was enqueued: JSON is parsed; anything else, text included, is its exact bytes
   * (`Uint8Array`), since only their sender knows what they mean. Undefined for an empty body.
   */
  readonly payload: Payload;
  readonly jobId: string;
  /** Counts from 1. */
  readonly attempt: number;
  /** All of the request's: `content-type`, `x-rotor-queue`, `x-rotor-max-attempts`, `x-rotor-scheduled-at`, `traceparent`, the queue's own. */
  readonly headers: Headers;
  /**
   * Where to POST when the work ends later. Return a 202 with `x-rotor-async: true` first: the job then stays active until
   * somebody POSTs here, or the queue's `async_timeout` has passed.
   */
  readonly completeUrl: string | undefined;
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

/** The signed body, or the refusal of a request that is not a delivery. */
async function readSigned(request: Request, secret: Secret): Promise<Uint8Array | Response> {
  if (request.method !== "POST") return refusal(405, "method_not_allowed", "Rotor delivers by POST", { allow: "POST" });
  if (usableSecrets(secret).length === 0) {
    return refusal(500, "no_secret", "This endpoint has no secret: give callbackHandler the queue's whsec_…");
  }
  if (request.bodyUsed) return rawBodyMissing(FETCH_REMEDY);
  const bytes = await readBody(request, MAX_BODY_BYTES);
  if (!bytes) return refusal(413, "body_too_large", `A delivery is at most ${MAX_BODY_BYTES} bytes`);
  if (verifyRotorSignature(bytes, request.headers.get(headers.signature), secret)) return bytes;
  return refusal(
    401,
    "bad_signature",
    "The signature is not one of this queue's secret, or not of the last five minutes",
  );
}

/** By its tag: a polyfill's or another realm's will do. */
const isResponse = (value: unknown): value is Response => Object.prototype.toString.call(value) === "[object Response]";

/**
 * Makes an endpoint of a function that does one job. It is put in a route as it is: `export const POST = …` of Next.js,
 * `app.post(path, …)` of Hono, Express and Fastify, a route of Koa's router, `createServer(…)`. The body must reach it
 * unparsed, or with its bytes kept as `rawBody`: else it answers 500 `raw_body_missing` with the line to add.
 *
 * What the function returns is the job's output; a `Response` is sent as it is. What it throws fails the attempt: it is tried
 * again by the queue's back-off, never with `NonRetriableError`, at the time of a `RetryAfterError`. Requests that Rotor did
 * not sign get 401 and never reach the function.
 */
export function callbackHandler<Payload = Untyped>(
  { secret }: CallbackOptions,
  handler: (job: CallbackJob<Payload>) => unknown,
): RouteHandler {
  return routeHandler(async (request, env) => {
    const bytes = await readSigned(request, typeof secret === "function" ? secret(env) : secret);
    if (isResponse(bytes)) return bytes;
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
        headers: request.headers,
        completeUrl: request.headers.get(headers.completeUrl) ?? undefined,
        signal: request.signal,
      });
    } catch (thrown) {
      return failure(thrown);
    }
    if (isResponse(output)) return output;
    try {
      return answer(200, JSON.stringify(output === undefined ? null : output) ?? "null");
    } catch {
      // The work is done: another attempt would do it twice.
      return refusal(500, "bad_output", "The handler did its work, but what it returned has no JSON", NO_RETRY);
    }
  });
}
