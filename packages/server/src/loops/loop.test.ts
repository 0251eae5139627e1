import { expect, test } from "vitest";
import { createLoop } from "./loop.js";

/** A promise, and the way to resolve it. */
function signal(): { promise: Promise<void>; give: () => void } {
  let give = (): void => undefined;
  const promise = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { promise, give };
}

const HOUR_MS = 3_600_000;
const fail = (error: unknown): void => expect.unreachable(String(error));

test("a wake during a tick makes another tick follow at once", async () => {
  const second = signal();
  let ticks = 0;
  const loop = createLoop({
    onError: fail,
    tick: async () => {
      if (++ticks === 1) loop.wake();
      else second.give();
      return HOUR_MS;
    },
  });
  loop.start();
  await second.promise;
  await loop.stop();
  expect(ticks).toBe(2);
});

test("a wake while it sleeps cuts the sleep", async () => {
  const began = [signal(), signal()];
  let ticks = 0;
  const loop = createLoop({
    onError: fail,
    tick: async () => {
      began[ticks++]!.give();
      return HOUR_MS;
    },
  });
  loop.start();
  await began[0]!.promise;
  // The sleep begins in the turn after the tick.
  await new Promise(setImmediate);
  loop.wake();
  await began[1]!.promise;
  await loop.stop();
});

test("stop waits for the tick in hand, and twice is harmless", async () => {
  const begun = signal();
  const may = signal();
  let ended = false;
  const loop = createLoop({
    onError: fail,
    tick: async () => {
      begun.give();
      await may.promise;
      ended = true;
      return 0;
    },
  });
  loop.start();
  await begun.promise;
  const stopped = Promise.all([loop.stop(), loop.stop()]);
  expect(ended).toBe(false);
  may.give();
  await stopped;
  expect(ended).toBe(true);
  await loop.stop();
});

test("a loop that was never started stops, and does not start after that", async () => {
  const loop = createLoop({ onError: fail, tick: () => expect.unreachable() });
  await loop.stop();
  loop.start();
  await loop.stop();
});

test("a tick that throws is reported and tried again", async () => {
  const again = signal();
  const errors: unknown[] = [];
  let ticks = 0;
  const loop = createLoop({
    retryMs: 1,
    onError: (error) => errors.push(error),
    tick: async () => {
      if (++ticks === 1) throw new Error("once");
      again.give();
      return HOUR_MS;
    },
  });
  loop.start();
  await again.promise;
  await loop.stop();
  expect(errors).toEqual([new Error("once")]);
});

test("a wake does not make a failed tick come sooner, and stop does not wait for the pause", async () => {
  const failed = signal();
  let ticks = 0;
  const loop = createLoop({
    retryMs: HOUR_MS,
    onError: () => failed.give(),
    tick: async () => {
      ticks++;
      loop.wake();
      throw new Error("the database is away");
    },
  });
  loop.start();
  await failed.promise;
  await new Promise(setImmediate);
  loop.wake();
  await new Promise(setImmediate);
  await loop.stop();
  expect(ticks).toBe(1);
});
