/** How runs are started: singletons, idempotency keys, priorities, cancelOn; over HTTP, by every door. */
import { createFunction, defineEvent, WorkflowSkippedError } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const state = async (runId: string) => (await server.rotor.runs.get(runId)).state;
const waits = (runId: string) =>
  eventually(`${runId} to wait`, async () => (await server.rotor.runs.get(runId)).reason === "event");
const result = (runId: string) => server.rotor.runs.result(runId, { timeout: "15s" });

/** A function whose runs last until an event `end` of their account comes. */
const lasting = (id: string, options: object) =>
  createFunction({ id, trigger: { event: `${id}.go` }, ...options }, async ({ event, step }) => {
    const { account } = event.data as { account: string };
    await step.waitForEvent("end", { event: `${id}.end`, match: { account }, timeout: "1h" });
    return account;
  });

test("with mode skip a start does nothing while a run of its value is unfinished, by whichever door", async () => {
  const skip = lasting("skip", { singleton: { key: "data.account", mode: "skip" } });
  const parent = createFunction({ id: "skip-parent" }, async ({ step }) => {
    try {
      await step.invoke("child", { workflow: skip, data: { account: "a" }, timeout: "1h" });
    } catch (error) {
      return [error instanceof WorkflowSkippedError, (error as Error).message];
    }
    return "started";
  });
  await faultyApp(server, "skip", [skip, parent]);
  const first = await server.rotor.runs.start(skip, { account: "a" });
  expect(first).toEqual({ runId: expect.any(String) });
  await waits(first.runId);
  expect(await server.rotor.runs.start(skip, { account: "a" })).toEqual({ runId: first.runId, skipped: true });
  expect((await server.rotor.send({ name: "skip.go", data: { account: "a" } })).runs).toEqual([]);
  const { runId } = await server.rotor.runs.start(parent, {});
  expect(await result(runId)).toEqual([true, expect.stringContaining(first.runId)]);

  const other = await server.rotor.send({ name: "skip.go", data: { account: "b" } });
  expect(other.runs).toHaveLength(1);
  await server.rotor.send({ name: "skip.end", data: { account: "a" } });
  expect(await result(first.runId)).toBe("a");
  expect((await server.rotor.send({ name: "skip.go", data: { account: "a" } })).runs).toHaveLength(1);
});

test("with mode cancel a start ends the run that there is, and of several in one send the last is started", async () => {
  const cancel = lasting("cancel", { singleton: { mode: "cancel" } });
  await faultyApp(server, "cancel", [cancel]);
  const first = await server.rotor.runs.start(cancel, { account: "a" });
  await waits(first.runId);
  const second = await server.rotor.runs.start(cancel, { account: "b" });
  expect(await state(first.runId)).toBe("cancelled");
  const sent = await server.rotor.send(["c", "d"].map((account) => ({ name: "cancel.go", data: { account } })));
  expect(sent.map((each) => each.runs.length)).toEqual([0, 1]);
  expect(await state(second.runId)).toBe("cancelled");
  await waits(sent[1]!.runs[0]!);
  await server.rotor.send({ name: "cancel.end", data: { account: "d" } });
  expect(await result(sent[1]!.runs[0]!)).toBe("d");
});

test.each(["skip", "cancel"] as const)(
  "of ten starts at once with mode %s one is unfinished in the end",
  async (mode) => {
    const race = lasting(`race-${mode}`, { singleton: { key: "data.account", mode } });
    await faultyApp(server, `race-${mode}`, [race]);
    const starts = await Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        if (n % 2 === 0) return (await server.rotor.runs.start(race, { account: "a" })).runId;
        return (await server.rotor.send({ name: `race-${mode}.go`, data: { account: "a" } })).runs[0];
      }),
    );
    const ids = [...new Set(starts.filter((id) => id !== undefined))];
    const states = await Promise.all(ids.map(state));
    const open = states.filter((each) => each !== "cancelled");
    expect(open).toHaveLength(1);
    if (mode === "skip") expect(ids).toHaveLength(1);
  },
);

test("a run that would cancel itself for its child is told so", async () => {
  const self: ReturnType<typeof createFunction> = createFunction(
    { id: "self", singleton: { mode: "cancel" } },
    async ({ step }) => {
      const error = await step.invoke("again", { workflow: "self", data: {}, timeout: "1h" }).catch((thrown) => thrown);
      return [error.name, error.message];
    },
  );
  await faultyApp(server, "self", [self]);
  const { runId } = await server.rotor.runs.start(self, {});
  expect(await result(runId)).toEqual(["WorkflowSkippedError", expect.stringContaining("cancel this very run")]);
});

