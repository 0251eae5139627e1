/** One handler for every framework's route: what it is called with says who calls. Mounting whole apps is `mount.ts`'s business. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { RotorInputError } from "../errors.js";
import { answerExpress, isExpressRequest } from "./express.js";
import { answerFastify, type FastifyReply, type FastifyRequest, isFastifyCall } from "./fastify.js";
import { type FetchHandler, isRequest } from "./fetch.js";
import { answerHono, type HonoContext, isHonoContext } from "./hono.js";
import { answerKoa, isKoaContext, type KoaContext } from "./koa.js";
import { nodeHandler } from "./node.js";

/** A handler that is put in a route as it is, in each of these. */
export type RouteHandler = {
  /** Hono. */
  (context: HonoContext): Promise<Response>;
  /** Fastify. */
  (request: FastifyRequest, reply: FastifyReply): Promise<void>;
  /** Koa, under a router. */
  (context: KoaContext): Promise<void>;
  /** Express, `node:http`, pages of Next.js. */
  (request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** Next.js, Bun, Deno, Workers. Last, since it is the one that tools see which look at one signature. */
  (request: Request, env?: unknown): Promise<Response>;
};

/** Express takes a handler of four parameters for an error handler: this one declares none. */
export function routeHandler(handler: FetchHandler): RouteHandler {
  const onNode = nodeHandler(handler);
  return ((...call: readonly unknown[]): Promise<unknown> => {
    const [first, second] = call;
    if (isRequest(first)) return handler(first, second);
    if (isHonoContext(first)) return answerHono(handler, first);
    if (isKoaContext(first)) return answerKoa(handler, first);
    if (isFastifyCall(first, second)) return answerFastify(handler, first as FastifyRequest, second as FastifyReply);
    if (isExpressRequest(first)) return answerExpress(handler, first, second as ServerResponse);
    if (Object(second) === second && "writeHead" in Object(second)) {
      return onNode(first as IncomingMessage, second as ServerResponse);
    }
    throw new RotorInputError(
      "this handler is called with a Request, with a context of Hono or Koa, or with the request and response of Express, Fastify or node:http",
    );
  }) as RouteHandler;
}
