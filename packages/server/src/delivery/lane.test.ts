import type { Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { type DeliveryResult, deliver, type HttpRequest } from "./deliver.js";
import { parsePolicy } from "./guard.js";
import { Pools, type PoolsOptions } from "./pools.js";
import { Stop } from "./stop.js";
import { type RawServer, rawServer } from "./testing-kit/raw-server.js";

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const open: (Pools | RawServer)[] = [];

afterEach(async () => {
  for (const it of open.splice(0).reverse()) await it.close();
});

const newPools = (options: Partial<PoolsOptions>): Pools => {
  const pools = new Pools({ policy: parsePolicy("loopback"), ...options });
  open.push(pools);
  return pools;
};

const serve = async (answer: (socket: Socket, request: string, count: number) => void): Promise<RawServer> => {
  const server = await rawServer(answer);
  open.push(server);
  return server;
};

const post = (pools: Pools, url: string, more: Partial<HttpRequest> = {}): Promise<DeliveryResult> =>
  deliver(pools, { url, headers: {}, body: "{}", timeoutMs: 5_000, maxBodyBytes: 1_024, ...more });

/** A server that answers nobody until so many have asked. */
const barrier = (count: number): Promise<RawServer> => {
  const waiting: Socket[] = [];
  return serve((socket) => {
    waiting.push(socket);
    if (waiting.length === count) for (const each of waiting.splice(0)) each.write(ok);
  });
};

const many = (count: number, call: () => Promise<DeliveryResult>): Promise<DeliveryResult[]> =>
  Promise.all(Array.from({ length: count }, call));

it("short requests share a few connections", async () => {
  const pools = newPools({ connections: 3, patienceMs: 60_000 });
  const server = await serve((socket) => socket.write(ok));
  const results = await many(300, () => post(pools, server.url));
  expect(results.every(({ kind }) => kind === "answered")).toBe(true);
  expect(server.hits()).toBe(3);
});

it("long requests do not lock out others that they may be waiting for", async () => {
  const pools = newPools({ connections: 2, patienceMs: 5 });
  const server = await barrier(20);
  const results = await many(20, () => post(pools, server.url));
  expect(results.every(({ kind }) => kind === "answered")).toBe(true);
});

it("a request whose limit passes while it waits is unreached, and never sent", async () => {
  const pools = newPools({ connections: 1, patienceMs: 60_000 });
  const server = await barrier(1_000);
  const first = post(pools, server.url, { timeoutMs: 150 });
  const result = await post(pools, server.url, { timeoutMs: 50 });
  expect(result).toMatchObject({
    kind: "unreached",
    reason: "connect-timeout",
    message: expect.stringContaining("became free"),
  });
  expect(await first).toMatchObject({ kind: "timed-out" });
  expect(server.requests).toHaveLength(1);
});

it("a request that is aborted while it waits gives up its turn", async () => {
  const pools = newPools({ connections: 1, patienceMs: 60_000 });
  let release = (): void => undefined;
  const server = await serve((socket, _request, count) => {
    if (count === 1) release = () => socket.write(ok);
    else socket.write(ok);
  });
  const stop = new Stop();
  const first = post(pools, server.url, { idleTimeoutMs: 5_000 });
  const second = post(pools, server.url, { stop, body: "second" });
  const third = post(pools, server.url, { body: "third" });
  stop.ask();
  expect(await second).toMatchObject({ kind: "aborted" });
  while (server.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  release();
  expect((await first).kind).toBe("answered");
  expect((await third).kind).toBe("answered");
  expect(server.requests.join()).not.toContain("second");
});

it("closing aborts those that run and those that wait, and closes the connections", async () => {
  const pools = newPools({ connections: 2, patienceMs: 60_000 });
  let closed = 0;
  const server = await serve((socket, _request, count) => {
    socket.on("close", () => (closed += 1));
    if (count === 2) void pools.close();
  });
  const results = await many(10, () => post(pools, server.url));
  expect(results.every(({ kind }) => kind === "aborted")).toBe(true);
  expect(server.requests).toHaveLength(2);
  while (closed < 2) await new Promise((resolve) => setImmediate(resolve));
  await pools.close();
});

it("workspaces share no connection", async () => {
  const pools = newPools({ connections: 1 });
  const server = await serve((socket) => socket.write(ok));
  for (const workspace of ["a", "b", "a", "b"]) await post(pools, server.url, { workspace });
  expect(server.hits()).toBe(2);
});

it("the connections of the least recently used origin are closed, unless they are in use", async () => {
  const pools = newPools({ origins: 2 });
  const gone = new Set<string>();
  const named = (name: string): Promise<RawServer> =>
    serve((socket) => {
      socket.on("close", () => gone.add(name));
      socket.write(ok);
    });
  const [a, b, c] = await Promise.all([named("a"), named("b"), named("c")]);
  const busy = await barrier(2);
  const long = post(pools, busy.url);
  await post(pools, a.url);
  await post(pools, b.url);
  while (!gone.has("a")) await new Promise((resolve) => setImmediate(resolve));
  await post(pools, c.url);
  while (!gone.has("b")) await new Promise((resolve) => setImmediate(resolve));
  expect(gone).toEqual(new Set(["a", "b"]));
  await post(pools, busy.url);
  expect((await long).kind).toBe("answered");
});

it("calls go through at some speed", async () => {
  const pools = newPools({});
  const server = await serve((socket) => socket.write(ok));
  const body = "x".repeat(500);
  const total = 5_000;
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < total) {
      started += 1;
      expect((await post(pools, server.url, { body })).kind).toBe("answered");
    }
  };
  const before = performance.now();
  await Promise.all(Array.from({ length: 50 }, worker));
  const perSecond = Math.round((total / (performance.now() - before)) * 1_000);
  console.info(`${perSecond} calls a second over ${server.hits()} connections, both ends in one process`);
});

it("a request whose sender lost the right to send it while it waited is not sent", async () => {
  const pools = newPools({ connections: 1, patienceMs: 60_000 });
  let release = (): void => undefined;
  const server = await serve((socket, _request, count) => {
    if (count === 1) release = () => socket.write(ok);
    else socket.write(ok);
  });
  let isOver = false;
  const first = post(pools, server.url, { idleTimeoutMs: 5_000 });
  const second = post(pools, server.url, { stop: new Stop(() => isOver), body: "second" });
  const third = post(pools, server.url, { body: "third" });
  while (server.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  isOver = true;
  release();
  expect((await first).kind).toBe("answered");
  expect(await second).toMatchObject({ kind: "aborted" });
  expect((await third).kind).toBe("answered");
  expect(server.requests.join()).not.toContain("second");
});
