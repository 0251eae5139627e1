/** A server of `node:http` or `node:https`, recognised by its shape: one path of it answers, the rest goes where it went. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { FetchHandler } from "./fetch.js";
import { nodeHandler } from "./node.js";

type Listener = (request: IncomingMessage, response: ServerResponse) => unknown;

/** What is used of a server. Node's own type has an overload for each of its events, so the places of listeners are left open. */
export type NodeServer = {
  readonly address: () => unknown;
  readonly listeners: (event: "request") => unknown[];
  readonly removeAllListeners: (event: "request") => unknown;
  readonly on: (event: "request", listener: never) => unknown;
};

type Mount = { on(event: "request", listener: Listener): unknown };

export const isNodeServer = (app: unknown): app is NodeServer =>
  typeof app === "object" && app !== null && "listeners" in app && "address" in app && "removeAllListeners" in app;

const notFound: Listener = (_request, response) => response.writeHead(404).end();

/** Answers `path` before the listeners that the server has by now; without any, all other paths are 404. */
export function mountOnNodeServer(server: NodeServer, path: string, handler: FetchHandler): void {
  const others = server.listeners("request") as Listener[];
  const ours = nodeHandler(handler);
  server.removeAllListeners("request");
  (server as unknown as Mount).on("request", (request, response) => {
    if (request.url?.split("?", 1)[0] === path) return void ours(request, response);
    for (const other of others.length > 0 ? others : [notFound]) other.call(server, request, response);
  });
}
