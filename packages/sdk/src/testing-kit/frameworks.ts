/** What the tests on real frameworks share: servers on the loopback address, closed after the test, and signed requests to them. */

import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { afterEach } from "vitest";
import { signRotor } from "../signature.js";
import { KEY } from "./peer.js";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** The origin of a listening server. */
export async function listening(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The same for a listener: an Express app, `koa.callback()`, a function. */
export const served = (listener: RequestListener): Promise<string> => listening(createServer(listener));

export async function fastifyAt(app: FastifyInstance): Promise<string> {
  const url = await app.listen({ port: 0, host: "127.0.0.1" });
  closers.push(() => app.close());
  return url;
}

export const signedHeaders = (body: string | Uint8Array, extra: Record<string, string> = {}) => ({
  "x-rotor-signature": signRotor(body, KEY, Math.floor(Date.now() / 1000)),
  "x-rotor-job-id": "job1",
  "x-rotor-attempt": "2",
  "content-type": "application/json",
  ...extra,
});

/** A delivery as the server sends it; its type is JSON unless `extra` says otherwise. */
export const deliveryTo = (url: string, body: string | Uint8Array, extra?: Record<string, string>): Promise<Response> =>
  fetch(url, { method: "POST", body, headers: signedHeaders(body, extra) });

type Parsing = { readonly request: object; readonly req: AsyncIterable<Uint8Array> };

/** What @koa/bodyparser and koa-body do: JSON is parsed; the first of them keeps the text too. */
export const koaParser =
  ({ keepsText }: { readonly keepsText: boolean }) =>
  async ({ request, req }: Parsing, next: () => Promise<unknown>): Promise<void> => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    Object.assign(request, { body: JSON.parse(text) }, keepsText && { rawBody: text });
    await next();
  };
