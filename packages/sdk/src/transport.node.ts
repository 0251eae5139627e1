/** HTTP over `node:http` with kept connections, since Node's `fetch` takes three times as long. See `transport.ts`. */

import { Agent, type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps, Agent as SecureAgent } from "node:https";
import { RotorConnectionError } from "./errors.js";
import { MAX_RESPONSE_BYTES, type TransportRequest, type TransportResponse } from "./transport.js";

// Beyond some fifty connections to one server nothing is gained, but for requests that are held: those have no limit.
const OPTIONS = { keepAlive: true, maxSockets: 50 };
const APART = { keepAlive: true };
const plain = { shared: new Agent(OPTIONS), apart: new Agent(APART) };
const secure = { shared: new SecureAgent(OPTIONS), apart: new SecureAgent(APART) };

/** Errors of a connection that was never made. */
const UNREACHABLE = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

/** A kept connection that the server closed just as the request was written: nothing of an answer came. */
class StaleConnection extends Error {}

const codeOf = (error: Error): string => ("code" in error && typeof error.code === "string" ? error.code : "");

function connectionError(url: string, error: Error): RotorConnectionError {
  const code = codeOf(error);
  const why = error.message || code;
  return UNREACHABLE.has(code)
    ? new RotorConnectionError("unreachable", `no connection to ${new URL(url).origin}: ${why}`, { cause: error })
    : new RotorConnectionError("lost", `the connection to ${new URL(url).origin} was lost: ${why}`, { cause: error });
}

function readBody(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_RESPONSE_BYTES)
        response.destroy(new Error(`the answer is larger than ${MAX_RESPONSE_BYTES} bytes`));
      else chunks.push(chunk);
    });
    response.on("end", () => resolve(Buffer.concat(chunks, size).toString("utf8")));
    response.on("error", reject);
  });
}

const headerOf = (response: IncomingMessage, name: string): string | undefined => {
  const value = response.headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
};

// `fresh` opens a connection of its own: after one stale connection, others of the pool may be stale too.
function open(url: string, request: TransportRequest, fresh: boolean): ClientRequest {
  const isSecure = url.startsWith("https:");
  const body = typeof request.body === "string" ? Buffer.from(request.body) : request.body;
  const hasLength = body !== undefined || request.method !== "GET";
  const outgoing = (isSecure ? requestHttps : requestHttp)(url, {
    method: request.method,
    headers: hasLength ? { "content-length": body?.length ?? 0, ...request.headers } : request.headers,
    agent: fresh ? false : (isSecure ? secure : plain)[request.apart ? "apart" : "shared"],
  });
  return outgoing.end(body);
}

function answerTo(outgoing: ClientRequest): Promise<TransportResponse> {
  return new Promise((resolve, reject) => {
    outgoing.on("response", (response) => {
      readBody(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, header: (name) => headerOf(response, name), text }),
        reject,
      );
    });
    outgoing.on("error", (error) => {
      const isStale = outgoing.reusedSocket && ["ECONNRESET", "EPIPE"].includes(codeOf(error));
      reject(isStale ? new StaleConnection(error.message, { cause: error }) : error);
    });
  });
}

/** See `Send` in `transport.ts`. */
export async function send(url: string, request: TransportRequest): Promise<TransportResponse> {
  const { signal, timeoutMs } = request;
  signal?.throwIfAborted();
  let outgoing = open(url, request, false);
  let isStopped = false;
  // By hand: an AbortController for each request would cost a tenth of its time.
  const stop = () => {
    isStopped = true;
    outgoing.destroy(new Error("stopped"));
  };
  const timer = setTimeout(stop, timeoutMs);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await answerTo(outgoing).catch((error: unknown) => {
      if (!(error instanceof StaleConnection) || !request.repeatable || isStopped) throw error;
      outgoing = open(url, request, true);
      return answerTo(outgoing);
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (isStopped) {
      throw new RotorConnectionError("timeout", `no answer from ${new URL(url).origin} within ${timeoutMs} ms`);
    }
    const problem = error instanceof Error ? error : new Error(String(error));
    const isStale = problem instanceof StaleConnection && problem.cause instanceof Error;
    throw connectionError(url, isStale ? (problem.cause as Error) : problem);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}
