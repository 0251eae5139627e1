/**
 * An app behind a proxy that refuses bodies above a size, in both directions: what it is asked, what it answers, what it
 * asks of the server and what that answers. Real HTTP; no test of its own.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { RotorFunction } from "@rotorsh/sdk";
import { nodeHandler, workflowHandler } from "@rotorsh/sdk";
import type { TestServer } from "../../testing-kit/server.js";

export type Passage = {
  readonly what: "delivery" | "answer" | "report" | "reply";
  readonly method: string;
  readonly path: string;
  readonly bytes: number;
};

export type ProxiedApp = {
  readonly url: string;
  /** Bodies that passed, or came to the proxy and were refused. */
  readonly passages: readonly Passage[];
  readonly refused: readonly Passage[];
  /** Changes what is refused of deliveries; the rest stays. */
  limitDeliveries(bytes: number): void;
  close(): Promise<void>;
};

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

const headersOf = (request: IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) =>
      typeof value === "string" && !["host", "connection", "content-length"].includes(name) ? [[name, value]] : [],
    ),
  );

const listen = async (listener: RequestListener): Promise<{ url: string; server: Server }> => {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
};

/** Serves the functions as an app of this name behind such a proxy, registered. */
export async function proxiedApp(
  server: TestServer,
  app: string,
  functions: readonly RotorFunction[],
  maxBytes: number,
): Promise<ProxiedApp> {
  const passages: Passage[] = [];
  const refused: Passage[] = [];
  let deliveryBytes = maxBytes;

  /** Passes a request on, and its answer back: each of them only where it is small enough. */
  const pass = (target: () => string, way: [Passage["what"], Passage["what"]]) => {
    const small = (passage: Passage): boolean => {
      const limit = passage.what === "delivery" ? deliveryBytes : maxBytes;
      (passage.bytes > limit ? refused : passages).push(passage);
      return passage.bytes <= limit;
    };
    return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const method = request.method!;
      const path = request.url!.split("?")[0]!;
      const body = await bytesOf(request);
      if (!small({ what: way[0], method, path, bytes: body.length })) {
        response.writeHead(413, { "content-type": "text/html" }).end("<h1>413 Request Entity Too Large</h1>");
        return;
      }
      const answer = await fetch(`${target()}${request.url}`, {
        method,
        headers: headersOf(request),
        ...(method !== "GET" && { body: new Uint8Array(body) }),
      });
      const head = { "content-type": answer.headers.get("content-type") ?? "" };
      if (maxBytes === Number.POSITIVE_INFINITY) {
        // As it comes: an answer held back until it is whole hides the signs of life of a long delivery.
        response.writeHead(answer.status, head);
        let bytes = 0;
        for await (const chunk of answer.body ?? []) {
          bytes += chunk.length;
          response.write(chunk);
        }
        small({ what: way[1], method, path, bytes });
        response.end();
        return;
      }
      const answered = Buffer.from(await answer.arrayBuffer());
      if (!small({ what: way[1], method, path, bytes: answered.length })) {
        response.writeHead(502, { "content-type": "text/html" }).end("<h1>502 Bad Gateway</h1>");
        return;
      }
      response.writeHead(answer.status, head).end(answered);
    };
  };
  const safely =
    (listener: (request: IncomingMessage, response: ServerResponse) => Promise<void>): RequestListener =>
    (request, response) =>
      // A server that stops cuts a request off here as anywhere.
      void listener(request, response).catch(() => response.destroy());

  const out = await listen(safely(pass(() => server.baseUrl, ["report", "reply"])));
  // What the app asks of its server goes through the proxy, too.
  const handler = workflowHandler({ app, dev: true, functions });
  const inside = await listen(nodeHandler((request) => handler(request, { ROTOR_BASE_URL: out.url })));
  const front = await listen(safely(pass(() => inside.url, ["delivery", "answer"])));
  const url = `${front.url}/api/rotor`;
  await server.rotor.functions.sync({ url });
  return {
    url,
    passages,
    refused,
    limitDeliveries(bytes) {
      deliveryBytes = bytes;
    },
    async close() {
      for (const each of [front, inside, out]) {
        each.server.closeAllConnections();
        await new Promise((resolve) => each.server.close(resolve));
      }
    },
  };
}
