/**
 * Deliveries to functions that run in the server's own process: the same request and the same answer, as a function call.
 * Only whoever starts the server can name such a place; a URL that comes from outside never is one.
 */
import { BoundedBody } from "./bounded-body.js";
import type { DeliveryResult, HttpRequest } from "./deliver.js";

/** Answers a request as an app would. */
export type InProcessApp = (request: Request) => Promise<Response>;

const SCHEME = "inproc:";

/** The address of an app in this process. No such URL passes the guard. */
export const inProcessUrl = (app: string): string => `${SCHEME}${app}`;

export const isInProcessUrl = (url: string): boolean => url.startsWith(SCHEME);

/** Makes the call. Never rejects: however it ends is a value, within `timeoutMs`. */
export async function callInProcess(app: InProcessApp, request: HttpRequest): Promise<DeliveryResult> {
  const startedAt = performance.now();
  const over = new AbortController();
  const timing = {};
  const ended = (fate: "total" | "idle" | "aborted") => () => over.abort(fate);
  const total = setTimeout(ended("total"), request.timeoutMs);
  let idle: NodeJS.Timeout | undefined;
  const alive = (): void => {
    clearTimeout(idle);
    if (request.idleTimeoutMs !== undefined) idle = setTimeout(ended("idle"), request.idleTimeoutMs);
  };
  const abort = ended("aborted");
  request.stop?.hear(abort);
  if (request.stop?.asked) abort();
  const stopped = new Promise<never>((_, reject) => {
    if (over.signal.aborted) reject(over.signal.reason);
    over.signal.addEventListener("abort", () => reject(over.signal.reason));
  });
  let head: DeliveryResult["head"];
  const known = () => ({ timing, head, durationMs: performance.now() - startedAt });
  try {
    alive();
    const { method = "POST", headers, body } = request;
    const asked = new Request(request.url, { method, headers, ...(method !== "GET" && { body }) });
    const response = await Promise.race([app(asked), stopped]);
    head = { status: response.status, headers: Object.fromEntries(response.headers) };
    alive();
    const read = new BoundedBody(request.maxBodyBytes);
    const reader = response.body?.getReader();
    while (reader !== undefined && !read.truncated) {
      const { done, value } = await Promise.race([reader.read(), stopped]).catch((error: unknown) => {
        // Not awaited, as it never comes back where the app holds the stream open.
        void reader.cancel().catch(() => {});
        throw error;
      });
      if (done) break;
      alive();
      read.append(value);
    }
    return { kind: "answered", ...head, body: read.bytes, truncated: read.truncated, ...known(), head };
  } catch (error) {
    if (!over.signal.aborted) return { kind: "lost", message: `the function's answer broke off: ${error}`, ...known() };
    const fate = over.signal.reason as "total" | "idle" | "aborted";
    return fate === "aborted" ? { kind: "aborted", ...known() } : { kind: "timed-out", limit: fate, ...known() };
  } finally {
    clearTimeout(total);
    clearTimeout(idle);
    request.stop?.hear(undefined);
    // Nobody else may be listening.
    stopped.catch(() => {});
  }
}
