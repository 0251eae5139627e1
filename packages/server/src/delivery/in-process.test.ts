import { afterEach, expect, it } from "vitest";
import { deliver, type HttpRequest } from "./deliver.js";
import { publicOnly } from "./guard.js";
import { callInProcess, type InProcessApp, inProcessUrl } from "./in-process.js";
import { Pools } from "./pools.js";
import { Stop } from "./stop.js";

const request: HttpRequest = {
  url: inProcessUrl("default"),
  headers: { "x-a": "b" },
  body: '{"n":1.0}',
  timeoutMs: 5_000,
  maxBodyBytes: 20,
};

let pools: Pools | undefined;
afterEach(() => pools?.close());

/** A body whose pieces are the test's to give. */
function held() {
  let pieces!: ReadableStreamDefaultController<Uint8Array>;
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => {
      pieces = controller;
    },
  });
  const write = (text: string) => pieces.enqueue(new TextEncoder().encode(text));
  return { app: async () => new Response(stream), write, close: () => pieces.close() };
}

it("hands over the bytes and headers, and gives back status, headers and bytes", async () => {
  const app: InProcessApp = async (asked) =>
    new Response(`${asked.method} ${asked.headers.get("x-a")} ${await asked.text()}`, {
      status: 201,
      headers: { "x-c": "d" },
    });
  pools = new Pools({ policy: publicOnly, inProcess: new Map([[request.url, app]]) });
  const result = await deliver(pools, { ...request, maxBodyBytes: 100 });
  expect(result).toMatchObject({ kind: "answered", status: 201, headers: { "x-c": "d" }, truncated: false });
  expect(result.kind === "answered" && Buffer.from(result.body).toString()).toBe('POST b {"n":1.0}');
  const read = await deliver(pools, { ...request, method: "GET", body: "" });
  expect(read.kind === "answered" && Buffer.from(read.body).toString()).toBe("GET b ");
});

it("is never reached where this process has no such app, nor through a URL of that form", async () => {
  pools = new Pools({ policy: publicOnly });
  expect(await deliver(pools, request)).toMatchObject({
    kind: "unreached",
    reason: "refused",
    message: expect.stringContaining("started with its functions"),
  });
  const app: InProcessApp = async () => new Response("reached");
  await pools.close();
  pools = new Pools({ policy: publicOnly, inProcess: new Map([[request.url, app]]) });
  for (const url of ["inproc:other", "INPROC:default", "inproc://default", " inproc:default", "http://inproc:default/"])
    expect((await deliver(pools, { ...request, url })).kind).toBe("unreached");
});

it("cuts an answer that is too long, and lets go of the rest", async () => {
  const { app, write } = held();
  const result = callInProcess(app, request);
  write("x".repeat(30));
  expect(await result).toMatchObject({ kind: "answered", truncated: true });
});

it("ends in silence, but goes on as long as bytes come", async () => {
  const { app, write } = held();
  const result = callInProcess(app, { ...request, idleTimeoutMs: 60 });
  for (let n = 0; n < 4; n++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    write(" ");
  }
  expect(await result).toMatchObject({ kind: "timed-out", limit: "idle", head: { status: 200 } });
  const never: InProcessApp = () => new Promise(() => {});
  expect(await callInProcess(never, { ...request, timeoutMs: 5 })).toMatchObject({ kind: "timed-out", limit: "total" });
});

it("ends when it is aborted, before or within", async () => {
  const stop = new Stop();
  const { app, write } = held();
  const result = callInProcess(app, { ...request, stop });
  write(" ");
  stop.ask();
  expect((await result).kind).toBe("aborted");
  expect((await callInProcess(app, { ...request, stop })).kind).toBe("aborted");
});

it("is lost, not thrown, where the app throws", async () => {
  const app: InProcessApp = () => Promise.reject(new Error("broken"));
  expect(await callInProcess(app, request)).toMatchObject({ kind: "lost", message: expect.stringContaining("broken") });
});
