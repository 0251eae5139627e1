/** A TCP server that says whatever a test wants, which no HTTP library would let it say. For tests only. */

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

export type RawServer = {
  readonly port: number;
  readonly url: string;
  /** Connections accepted so far. */
  readonly hits: () => number;
  /** Whole requests read so far (those whose bytes have been handed to `answer`). */
  readonly requests: readonly string[];
  readonly close: () => Promise<void>;
};

/** Calls `answer` for each request, once its head and a body of its `content-length` are there. */
export async function rawServer(
  answer: (socket: Socket, request: string, count: number) => void,
  { host = "127.0.0.1", port = 0 } = {},
): Promise<RawServer> {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  let hits = 0;
  const server: Server = createServer({ noDelay: true }, (socket) => {
    hits += 1;
    sockets.add(socket);
    let text = "";
    socket.on("data", (piece) => {
      text += piece.toString("latin1");
      for (let length = wholeRequest(text); length > 0; length = wholeRequest(text)) {
        const request = text.slice(0, length);
        text = text.slice(length);
        requests.push(request);
        answer(socket, request, requests.length);
      }
    });
    // The other side breaking off is what many of these tests are about.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(port, host);
  await once(server, "listening");
  const { port: bound } = server.address() as AddressInfo;
  return {
    port: bound,
    url: `http://${host}:${bound}/`,
    hits: () => hits,
    requests,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Length of the first request in `text`; 0 if it is not whole yet. */
function wholeRequest(text: string): number {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return 0;
  const length = head + 4 + Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, head + 2))?.[1] ?? 0);
  return text.length >= length ? length : 0;
}
