/** `node:http`, and whatever hands on its request and response: a fetch-style handler as a request listener. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { refusal } from "../answer.js";
import type { WorkflowHandler } from "../serve.js";

/** A body that something before this handler has read already. */
type MaybeRead = IncomingMessage & { readonly rawBody?: unknown; readonly body?: unknown };

const RAW_BODY_MISSING =
  "The body was parsed before this handler saw it, and a signature covers its exact bytes. Keep them: mount this handler " +
  "before the parser, or with Express write app.use(express.json({ verify: (req, _res, buf) => { req.rawBody = buf; } }))";

const isBytes = (value: unknown): value is Uint8Array | string =>
  typeof value === "string" || value instanceof Uint8Array;

function streamOf(request: IncomingMessage): ReadableStream<Uint8Array> {
  const chunks = request[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  return new ReadableStream({
    async pull(stream) {
      const { done, value } = await chunks.next();
      if (done) stream.close();
      else stream.enqueue(new Uint8Array(value));
    },
    async cancel() {
      await chunks.return?.();
    },
  });
}

/** The first of `rawBody`, a body of bytes or text, the unread stream; undefined when only a parsed body is left. */
function bodyOf(request: MaybeRead): Uint8Array | string | ReadableStream<Uint8Array> | undefined {
  if (isBytes(request.rawBody)) return request.rawBody;
  if (isBytes(request.body)) return request.body;
  return request.readableDidRead || (request.complete && request.body !== undefined) ? undefined : streamOf(request);
}

function urlOf(request: IncomingMessage): string {
  const encrypted = "encrypted" in request.socket && request.socket.encrypted === true;
  const path = (request as { originalUrl?: string }).originalUrl ?? request.url ?? "/";
  return `${encrypted ? "https" : "http"}://${request.headers.host ?? "localhost"}${path}`;
}

function toRequest(request: MaybeRead): Request | undefined {
  const method = request.method ?? "GET";
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined && !name.startsWith(":"))
      headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  if (method === "GET" || method === "HEAD") return new Request(urlOf(request), { method, headers });
  const body = bodyOf(request);
  return body === undefined ? undefined : new Request(urlOf(request), { method, headers, body, duplex: "half" });
}

async function write(response: Response, to: ServerResponse): Promise<void> {
  to.writeHead(response.status, Object.fromEntries(response.headers));
  const reader = response.body?.getReader();
  if (!reader) {
    to.end();
    return;
  }
  to.once("close", () => {
    // Refused when the stream has ended already, which is as good.
    reader.cancel().catch(() => {});
  });
  for (;;) {
    const { done, value } = await reader.read();
    if (done || to.destroyed) break;
    to.write(value);
  }
  to.end();
}

/** A listener for `http.createServer`, and for frameworks that hand on Node's own request and response. */
export const nodeHandler =
  (handler: WorkflowHandler) =>
  async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const asked = toRequest(request);
    const answer = asked ? await handler(asked) : refusal(500, "raw_body_missing", RAW_BODY_MISSING);
    // The connection was lost while the answer was written: there is nobody left to tell.
    await write(answer, response).catch(() => response.destroy());
  };
