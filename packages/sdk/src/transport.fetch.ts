/** HTTP over a `fetch` that is handed in: the runtime's, or one that the user gives to the client. See `transport.ts`. */

import { RotorConnectionError } from "./errors.js";
import type { TransportRequest, TransportResponse } from "./transport.js";

async function exchange(
  fetcher: typeof fetch,
  url: string,
  request: TransportRequest,
  signal: AbortSignal,
): Promise<TransportResponse> {
  const response = await fetcher(url, {
    method: request.method,
    headers: { ...request.headers },
    body: request.body,
    redirect: "manual",
    signal,
  });
  const text = await response.text();
  return { status: response.status, header: (name) => response.headers.get(name) ?? undefined, text };
}

/** See `Send` in `transport.ts`. `fetch` does not tell a refused connection from a lost one, so all are `lost`. */
export async function sendWithFetch(
  fetcher: typeof fetch,
  url: string,
  request: TransportRequest,
): Promise<TransportResponse> {
  request.signal?.throwIfAborted();
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, request.timeoutMs);
  request.signal?.addEventListener("abort", abort, { once: true });
  try {
    return await exchange(fetcher, url, request, controller.signal).catch((error: unknown) => {
      // Whether the connection was a stale one is not told either.
      if (request.repeatable && !controller.signal.aborted) return exchange(fetcher, url, request, controller.signal);
      throw error;
    });
  } catch (error) {
    request.signal?.throwIfAborted();
    const { origin } = new URL(url);
    if (controller.signal.aborted) {
      throw new RotorConnectionError("timeout", `no answer from ${origin} within ${request.timeoutMs} ms`);
    }
    const why = error instanceof Error ? error.message : String(error);
    throw new RotorConnectionError("lost", `the connection to ${origin} was lost: ${why}`, { cause: error });
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener("abort", abort);
  }
}
