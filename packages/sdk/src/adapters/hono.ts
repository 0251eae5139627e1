/** Hono, recognised by its shape: the SDK does not depend on it. */

import { type FetchHandler, isRequest, rawBodyMissing } from "./fetch.js";

/** What is used of a Hono app. Its own type is far stricter, so the handler's place is left open here. */
export type HonoApp = {
  readonly all: (path: string, ...handlers: never[]) => unknown;
  readonly fetch: (request: Request, ...rest: never[]) => unknown;
};

/** What is used of a Hono context. */
export type HonoContext = {
  readonly req: {
    readonly raw: Request;
    /** What a middleware has read of the body, by the form in which it read it. */
    readonly bodyCache: object;
    arrayBuffer(): Promise<ArrayBuffer>;
  };
  readonly env: unknown;
};

type Mount = { all(path: string, handler: (context: HonoContext) => Promise<Response>): unknown };

const HONO_REMEDY =
  "Let the middleware before it read the text: await c.req.text(), which Hono keeps, not c.req.parseBody() or c.req.raw";

export const isHono = (app: unknown): app is HonoApp =>
  typeof app === "object" && app !== null && "all" in app && "fetch" in app && typeof app.fetch === "function";

export const isHonoContext = (value: unknown): value is HonoContext =>
  typeof value === "object" &&
  value !== null &&
  "req" in value &&
  Object(value.req) === value.req &&
  isRequest((value.req as { raw?: unknown }).raw);

export async function answerHono(handler: FetchHandler, { req, env }: HonoContext): Promise<Response> {
  const { raw, bodyCache } = req;
  if (!raw.bodyUsed) return handler(raw, env);
  // Hono makes the other forms of these; of a parsed form it would write JSON anew, in other bytes.
  if (!("text" in bodyCache) && !("arrayBuffer" in bodyCache)) return rawBodyMissing(HONO_REMEDY);
  const { url, method, headers, signal } = raw;
  return handler(new Request(url, { method, headers, signal, body: await req.arrayBuffer() }), env);
}

/** Answers GET, PUT and POST of `path` with the handler. */
export function mountOnHono(app: HonoApp, path: string, handler: FetchHandler): void {
  (app as unknown as Mount).all(path, (context) => answerHono(handler, context));
}
