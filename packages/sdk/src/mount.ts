/** `serveWorkflow`: a handler mounted on a server that lives long. Each framework is one small file in `adapters/`. */

import type { HonoApp } from "./adapters/hono.js";
import { isHono, mountOnHono } from "./adapters/hono.js";
import { RotorInputError } from "./errors.js";
import type { WorkflowHandler, WorkflowOptions } from "./serve.js";
import { workflowHandler } from "./serve.js";
import { drainAtShutdown } from "./shutdown.js";

export type ServeOptions = WorkflowOptions & {
  /** Where the server finds the app (default "/api/rotor"). */
  readonly path?: string;
};

/**
 * Serves functions from a Hono app and answers with the handler, whose `drain()` ends its work at shutdown; SIGTERM does it too.
 * @throws RotorInputError for an app of another framework, and as `workflowHandler` does.
 */
export function serveWorkflow(app: HonoApp, options: ServeOptions): WorkflowHandler {
  const { path = "/api/rotor", ...rest } = options;
  const handler = workflowHandler(rest);
  if (!isHono(app)) {
    throw new RotorInputError(
      "serveWorkflow mounts on a Hono app; elsewhere use workflowHandler, or nodeHandler for node:http",
    );
  }
  mountOnHono(app, path, handler);
  drainAtShutdown(handler.drain);
  return handler;
}
