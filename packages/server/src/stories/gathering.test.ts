/** Events that are gathered before a run begins: debounce and batch, over HTTP, with the clock in the test's hand. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

let aheadMs = 0;
/** Lets time go by; minutes, beside which a slow machine does not count. */
const pass = (minutes: number): Promise<void> => {
  aheadMs += minutes * 60_000;
  return server.shiftClock(aheadMs);
};

type Options = Parameters<typeof createFunction>[0];

/** A function whose result is what it was given. */
const gathering = (id: string, options: Partial<Options>) =>
  createFunction({ id, trigger: { event: `${id}.go` }, ...options }, ({ event, events }) => ({
    event: event.data.n,
    events: events.map((each) => each.data.n),
  }));

const send = async (id: string, n: unknown, more: object = {}) =>
  (await server.rotor.send({ name: `${id}.go`, data: { n, ...more } })).runs;
const sendAll = (id: string, ns: readonly unknown[]) =>
  server.rotor.send(ns.map((n) => ({ name: `${id}.go`, data: { n } })));
const run = (runId: string) => server.rotor.runs.get(runId);
const result = (runId: string) => server.rotor.runs.result(runId, { timeout: "15s" });

test("by debounce a run begins when nothing has come for the period, with the last event", async () => {
  await faultyApp(server, "calm", [gathering("calm", { debounce: { period: "10m" } })]);
  const [first] = await send("calm", 1);
  await pass(8);
  expect(await send("calm", 2)).toEqual([first]);
  await pass(8);
  expect(await send("calm", 3)).toEqual([first]);
  expect(await run(first!)).toMatchObject({ state: "waiting", reason: "delayed" });
  await pass(11);
  expect(await result(first!)).toEqual({ event: 3, events: [3] });
  const [second] = await send("calm", 4);
  expect(second).not.toBe(first);
  await pass(11);
  expect(await result(second!)).toEqual({ event: 4, events: [4] });
});

test("maxWait says how long a debounce may put a run off", async () => {
  await faultyApp(server, "most", [gathering("most", { debounce: { period: "10m", maxWait: "25m" } })]);
  const [first] = await send("most", 0);
  for (const n of [1, 2, 3]) {
    await pass(8);
    expect(await send("most", n)).toEqual([first]);
  }
  await pass(2);
  expect(await result(first!)).toEqual({ event: 3, events: [3] });
});

test("each value of its key is gathered for itself", async () => {
  const each = gathering("each", { debounce: { period: "10m", key: "data.account" } });
  await faultyApp(server, "each", [each]);
  const [a] = await send("each", 1, { account: "a" });
  const [b] = await send("each", 2, { account: "b" });
  expect(a).not.toBe(b);
  expect(await send("each", 3, { account: "a" })).toEqual([a]);
  await pass(11);
  expect(await result(a!)).toEqual({ event: 3, events: [3] });
  expect(await result(b!)).toEqual({ event: 2, events: [2] });
});

test("a batch begins when it is full, or when its time is over, with all of its events", async () => {
  await faultyApp(server, "three", [gathering("three", { batch: { size: 3, timeout: "10m" } })]);
  const sent = await sendAll("three", [1, 2, 3, 4]);
  const [one, two] = [sent[0]!.runs[0]!, sent[3]!.runs[0]!];
  expect(sent.map((each) => each.runs)).toEqual([[one], [one], [one], [two]]);
  expect(await result(one)).toEqual({ event: 1, events: [1, 2, 3] });
  expect(await send("three", 5)).toEqual([two]);
  await pass(9);
  expect(await run(two)).toMatchObject({ state: "waiting", reason: "delayed" });
  await pass(2);
  expect(await result(two)).toEqual({ event: 4, events: [4, 5] });
  const [three] = await send("three", 6);
  expect([await send("three", 7), await send("three", 8)]).toEqual([[three], [three]]);
  expect(await result(three!)).toEqual({ event: 6, events: [6, 7, 8] });
});

test("a batch that would not fit a delivery begins without the event that is too much", async () => {
  const large = createFunction(
    { id: "large", trigger: { event: "large.go" }, batch: { size: 1_000, timeout: "10m" } },
    ({ events }) => events.map((each) => each.data.n),
  );
  await faultyApp(server, "large", [large]);
  const text = "x".repeat(200_000);
  const runs: string[] = [];
  for (const n of [1, 2, 3, 4, 5, 6]) runs.push(...(await send("large", n, { text })));
  const [first, second] = [...new Set(runs)];
  expect(runs).toEqual([first, first, first, first, second, second]);
  expect(await result(first!)).toEqual([1, 2, 3, 4]);
  await pass(11);
  expect(await result(second!)).toEqual([5, 6]);
});