test("of two starts with one value of idempotencyKey the second does nothing, and null is no value", async () => {
  const charge = createFunction(
    { id: "charge", trigger: { event: "order" }, idempotencyKey: "data.order" },
    ({ event }) => event.data.order ?? null,
  );
  await faultyApp(server, "charge", [charge]);
  const [first] = (await server.rotor.send({ name: "order", data: { order: 7 } })).runs;
  expect((await server.rotor.send({ name: "order", data: { order: 7 } })).runs).toEqual([first]);
  expect(await server.rotor.runs.start(charge, { order: 7 })).toEqual({ runId: first });
  expect(await result(first!)).toBe(7);
  expect(await server.rotor.runs.start(charge, { order: 7 })).toEqual({ runId: first });
  const others = await Promise.all(
    [{ order: 8 }, {}, {}, { order: null }].map((data) => server.rotor.send({ name: "order", data })),
  );
  expect(new Set([first, ...others.flatMap((each) => each.runs)]).size).toBe(5);
});

test("an invoke whose idempotencyKey finds a run waits for that one, or has its result at once", async () => {
  let executed = 0;
  const shared = createFunction({ id: "shared", idempotencyKey: "data.of" }, async ({ event, step }) => {
    executed++;
    await step.waitForEvent("end", { event: "shared.end", timeout: "1h" });
    const { of } = event.data as { of: string };
    if (of === "bad") throw Object.assign(new Error("no good"), { name: "NonRetriableError" });
    return `done ${of}`;
  });
  const asking = createFunction({ id: "asking" }, async ({ event, step }) => {
    const { of } = event.data as { of: string };
    try {
      return await step.invoke("child", { workflow: shared, data: { of }, timeout: "1h" });
    } catch (error) {
      return (error as Error).name;
    }
  });
  await faultyApp(server, "shared-app", [shared, asking]);
  const direct = await server.rotor.runs.start(shared, { of: "a" });
  const parents = await Promise.all(
    ["a", "a", "a", "b", "b", "bad"].map((of) => server.rotor.runs.start(asking, { of })),
  );
  for (const { runId } of parents)
    await eventually("it waits", async () => (await server.rotor.runs.get(runId)).reason === "child");
  await eventually("three runs", () => executed >= 3);
  const early = await server.rotor.runs.list({ function: "shared" }).page();
  expect(early.data).toHaveLength(3);
  for (const run of early.data) await waits(run.id);
  await server.rotor.send({ name: "shared.end", data: {} });
  const ends = await Promise.all(parents.map(({ runId }) => result(runId)));
  const done = (of: string, runId: unknown = expect.any(String)) => ({ result: `done ${of}`, runId });
  expect(ends).toEqual([...Array(3).fill(done("a", direct.runId)), done("b"), done("b"), "WorkflowFailedError"]);
  expect((ends[3] as { runId: string }).runId).toBe((ends[4] as { runId: string }).runId);

  const late = await Promise.all(["a", "bad"].map((of) => server.rotor.runs.start(asking, { of })));
  expect(await result(late[0]!.runId)).toEqual(done("a", direct.runId));
  expect(await result(late[1]!.runId)).toBe("WorkflowFailedError");
});

test("who waits for a run that was there already learns that it was cancelled", async () => {
  const there = createFunction({ id: "there", idempotencyKey: "data.of" }, async ({ step }) => {
    await step.sleep("long", "1d");
  });
  const asks = createFunction({ id: "asks" }, async ({ step }) =>
    step.invoke("child", { workflow: "there", data: { of: 1 }, timeout: "2d" }).catch((error) => error.name),
  );
  await faultyApp(server, "there", [there, asks]);
  const { runId } = await server.rotor.runs.start(there, { of: 1 });
  const parent = await server.rotor.runs.start(asks, {});
  await eventually("it waits", async () => (await server.rotor.runs.get(parent.runId)).reason === "child");
  await server.rotor.runs.cancel(runId);
  expect(await result(parent.runId)).toBe("WorkflowCancelledError");
});

test("a run whose priority is higher begins before others that are due", async () => {
  const order: number[] = [];
  const urgent = createFunction(
    { id: "urgent", trigger: { event: "work" }, concurrency: 1, priority: "data.priority" },
    ({ event }) => void order.push(event.data.n),
  );
  await faultyApp(server, "urgent", [urgent]);
  await server.rotor.functions.pause("urgent");
  const priorities = [0, 50, -1, 10.6, "no number"];
  await server.rotor.send(priorities.map((priority, n) => ({ name: "work", data: { n, priority } })));
  // A negative one is due so many seconds later.
  await server.shiftClock(2_000);
  await server.rotor.functions.resume("urgent");
  await eventually("all of them", () => order.length === priorities.length);
  expect(order).toEqual([1, 3, 0, 4, 2]);
});

