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
  await new Promise(setImmediate);
  expect(process.listenerCount("SIGTERM")).toBe(before);
  expect(other).toHaveBeenCalledTimes(1);
  process.off("SIGTERM", other);
});
