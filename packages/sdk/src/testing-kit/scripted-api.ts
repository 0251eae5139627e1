/** A real HTTP server in place of Rotor's, for tests of the client: it notes what was asked and answers from a script. */

import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Seen = { method: string; url: string; headers: IncomingHttpHeaders; body: unknown };

/** `cut` closes the connection, `hang` never answers. */
export type Reply = { status?: number; json?: unknown; text?: string } | "cut" | "hang";

export type ScriptedApi = {
  readonly baseUrl: string;
  seen: Seen[];
  /** Taken in turn; the last one for ever. */
  replies: Reply[];
  /** Method and address of each request. */
  readonly lines: () => string[];
  readonly close: () => void;
};

export async function startScriptedApi(): Promise<ScriptedApi> {
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    const { method = "", url = "", headers } = request;
    api.seen.push({ method, url, headers, body: text === "" ? undefined : JSON.parse(text) });
    const reply = api.replies.length > 1 ? api.replies.shift()! : api.replies[0]!;
    if (reply === "cut") request.socket.destroy();
    else if (reply !== "hang")
      response.writeHead(reply.status ?? 200).end(reply.text ?? JSON.stringify(reply.json ?? {}));
  };
  const server = createServer(handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  const api: ScriptedApi = {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    replies: [{}],
    lines: () => api.seen.map(({ method, url }) => `${method} ${url}`),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return api;
}
