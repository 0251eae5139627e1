/** `serveWorkflow`: a handler mounted on a server that lives long. Each framework is one small file in `adapters/`. */

import type { ExpressApp } from "./adapters/express.js";
import { isExpress, mountOnExpress } from "./adapters/express.js";
import type { FastifyApp } from "./adapters/fastify.js";
import { isFastify, mountOnFastify } from "./adapters/fastify.js";
import type { FetchHandler } from "./adapters/fetch.js";
import type { HonoApp } from "./adapters/hono.js";
import { isHono, mountOnHono } from "./adapters/hono.js";
import type { KoaApp } from "./adapters/koa.js";
import { isKoa, mountOnKoa } from "./adapters/koa.js";
import type { NodeServer } from "./adapters/node-server.js";
import { isNodeServer, mountOnNodeServer } from "./adapters/node-server.js";
import { RotorInputError } from "./errors.js";
import type { WorkflowHandler, WorkflowOptions } from "./serve.js";
import { workflowHandler } from "./serve.js";
import { drainAtShutdown } from "./shutdown.js";

export type ServeOptions = WorkflowOptions & {
  /** Where the server finds the app (default "/api/rotor"). */
  readonly path?: string;
};

/** An app of Hono, Express (or a router of it), Fastify or Koa, or a server of `node:http`. */
export type ServableApp = HonoApp | ExpressApp | FastifyApp | KoaApp | NodeServer;

/** Has the app answer `path` with the handler. */
export function mount(app: ServableApp, path: string, handler: FetchHandler): void {
  if (isExpress(app)) mountOnExpress(app, path, handler);
  else if (isHono(app)) mountOnHono(app, path, handler);
  else if (isFastify(app)) mountOnFastify(app, path, handler);
  else if (isKoa(app)) mountOnKoa(app, path, handler);
  else if (isNodeServer(app)) mountOnNodeServer(app, path, handler);
  else {
    throw new RotorInputError(
      "serveWorkflow mounts on an app of Hono, Express, Fastify or Koa, or on a server of node:http; elsewhere use workflowHandler",
    );
  }
}

/**
 * Serves functions from an app and answers with the handler, whose `drain()` ends its work at shutdown; SIGTERM does it too.
 * With Express and Koa, mount before body parsers, or have them keep `rawBody`; with `node:http`, after the server's own listener.
 * @throws RotorInputError for an app of another framework, and as `workflowHandler` does.
 */
export function serveWorkflow(app: ServableApp, options: ServeOptions): WorkflowHandler {
  const { path = "/api/rotor", ...rest } = options;
  const handler = workflowHandler(rest);
  mount(app, path, handler);
  drainAtShutdown(handler.drain);
  return handler;
}