test("an event leads to its run, and an id that was sent before adds nothing", async () => {
  await faultyApp(server, "once", [gathering("once", { batch: { size: 3, timeout: "10m" } })]);
  const event = (id: string, n: number) => ({ name: "once.go", data: { n }, id });
  const [first] = (await server.rotor.send(event("once-1", 1))).runs;
  await server.rotor.send(event("once-2", 2));
  for (const id of ["once-1", "once-2"]) {
    expect(await server.rotor.send(event(id, 99))).toMatchObject({ runs: [first], duplicate: true });
    expect((await server.rotor.events.get(id)).started).toEqual([first]);
  }
  await pass(11);
  expect(await result(first!)).toEqual({ event: 1, events: [1, 2] });
});

test("a run that gathered and was cancelled takes no more; replayed, it has its events again", async () => {
  await faultyApp(server, "again", [gathering("again", { batch: { size: 10, timeout: "10m" } })]);
  const [first] = await send("again", 1);
  expect(await send("again", 2)).toEqual([first]);
  await server.rotor.runs.cancel(first!);
  const [second] = await send("again", 3);
  expect(second).not.toBe(first);
  const replayed = await server.rotor.runs.replay(first!);
  expect(await result(replayed.runId)).toEqual({ event: 1, events: [1, 2] });
  const other = await server.rotor.runs.replay(first!, { input: { n: 9 } });
  expect(await result(other.runId)).toEqual({ event: 9, events: [9] });
  await pass(11);
  expect(await result(second!)).toEqual({ event: 3, events: [3] });
});

test("what was gathered ends no wait of its run, and other events of that name do", async () => {
  const echo = createFunction(
    { id: "echo", trigger: { event: "echo.go" }, batch: { size: 2, timeout: "10m" } },
    async ({ step }) => (await step.waitForEvent<{ n: number }>("more", { event: "echo.go", timeout: "1h" }))?.n,
  );
  await faultyApp(server, "echo", [echo]);
  const sent = await sendAll("echo", [1, 2]);
  const runId = sent[0]!.runs[0]!;
  await eventually("it waits", async () => (await run(runId)).reason === "event");
  await send("echo", 3);
  expect(await result(runId)).toBe(3);
});

test("who starts a function that gathers starts it at once", async () => {
  const now = gathering("now", { batch: { size: 10, timeout: "1h" } });
  const parent = createFunction({ id: "now-parent" }, ({ step }) =>
    step.invoke("child", { workflow: "now", data: { n: 2 }, timeout: "1m" }),
  );
  await faultyApp(server, "now", [now, parent]);
  expect(await result((await server.rotor.runs.start(now, { n: 1 })).runId)).toEqual({ event: 1, events: [1] });
  expect(await result((await server.rotor.runs.start(parent, {})).runId)).toMatchObject({
    result: { event: 2, events: [2] },
  });
});

test("of a hundred events that come at once to batches of seven none is lost or doubled", async () => {
  await faultyApp(server, "crowd", [gathering("crowd", { batch: { size: 7, timeout: "10m" } })]);
  const sent = await Promise.all(Array.from({ length: 100 }, (_, n) => send("crowd", n)));
  const runs = [...new Set(sent.flat())];
  expect(runs).toHaveLength(15);
  await pass(11);
  const got = (await Promise.all(runs.map(result))) as { events: number[] }[];
  expect(got.flatMap((each) => each.events).sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, n) => n));
  expect(got.filter((each) => each.events.length === 7)).toHaveLength(14);
});

test("nothing of it is left when its runs are pruned and its function is deleted", async () => {
  await faultyApp(server, "gone", [gathering("gone", { debounce: { period: "10m" } })]);
  const [first] = await send("gone", 1);
  await send("gone", 2);
  await pass(11);
  await result(first!);
  const left = async (what: string) =>
    (await server.db.script(`select count(*)::int as count from rotor.${what} where job_id = '${first}'`)).rows[0]
      .count;
  expect(await left("batched")).toBe(1);
  await pass(9 * 24 * 60);
  await eventually("the pruner", async () => (await left("payloads")) === 0);
  expect([await left("batched"), await left("gatherings")]).toEqual([0, 0]);
});
