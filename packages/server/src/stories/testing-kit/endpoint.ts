/** An endpoint that remembers what it was called with. Real HTTP on loopback; no test of its own. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export type Endpoint = {
  readonly url: string;
  /** Bodies, in the order in which they came. */
  readonly calls: string[];
  close(): Promise<void>;
};

export async function countingEndpoint(): Promise<Endpoint> {
  const calls: string[] = [];
  const server = createServer(async (request, response) => {
    calls.push(await text(request));
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
