/** Express 5 and 4, and their routers, recognised by their shape: the SDK does not depend on them. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { FetchHandler } from "./fetch.js";
import { answerNode } from "./node.js";

/** What is used of an app or router. Express's own types are far stricter, so the handler's place is left open here. */
export type ExpressApp = {
  (...call: never[]): unknown;
  readonly all: (path: string, ...handlers: never[]) => unknown;
  readonly use: (...handlers: never[]) => unknown;
};

type Mount = {
  all(path: string, handler: (request: IncomingMessage, response: ServerResponse) => Promise<void>): unknown;
};

const EXPRESS_REMEDY =
  "Keep them: app.use(express.json({ verify: (req, _res, buf) => { req.rawBody = buf } })), or mount this handler before the parser";

export const isExpress = (app: unknown): app is ExpressApp => typeof app === "function" && "all" in app && "use" in app;

/** Express puts its app on each request; nobody else has a function there. */
export const isExpressRequest = (request: unknown): request is IncomingMessage =>
  typeof (request as { app?: unknown } | undefined)?.app === "function";

export const answerExpress = (handler: FetchHandler, request: IncomingMessage, response: ServerResponse) =>
  answerNode(handler, { request, response, remedy: EXPRESS_REMEDY });

/** Answers `path` with the handler. */
export function mountOnExpress(app: ExpressApp, path: string, handler: FetchHandler): void {
  (app as unknown as Mount).all(path, (request, response) => answerExpress(handler, request, response));
}
