import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test, vi } from "vitest";
import { drainAtShutdown } from "./shutdown.js";

test("SIGTERM drains everything once; whoever else listens decides about the process", async () => {
  const other = vi.fn();
  process.on("SIGTERM", other);
  const before = process.listenerCount("SIGTERM");
  const drained = [1, 2].map(() => {
    let done = () => {};
    const called = new Promise<void>((resolve) => {
      done = resolve;
    });
    drainAtShutdown(async () => done());
    return called;
  });
  expect(process.listenerCount("SIGTERM")).toBe(before + 1);
  process.emit("SIGTERM");
  await Promise.all(drained);
  await vi.waitFor(() => expect(process.listenerCount("SIGTERM")).toBe(before));
  expect(other).toHaveBeenCalledTimes(1);
  process.off("SIGTERM", other);
});

test("SIGTERM ends the process only when the answers have left it", async () => {
  // A process listens once: this is another one.
  vi.resetModules();
  const { drainAtShutdown } = await import("./shutdown.js");
  const { nodeHandler } = await import("./adapters/node.js");
  const other = vi.fn();
  process.on("SIGTERM", other);
  const before = process.listenerCount("SIGTERM");
  let end = () => {};
  const body = new ReadableStream<Uint8Array>({
    start(stream) {
      stream.enqueue(new Uint8Array(1));
      end = () => stream.close();
    },
  });
  const server = createServer(nodeHandler(async () => new Response(body)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  let isDrained = false;
  drainAtShutdown(async () => {
    isDrained = true;
  });
  process.emit("SIGTERM");
  await vi.waitFor(() => expect(isDrained).toBe(true));
  // Longer than it waits for answers that it knows nothing of.
  await new Promise((resolve) => setTimeout(resolve, 250));
  expect(process.listenerCount("SIGTERM")).toBe(before + 1);
  end();
  expect((await response.arrayBuffer()).byteLength).toBe(1);
  await vi.waitFor(() => expect(process.listenerCount("SIGTERM")).toBe(before));
  process.off("SIGTERM", other);
  server.close();
});
