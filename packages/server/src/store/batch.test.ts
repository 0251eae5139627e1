import { expect, test } from "vitest";
import { AGAIN, batchWriter } from "./batch.js";
import { isDisconnect } from "./outage.js";

/** A writer whose batches end when the test says so. */
function controlled<Result>(answer: (items: readonly number[]) => readonly (Result | typeof AGAIN)[], size = 100) {
  const batches: (readonly number[])[] = [];
  const gates: (() => void)[] = [];
  const writer = batchWriter<number, Result>(
    async (items) => {
      batches.push(items);
      await new Promise<void>((resolve) => gates.push(resolve));
      return answer(items);
    },
    { size, pause: () => Promise.resolve() },
  );
  return {
    writer,
    batches,
    /** Ends the batch that is under way. */
    end: async () => {
      while (gates.length === 0) await Promise.resolve();
      gates.shift()!();
    },
  };
}

test("one caller alone is a batch of one", async () => {
  const { writer, batches, end } = controlled((items) => items.map((n) => n * 2));
  const result = writer.write(21);
  await end();
  expect(await result).toBe(42);
  expect(batches).toEqual([[21]]);
});

test("what comes in while a batch is under way goes out together, in order", async () => {
  const { writer, batches, end } = controlled((items) => items);
  const first = writer.write(1);
  await Promise.resolve();
  const others = [2, 3, 4].map((n) => writer.write(n));
  await end();
  await end();
  expect(await Promise.all([first, ...others])).toEqual([1, 2, 3, 4]);
  expect(batches).toEqual([[1], [2, 3, 4]]);
});

test("a batch is never larger than its size", async () => {
  const { writer, batches, end } = controlled((items) => items, 2);
  const all = Promise.all([1, 2, 3, 4, 5].map((n) => writer.write(n)));
  for (let n = 0; n < 3; n++) await end();
  await all;
  expect(batches).toEqual([[1, 2], [3, 4], [5]]);
});

test("a batch that fails is halved until the culprit stands alone, and only he learns of it", async () => {
  const committed: number[] = [];
  const writer = batchWriter<number, number>(
    async (items) => {
      if (items.includes(6)) throw new Error("six");
      committed.push(...items);
      return items;
    },
    { size: 100 },
  );
  const settled = await Promise.allSettled(Array.from({ length: 10 }, (_, n) => writer.write(n)));
  expect(settled.flatMap((each, n) => (each.status === "rejected" ? [n] : []))).toEqual([6]);
  expect(committed).toEqual([0, 1, 2, 3, 4, 5, 7, 8, 9]);
});

test("an item in other hands goes into the next batch, and holds up nobody", async () => {
  let held = 3;
  const batches: (readonly number[])[] = [];
  const writer = batchWriter<number, string>(
    async (items) => {
      batches.push(items);
      return items.map((n) => (n === 2 && held-- > 0 ? AGAIN : `done ${n}`));
    },
    { size: 100, pause: () => Promise.resolve() },
  );
  const order: string[] = [];
  await Promise.all([1, 2, 3].map(async (n) => order.push(await writer.write(n))));
  expect(order).toEqual(["done 1", "done 3", "done 2"]);
  expect(batches).toEqual([[1, 2, 3], [2], [2], [2]]);
});

test("a batch that is in other hands as a whole pauses before the next", async () => {
  let pauses = 0;
  const writer = batchWriter<number, number>(async (items) => items.map((n) => (pauses < 3 ? AGAIN : n)), {
    size: 100,
    pause: async () => {
      pauses++;
    },
  });
  expect(await writer.write(7)).toBe(7);
  expect(pauses).toBe(3);
});

test("an item that stays in other hands fails in the end", async () => {
  const writer = batchWriter<number, number>(async (items) => items.map(() => AGAIN), {
    size: 100,
    pause: () => Promise.resolve(),
  });
  await expect(writer.write(1)).rejects.toThrow("stayed locked");
});

test("idle waits for everything that was handed in, also meanwhile", async () => {
  const { writer, end } = controlled((items) => items);
  const done: number[] = [];
  void writer.write(1).then((n) => done.push(n));
  const idle = writer.idle().then(() => [...done]);
  await end();
  void writer.write(2).then((n) => done.push(n));
  await end();
  expect(await idle).toEqual([1, 2]);
  await writer.idle();
});

test("a writer that failed works on", async () => {
  let broken = true;
  const writer = batchWriter<number, number>(
    async (items) => {
      if (broken) throw new Error("down");
      return items;
    },
    { size: 100 },
  );
  await expect(writer.write(1)).rejects.toThrow("down");
  broken = false;
  expect(await writer.write(2)).toBe(2);
});

test("a lost connection is everybody's trouble: nobody is asked again alone", async () => {
  let calls = 0;
  const lost = Object.assign(new Error("lost"), { code: "ECONNRESET" });
  const writer = batchWriter<number, number>(
    async () => {
      calls++;
      throw lost;
    },
    { size: 100, isEverybodys: isDisconnect },
  );
  const results = await Promise.allSettled([1, 2, 3, 4].map((n) => writer.write(n)));
  expect(results.every((result) => result.status === "rejected" && result.reason === lost)).toBe(true);
  expect(calls).toBe(1);
});
