/** Hono, recognised by its shape: the SDK does not depend on it. */

import type { WorkflowHandler } from "../serve.js";

/** What is used of a Hono app. Its own type is far stricter, so the handler's place is left open here. */
export type HonoApp = {
  readonly all: (path: string, ...handlers: never[]) => unknown;
  readonly fetch: (request: Request, ...rest: never[]) => unknown;
};

type HonoContext = { readonly req: { readonly raw: Request }; readonly env: unknown };
type Mount = { all(path: string, handler: (context: HonoContext) => Promise<Response>): unknown };

export const isHono = (app: unknown): app is HonoApp =>
  typeof app === "object" && app !== null && "all" in app && "fetch" in app && typeof app.fetch === "function";

/** Answers GET, PUT and POST of `path` with the handler. */
export function mountOnHono(app: HonoApp, path: string, handler: WorkflowHandler): void {
  (app as unknown as Mount).all(path, (context) => handler(context.req.raw, context.env));
}
