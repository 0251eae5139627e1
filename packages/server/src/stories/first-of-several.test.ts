/** Runs that wait for the first of several things, and runs that an event cancels. */
import { createFunction, defineEvent } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, expectTypeOf, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const inMs = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const waits = (runId: string, reason = "event") =>
  eventually("the wait", async () => (await server.rotor.runs.get(runId)).reason === reason);
const ended = async (runId: string) => {
  await eventually("the end", async () => (await server.rotor.runs.get(runId)).finishedAt !== null);
  return server.rotor.runs.get(runId);
};

const paid = defineEvent<{ order: string; sum: number }>("order.paid");

const order = createFunction({ id: "order" }, async ({ event, step }) => {
  const match = { order: event.data.order as string };
  const first = await step.waitForAny(
    "answer",
    { paid: { event: paid, match }, changed: { event: "order.changed", match }, refused: {} },
    { timeout: "7d" },
  );
  if (first?.name === "paid") expectTypeOf(first.data.sum).toEqualTypeOf<number>();
  return first;
});

test("a run goes on with whichever comes first, and knows which", async () => {
  await faultyApp(server, "orders", [order]);
  const start = async (name: string) => {
    const { runId } = await server.rotor.runs.start(order, { order: name });
    await waits(runId);
    return runId;
  };
  const [one, two, three, four] = [await start("1"), await start("2"), await start("3"), await start("4")];
  const sent = await server.rotor.send(paid({ order: "1", sum: 7 }));
  await server.rotor.send({ name: "order.changed", data: { order: "2" } });
  await server.rotor.signals.complete(`${three}/answer/refused`, { why: "no" });
  expect(await server.rotor.runs.result(one)).toEqual({ name: "paid", data: { order: "1", sum: 7 } });
  expect(await server.rotor.runs.result(two)).toEqual({ name: "changed", data: { order: "2" } });
  expect(await server.rotor.runs.result(three)).toEqual({ name: "refused", data: { why: "no" } });
  expect(await server.rotor.events.get(sent.id)).toMatchObject({ resumed: [one], started: [], cancelled: [] });
  const why = await server.rotor.jobs.why(four);
  expect(why.sentence).toMatch(
    /^It waits in answer for the first of paid \(the event order\.paid where .*\), changed \(.*\), refused \(the signal .*\/answer\/refused\); without it, it goes on in 7d/,
  );
  expect(why.nearMisses).toMatchObject([
    { part: "changed", differences: [{ path: "order", wanted: "4", found: "2" }] },
    { part: "paid", differences: [{ path: "order", wanted: "4", found: "1" }] },
  ]);
  try {
    await server.shiftClock(8 * 86_400_000);
    expect(await server.rotor.runs.result(four, { timeout: "20s" })).toBeNull();
  } finally {
    await server.shiftClock(0);
  }
});

test("of 100 runs whose event or signal comes at any moment, before the wait or after, none misses it", async () => {
  const begun = new Map<number, () => void>();
  const pair = createFunction({ id: "either" }, async ({ event, step }) => {
    const { n } = event.data as { n: number };
    await step.run("begin", () => begun.get(n)!());
    const parts = { event: { event: "either", match: { n } }, signal: { signal: `either ${n}` } };
    const first = await step.waitForAny("first", parts, { timeout: "1m" });
    const second = await step.waitForAny("second", parts, { timeout: "1m" });
    return [first, second].map((each) => each?.name).sort();
  });
  await faultyApp(server, "either", [pair]);
  const all = Array.from({ length: 100 }, async (_, n) => {
    const started = new Promise<void>((resolve) => begun.set(n, resolve));
    const { runId } = await server.rotor.runs.start(pair, { n });
    await started;
    await Promise.all([
      inMs(Math.random() * 200).then(() => server.rotor.send({ name: "either", data: { n } })),
      inMs(Math.random() * 200).then(() => server.rotor.signals.complete(`either ${n}`, n, { bufferFor: "1m" })),
    ]);
    return server.rotor.runs.result(runId, { timeout: "25s" });
  });
  expect(new Set((await Promise.all(all)).map((each) => JSON.stringify(each)))).toEqual(
    new Set(['["event","signal"]']),
  );
});

test("a loop over two kinds of events gets each of 60 once, though replies and answers are lost", async () => {
  const loop = createFunction({ id: "two-kinds", retries: 50 }, async ({ step }) => {
    const seen: string[] = [];
    while (seen.length < 60) {
      const parts = { odd: { event: "odd" }, even: { event: "even" } };
      const got = await step.waitForAny("next", parts, { timeout: "20s" });
      if (got === null) break;
      seen.push(`${got.name} ${got.data.n}`);
      if (seen.length % 3 !== 0) await step.run("handle", () => got.data.n);
    }
    return seen;
  });
  let fault = 0;
  await faultyApp(server, "two-kinds", [loop], {
    checkpoint: () => (++fault % 17 === 0 ? "lost" : fault % 11 === 0 ? "both" : "none"),
    delivery: () => (++fault % 13 === 0 ? "answer lost" : "none"),
  });
  const { runId } = await server.rotor.runs.start(loop, {});
  await waits(runId);
  for (let n = 0; n < 60; n++) await server.rotor.send({ name: n % 2 === 0 ? "even" : "odd", data: { n } });
  const seen = (await server.rotor.runs.result(runId, { timeout: "25s" })) as string[];
  const wanted = Array.from({ length: 60 }, (_, n) => `${n % 2 === 0 ? "even" : "odd"} ${n}`);
  expect(seen.toSorted()).toEqual(wanted.toSorted());
});

test("an event cancels the runs that name it, whether they wait or work, and both can be seen to say so", async () => {
  const seen: unknown[] = [];
  const cancelOn = [{ event: "order.cancelled", match: "data.id == trigger.data.id" }];
  const slow = createFunction({ id: "slow", cancelOn }, async ({ event, step }) => {
    if (event.data.works)
      await step.run(
        "work",
        ({ signal }) =>
          new Promise((resolve) => {
            signal.addEventListener("abort", () => resolve(seen.push(signal.reason)));
          }),
      );
    await step.waitForAny("w", { go: { event: "go" }, stop: {} }, { timeout: "1d" });
  });
  await faultyApp(server, "slow", [slow]);
  const { runId: waiting } = await server.rotor.runs.start(slow, { id: 7 });
  const { runId: working } = await server.rotor.runs.start(slow, { id: 7, works: true });
  const { runId: other } = await server.rotor.runs.start(slow, { id: 9 });
  await waits(waiting);
  await eventually("the work", async () => (await server.rotor.runs.get(working)).state === "active");
  expect(await server.rotor.send({ name: "order.cancelled", data: { id: 8 } })).not.toHaveProperty("warning");
  const sent = await server.rotor.send({ name: "order.cancelled", data: { id: 7 } });
  expect(sent).not.toHaveProperty("warning");
  for (const runId of [waiting, working])
    expect(await ended(runId)).toMatchObject({
      state: "cancelled",
      error: { message: `The event order.cancelled (${sent.id}) cancelled it.` },
    });
  const { cancelled } = await server.rotor.events.get(sent.id);
  expect(cancelled?.toSorted()).toEqual([waiting, working].toSorted());
  await waits(other);
  // At the next sign of life, within 5 s.
  await eventually("the end of the work", () => seen.length > 0);
});
