/**
 * `@rotorsh/sdk/embedded`: functions in the process of their server. Made for `startRotor` of `@rotorsh/server`; an app of
 * its own uses `serveWorkflow` or `workflowHandler`.
 */

import { checkpointsOver, stepsOver } from "./checkpoint.js";
import { createLane, type Lane } from "./lane.js";
import type { WorkflowHandler, WorkflowOptions } from "./serve.js";
import { createHandler } from "./serve.js";
import { sendWithFetch } from "./transport.fetch.js";
import type { Send } from "./transport.js";

/**
 * `workflowHandler`, but checkpoints go to `server` whatever host their URL names: the same bytes, as a call.
 * @param server answers requests to the server's API.
 * @throws RotorInputError as `workflowHandler` does.
 */
export function embeddedHandler(options: WorkflowOptions, server: typeof fetch): WorkflowHandler {
  const send: Send = (url, request) => sendWithFetch(server, url, request);
  const lanes = new Map<string, Lane>();
  const laneTo = (url: string): Lane => {
    const lane = lanes.get(url) ?? createLane(url, { post: checkpointsOver(send) });
    lanes.set(url, lane);
    return lane;
  };
  return createHandler(options, {}, { laneTo, fetchSteps: stepsOver(send), reachableUrl: (url) => url });
}
