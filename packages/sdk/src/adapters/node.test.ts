import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { callbackHandler } from "../callback.js";
import { served, signedHeaders } from "../testing-kit/frameworks.js";
import { KEY } from "../testing-kit/peer.js";
import { gate } from "../testing-kit/peer-for.js";
import { nodeHandler } from "./node.js";

/** What the server writes on one connection until it closes it, or until `enough`. */
async function exchange(url: string, sent: string, enough?: RegExp): Promise<string> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  let received = "";
  socket.on("data", (chunk) => {
    received += chunk;
    if (enough?.test(received)) socket.destroy();
  });
  socket.write(sent);
  await once(socket, "close");
  return received;
}

const echo = nodeHandler(async (request) => new Response(new URL(request.url).pathname));

test("a Host that makes no URL, and a method that Request does not take, do not end the process", async () => {
  const url = await served(echo);
  expect(await exchange(url, "GET /a HTTP/1.1\r\nHost: a b[\r\nConnection: close\r\n\r\n")).toMatch(/ 200 .*\/a/s);
  expect(await exchange(url, "TRACE /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).toMatch(
    /^HTTP\/1.1 400 .*bad_request/s,
  );
  expect(await (await fetch(`${url}/b`)).text()).toBe("/b");
});

test("a handler that rejects is answered with 500", async () => {
  const url = await served(nodeHandler(() => Promise.reject(new Error("no such secret"))));
  const response = await fetch(url);
  expect([response.status, await response.text()]).toEqual([500, expect.stringContaining("no such secret")]);
});

test("a body of unknown length is cut at the limit, answered, and its connection closed", async () => {
  const url = await served(callbackHandler({ secret: KEY }, () => "never"));
  const chunk = `100000\r\n${"x".repeat(0x100000)}\r\n`;
  const head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  const received = await exchange(url, head + chunk.repeat(6), /body_too_large/);
  expect(received).toMatch(/^HTTP\/1.1 413 .*connection: close.*body_too_large/is);
});

test("the job's signal aborts when the one who waits for the answer has gone, and not after an answer", async () => {
  const begun = gate<AbortSignal>();
  const end = gate();
  const url = await served(
    callbackHandler({ secret: KEY }, async ({ signal }) => {
      begun.open(signal);
      await end.opened;
    }),
  );
  const client = new AbortController();
  const request = fetch(url, { method: "POST", body: "{}", headers: signedHeaders("{}"), signal: client.signal });
  const failed = expect(request).rejects.toThrow(/abort/);
  const signal = await begun.opened;
  expect(signal.aborted).toBe(false);
  client.abort();
  await failed;
  if (!signal.aborted) await once(signal, "abort");
  end.open();

  const kept: AbortSignal[] = [];
  const quick = await served(
    callbackHandler({ secret: KEY }, ({ signal: one }) => {
      kept.push(one);
    }),
  );
  for (let i = 0; i < 3; i++) {
    await (await fetch(quick, { method: "POST", body: "{}", headers: signedHeaders("{}") })).text();
  }
  expect(kept.map(({ aborted }) => aborted)).toEqual([false, false, false]);
});
