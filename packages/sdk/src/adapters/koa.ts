/** Koa, recognised by its shape: the SDK does not depend on it. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { FetchHandler } from "./fetch.js";
import { answerNode } from "./node.js";
import type { BodyHolder } from "./raw-body.js";

/** What is used of a Koa app. Its own type is far stricter, so the middleware's place is left open here. */
export type KoaApp = {
  readonly use: (...middleware: never[]) => unknown;
  readonly callback: () => unknown;
  readonly middleware: readonly unknown[];
};

/** What is used of a Koa context. */
export type KoaContext = {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** Body parsers leave `rawBody` and `body` here. */
  readonly request: object;
  readonly path: string;
  respond?: boolean;
};

type Mount = { use(middleware: (context: KoaContext, next: () => unknown) => unknown): unknown };

const KOA_REMEDY =
  "Use a parser that keeps them as ctx.request.rawBody, as app.use(bodyParser()) of @koa/bodyparser does, or mount this handler before the parser";

export const isKoa = (app: unknown): app is KoaApp =>
  typeof app === "object" && app !== null && "callback" in app && "middleware" in app && "use" in app;

export const isKoaContext = (value: unknown): value is KoaContext =>
  typeof value === "object" && value !== null && "req" in value && "res" in value && "request" in value;

export function answerKoa(handler: FetchHandler, context: KoaContext): Promise<void> {
  // An answer is a stream that must show life every few seconds: it is written as it comes, past what would collect it.
  context.respond = false;
  const { req: request, res: response } = context;
  return answerNode(handler, { request, response, holder: context.request as BodyHolder, remedy: KOA_REMEDY });
}

/** Answers `path` with the handler and hands on the rest. */
export function mountOnKoa(app: KoaApp, path: string, handler: FetchHandler): void {
  (app as unknown as Mount).use((context, next) => (context.path === path ? answerKoa(handler, context) : next()));
}
