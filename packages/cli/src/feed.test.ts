import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { type FeedEntry, followFeed } from "./feed.js";

/** A server whose answers the test writes itself; the n-th connection is given to the n-th handler. */
async function startStream(
  ...handlers: ((response: ServerResponse) => void)[]
): Promise<{ baseUrl: string; keys: (string | undefined)[] }> {
  const keys: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    keys.push(request.headers.authorization);
    if (request.url === "/v1/stream") (handlers.shift() ?? (() => undefined))(response);
    else response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, keys };
}

const entry = (id: string) => JSON.stringify({ type: "event", at: "2026-11-23T12:00:00Z", id });

/** Follows until `count` entries came. */
async function follow(
  baseUrl: string,
  count: number,
  apiKey?: string,
): Promise<{ entries: FeedEntry[]; lost: number }> {
  const enough = new AbortController();
  const entries: FeedEntry[] = [];
  let lost = 0;
  await followFeed({
    baseUrl,
    apiKey,
    signal: enough.signal,
    retryMs: 1,
    onLost: () => lost++,
    onEntry: (each) => {
      entries.push(each);
      if (entries.length === count) enough.abort();
    },
  });
  return { entries, lost };
}

test("entries are read however their bytes are cut, comments and strange data left out", async () => {
  const { baseUrl, keys } = await startStream((response) => {
    const text = `: hello\n\ndata: ${entry("é1")}\n\nevent: x\r\ndata:${entry("2")}\r\n\r\ndata: not json\n\ndata: {"a":1}\n\ndata: ${entry("3")}\n\n`;
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const byte of Buffer.from(text)) response.write(Buffer.of(byte));
  });
  const { entries } = await follow(baseUrl, 3, "rt_ws_a");
  expect(entries.map(({ id }) => id)).toEqual(["é1", "2", "3"]);
  expect(keys).toEqual(["Bearer rt_ws_a"]);
});

test("after a lost connection the feed goes on", async () => {
  const { baseUrl } = await startStream(
    (response) => response.writeHead(200).write(`data: ${entry("1")}\n\n`, () => response.destroy()),
    (response) => response.writeHead(503).end(),
    (response) => response.writeHead(200).write(`data: ${entry("2")}\n\n`),
  );
  const { entries, lost } = await follow(baseUrl, 2);
  expect(entries.map(({ id }) => id)).toEqual(["1", "2"]);
  expect(lost).toBe(2);
});

test("a server that refuses ends it with the server's message", async () => {
  const { baseUrl } = await startStream((response) =>
    response.writeHead(401).end('{"error":{"code":"unauthorized","message":"An API key is needed."}}'),
  );
  await expect(follow(baseUrl, 1)).rejects.toMatchObject({ status: 401, message: "An API key is needed." });
});
