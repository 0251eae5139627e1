/** Fastify, recognised by its shape: the SDK does not depend on it. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { FetchHandler } from "./fetch.js";
import { answerNode } from "./node.js";
import type { BodyHolder } from "./raw-body.js";

/** What is used of a Fastify instance. Its own type is far stricter, so the plugin's place is left open here. */
export type FastifyApp = {
  readonly register: (...plugin: never[]) => unknown;
  readonly route: (...options: never[]) => unknown;
  readonly addContentTypeParser: (...parser: never[]) => unknown;
};

/** What is used of Fastify's request: Node's own, and the body that its parsers left. */
export type FastifyRequest = { readonly raw: IncomingMessage; readonly body?: unknown };

/** What is used of Fastify's reply. */
export type FastifyReply = { readonly raw: ServerResponse; readonly hijack: () => unknown };

type Scope = {
  removeAllContentTypeParsers(): void;
  addContentTypeParser(
    type: "*",
    parser: (request: unknown, payload: unknown, done: (error: null) => void) => void,
  ): void;
  route(options: {
    readonly method: readonly string[];
    readonly url: string;
    readonly handler: (request: FastifyRequest, reply: FastifyReply) => unknown;
  }): void;
};

type Mount = { register(plugin: (scope: Scope) => Promise<void>): unknown };

// Fastify parses JSON without being asked to; a parser of its own in a plugin of its own leaves the other routes alone.
const FASTIFY_REMEDY =
  "Register this route in a plugin that keeps them: app.register(async (scope) => { scope.removeAllContentTypeParsers(); " +
  'scope.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body)); ' +
  'scope.post("/rotor/…", handler) })';

export const isFastify = (app: unknown): app is FastifyApp =>
  typeof app === "object" && app !== null && "register" in app && "route" in app && "addContentTypeParser" in app;

export const isFastifyCall = (request: unknown, reply: unknown): boolean =>
  typeof request === "object" &&
  request !== null &&
  "raw" in request &&
  Object(reply) === reply &&
  "hijack" in Object(reply);

export function answerFastify(handler: FetchHandler, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  // An answer is a stream that must show life every few seconds: it is written as it comes, past what would collect it.
  reply.hijack();
  const call = { request: request.raw, response: reply.raw, holder: request as BodyHolder, remedy: FASTIFY_REMEDY };
  return answerNode(handler, call);
}

/** Answers `path` in a plugin of its own, whose parser leaves the body unread; the parsers of other routes stay. */
export function mountOnFastify(app: FastifyApp, path: string, handler: FetchHandler): void {
  (app as unknown as Mount).register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, _payload, done) => done(null));
    scope.route({
      method: ["GET", "POST", "PUT"],
      url: path,
      handler: (request, reply) => answerFastify(handler, request, reply),
    });
  });
}