test("cancelOn stores what it looks for with the run, by its own event", async () => {
  const cancelled = defineEvent<{ id: number }>("order.cancelled");
  const ship = createFunction(
    {
      id: "ship",
      trigger: { event: "order.placed" },
      cancelOn: [{ event: cancelled, match: "data.id == trigger.data.id", timeout: "1h" }, { event: "stop.all" }],
    },
    async ({ step }) => void (await step.sleep("z", "1d")),
  );
  await faultyApp(server, "ship", [ship]);
  const [run] = (await server.rotor.send({ name: "order.placed", data: { id: 7 } })).runs;
  const { runId } = await server.rotor.runs.start(ship, { id: 8 });
  const { rows } = await server.db.script(
    `select job_id as id, name, wait ->> 'event' as event, wait -> 'trigger' -> 'data' ->> 'id' as of,
            round(extract(epoch from until - asked_at)) as seconds from rotor.watches where key = '' order by job_id, name`,
  );
  const seconds = (value: unknown) => (value === null ? null : Number(value));
  expect(rows.map((row) => ({ ...row, seconds: seconds(row.seconds) }))).toEqual(
    [
      { id: run, of: "7" },
      { id: runId, of: "8" },
    ].flatMap(({ id, of }) => [
      { id, name: "0", event: "order.cancelled", of, seconds: 3_600 },
      { id, name: "1", event: "stop.all", of: null, seconds: null },
    ]),
  );
});

test("an event cancels what another one before it in the same list has started, and nothing that comes after it", async () => {
  const pack = createFunction(
    {
      id: "pack",
      trigger: { event: "pack" },
      singleton: { key: "data.id", mode: "skip" },
      cancelOn: [{ event: "unpack", match: "data.id == trigger.data.id" }],
    },
    async ({ step }) => void (await step.sleep("z", "1d")),
  );
  await faultyApp(server, "pack", [pack]);
  const list = [
    { name: "unpack", data: { id: 1 } },
    { name: "pack", data: { id: 1 } },
    { name: "pack", data: { id: 2 } },
    { name: "pack", data: { id: 1 } },
    { name: "unpack", data: { id: 3 } },
    { name: "unpack", data: { id: 1 } },
    { name: "pack", data: { id: 1 } },
  ];
  const sent = await server.rotor.send(list);
  // The second of them found the first one's run, which ended with the list; the last one began anew.
  expect(sent.map(({ runs }) => runs.length)).toEqual([0, 1, 1, 0, 0, 0, 1]);
  const states = sent.flatMap(({ runs }) => runs).map(async (run) => (await server.rotor.runs.get(run)).state);
  const [first, ...others] = await Promise.all(states);
  expect(first).toBe("cancelled");
  expect(others).not.toContain("cancelled");
});

test("a schedule's tick is a start as any", async () => {
  const nightly = createFunction(
    { id: "nightly", trigger: { cron: "0 3 * * *", timezone: "UTC" }, singleton: { mode: "skip" } },
    async ({ step }) => void (await step.waitForEvent("end", { event: "nightly.end", timeout: "30d" })),
  );
  await faultyApp(server, "nightly", [nightly]);
  const [schedule] = (await server.rotor.schedules.list().page()).data;
  const first = await server.rotor.schedules.run(schedule!.name);
  await waits(first.id);
  expect(await server.rotor.schedules.run(schedule!.name)).toMatchObject({ id: first.id });
  await server.shiftClock(86_400_000);
  await eventually("the tick", async () => (await server.rotor.schedules.get(schedule!.name)).lastAt !== null);
  expect((await server.rotor.runs.list({ function: "nightly" }).page()).data).toHaveLength(1);
  await server.rotor.send({ name: "nightly.end", data: {} });
  await server.rotor.runs.result(first.id, { timeout: "15s" });
});

test("a function tells how its runs are started, and one that cannot work is refused by the server, too", async () => {
  const all = createFunction(
    {
      id: "all",
      trigger: { event: "all" },
      concurrency: [{ limit: 5 }, { limit: 1, key: "data.account" }],
      rateLimit: { limit: 10, period: "1m" },
      debounce: { period: "5s", maxWait: "1m" },
      timeout: "2h",
      cancelOn: [{ event: "no", match: { id: 1 } }],
      onFailure: () => {},
    },
    () => 1,
  );
  await faultyApp(server, "all", [all]);
  expect(await server.rotor.functions.get("all")).toMatchObject({
    concurrency: 5,
    concurrencyKeys: [{ limit: 1, key: "data.account" }],
    rateLimit: { limit: 10, period: "1m" },
    debounce: { period: "5s", maxWait: "1m" },
    timeout: "2h",
    cancelOn: [{ event: "no", match: { id: 1 } }],
    onFailure: "all.on-failure",
  });
  expect(await server.rotor.functions.get("all.on-failure")).toMatchObject({ triggers: [], concurrency: 100 });
  const wrong = createFunction({ id: "wrong", trigger: { event: "x" }, priority: "data.a +" }, () => 1);
  await expect(faultyApp(server, "wrong", [wrong])).rejects.toThrow(/The function wrong: priority "data.a \+"/);
  const unknown = createFunction({ id: "wrong", idempotencyKey: "trigger.data.id" }, () => 1);
  await expect(faultyApp(server, "wrong", [unknown])).rejects.toThrow(/idempotency_key "trigger.data.id"/);
});
