/** Bodies as they come over a socket: bounded while they are read, whatever they say of themselves. */
import { request } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;

beforeAll(async () => {
  server = await testServer();
  await server.rotor.queues.create("bodies");
});
afterAll(() => server.close());

const path = "/v1/queues/bodies/jobs";

/** POSTs chunks of a body, as fast as they are taken. */
const post = (chunks: Iterable<Buffer>, headers: Record<string, string> = {}) =>
  new Promise<{ status: number; text: string }>((resolve, reject) => {
    const outgoing = request(`${server.baseUrl}${path}`, { method: "POST", headers });
    outgoing.on("response", (response) => {
      let text = "";
      response.on("data", (chunk) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode!, text }));
    });
    outgoing.on("error", reject);
    for (const chunk of chunks) outgoing.write(chunk);
    outgoing.end();
  });

const chunksOf = (bytes: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes / 65_536) }, (_, n) => Buffer.alloc(Math.min(65_536, bytes - n * 65_536), "x"));

test("a body of unknown length is taken up to the limit", async () => {
  const headers = { "content-type": "application/octet-stream" };
  expect((await post(chunksOf(limits.bodyBytes), headers)).status).toBe(201);
});

test("one past the limit is refused, and the next request of the same client is answered", async () => {
  const headers = { "content-type": "application/octet-stream" };
  const { status, text } = await post(chunksOf(limits.bodyBytes + 1), headers);
  expect([status, JSON.parse(text).error.code]).toEqual([413, "too_large"]);
  expect((await post([Buffer.from('{"payload":1}')], { "content-type": "application/json" })).status).toBe(201);
});

test("one that says that it is too long is refused before it is read", async () => {
  const headers = { "content-type": "application/octet-stream", "content-length": `${limits.bodyBytes + 1}` };
  expect((await post(chunksOf(limits.bodyBytes + 1), headers)).status).toBe(413);
});

test("one that comes in pieces is put together", async () => {
  const pieces = [...'{"payload":{"a":"ä"}}'].map((piece) => Buffer.from(piece));
  const { status, text } = await post(pieces, { "content-type": "application/json" });
  expect(status).toBe(201);
  expect((await server.rotor.jobs.get("bodies", JSON.parse(text).id)).payload).toEqual({ a: "ä" });
});

test("one that breaks off enqueues nothing", async () => {
  const count = async () => (await server.rotor.jobs.list("bodies", { limit: 100 }).page()).data.length;
  const before = await count();
  const { hostname, port } = new URL(server.baseUrl);
  const socket = connect(Number(port), hostname);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"payload":1}`,
    () => socket.destroy(),
  );
  await closed;
  await eventually("the server answers others", async () => (await count()) === before);
});
