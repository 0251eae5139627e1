/** Waits for the first of several things: which part ends one, what it gets, and that the others go with it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  checkpointOne,
  claimAll,
  clearJobs,
  functionQueue,
  notYet,
  publishOne,
  ran,
  readSteps,
  settleOne,
  WORKSPACE,
  waitFor,
  waitForAny,
} from "../testing-kit/fixtures.js";
import { cancel, retry } from "./control.js";
import { violations } from "./invariants.js";
import { removeJobs } from "./prune.js";
import { publishRest } from "./publish.js";
import { completeSignal } from "./signals.js";

let database: TestDatabase;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  runs = await functionQueue(database.db);
});
beforeEach(() => clearJobs(database.db));
afterAll(async () => {
  await database.close();
});

const start = (data: unknown = {}) => activeRun(database.db, runs, data);
const send = (name: string, data: unknown = {}) => publishOne(database.db, name, data);
const stepsOf = (holder: { jobId: string }) => readSteps(database.db, holder.jobId);
const parts = async (): Promise<string[]> =>
  (await database.db.script("select name from rotor.watches order by job_id, key, place")).rows.map((row) => row.name);
const sound = async () => expect(await violations(database.db)).toEqual([]);

const PAID = { name: "paid", event: "order.paid", match: { id: 7 } };
const LATE = { name: "late", event: "order.late", match: "data.id == trigger.data.id" };
const STOP = { name: "stop", signal: "stop" };

describe("a wait for the first of several things", () => {
  test.each([
    ["an event", "order.paid", { id: 7, sum: 1 }, "paid"],
    ["an event whose condition speaks of the trigger", "order.late", { id: 7 }, "late"],
  ])("is ended by %s, with the part's name; the other parts go", async (_, event, data, name) => {
    const run = await start({ id: 7 });
    await checkpointOne(database.db, run, [waitForAny("w", [PAID, LATE, STOP])]);
    expect(await parts()).toEqual(["paid", "late", "stop"]);
    await send(event, { id: 8 });
    expect((await stepsOf(run)).w?.state).toBe("waiting");
    const { resumed, id } = await send(event, data);
    expect(resumed).toEqual([run.jobId]);
    expect((await stepsOf(run)).w).toMatchObject({ state: "completed", output: { name, data }, eventId: id });
    expect(await parts()).toEqual([]);
    await sound();
  });

  test("is ended by a signal, which then is free", async () => {
    const [run, other] = [await start(), await start()];
    await checkpointOne(database.db, run, [waitForAny("w", [PAID, STOP])]);
    expect(await completeSignal(database.db, WORKSPACE, "stop", '{"by":"me"}')).toEqual({
      kind: "resumed",
      runId: run.jobId,
    });
    expect((await stepsOf(run)).w?.output).toEqual({ name: "stop", data: { by: "me" } });
    expect(await completeSignal(database.db, WORKSPACE, "stop", "1")).toEqual({ kind: "nobody" });
    await checkpointOne(database.db, other, [waitForAny("w", [STOP])]);
    expect((await stepsOf(other)).w?.state).toBe("waiting");
    await sound();
  });

  test("gives null when its time is over", async () => {
    const run = await start();
    await checkpointOne(database.db, run, [waitForAny("w", [PAID, STOP], { timeout_ms: 1_000 })]);
    await settleOne(database.db, run, notYet());
    try {
      await database.shiftClock(2_000);
      await claimAll(database.db, runs);
      expect((await stepsOf(run)).w).toMatchObject({ state: "completed", output: null });
      expect(await parts()).toEqual([]);
      expect((await send("order.paid", { id: 7 })).resumed).toEqual([]);
    } finally {
      await database.shiftClock(0);
    }
  });

  test("of two parts that one event meets takes the first in the code", async () => {
    const run = await start();
    const both = [
      { name: "second by name", event: "ping", match: "data.n > 0" },
      { name: "first by name", event: "ping" },
    ];
    await checkpointOne(database.db, run, [waitForAny("w", both)]);
    await send("ping", { n: 1 });
    expect((await stepsOf(run)).w?.output).toEqual({ name: "second by name", data: { n: 1 } });
  });

  test("shares no event with another wait of its run", async () => {
    const run = await start();
    await checkpointOne(database.db, run, [
      waitForAny("first", [{ name: "a", event: "ping" }, STOP]),
      waitFor("second", "ping"),
    ]);
    await checkpointOne(database.db, run, [waitForAny("last", [{ name: "b", event: "ping" }])]);
    for (const n of [1, 2, 3]) await send("ping", { n });
    const steps = await stepsOf(run);
    expect([steps.first?.output, steps.second?.output, steps.last?.output]).toEqual([
      { name: "a", data: { n: 2 } },
      { n: 3 },
      { name: "b", data: { n: 1 } },
    ]);
    await sound();
  });

  test.each([
    ["one bad expression", [PAID, { name: "bad", event: "x", match: "data.(" }], "InvalidMatchError", /^bad: match/],
    ["one signal twice", [STOP, { name: "again", signal: "stop" }], "SignalTakenError", /stop/],
  ])("fails alone for %s, and holds nothing", async (_, given, error, message) => {
    const run = await start();
    await checkpointOne(database.db, run, [waitForAny("w", given), waitForAny("good", [PAID, STOP])]);
    const { w, good } = await stepsOf(run);
    expect([w?.state, w?.error?.name, good?.state]).toEqual(["failed", error, "waiting"]);
    expect(w?.error?.message).toMatch(message);
    expect(await parts()).toEqual(["paid", "stop"]);
  });

  test("and a wait for a signal cannot hold the same one", async () => {
    const [one, two, three] = [await start(), await start(), await start()];
    await checkpointOne(database.db, one, [waitForAny("w", [STOP])]);
    await checkpointOne(database.db, two, [{ kind: "signal", key: "w", signal: "stop", timeout_ms: 60_000 }]);
    expect((await stepsOf(two)).w?.error?.name).toBe("SignalTakenError");
    await completeSignal(database.db, WORKSPACE, "stop", "1");
    await checkpointOne(database.db, two, [{ kind: "signal", key: "again", signal: "stop", timeout_ms: 60_000 }]);
    await checkpointOne(database.db, three, [waitForAny("w", [PAID, STOP])]);
    expect((await stepsOf(three)).w?.error?.name).toBe("SignalTakenError");
  });

  test("that is reported again changes nothing", async () => {
    const run = await start();
    await checkpointOne(database.db, run, [waitForAny("w", [PAID, STOP])]);
    await checkpointOne(database.db, run, [waitForAny("w", [PAID, STOP])]);
    expect(await parts()).toEqual(["paid", "stop"]);
    await send("order.paid", { id: 7 });
    await checkpointOne(database.db, run, [waitForAny("w", [PAID, STOP])]);
    expect(await parts()).toEqual([]);
    await sound();
  });

  test("looks back: the earliest event that meets any part, by when it was received", async () => {
    const run = await start({ id: 7 });
    await send("order.paid", { id: 6 });
    const late = await send("order.late", { id: 7 });
    await send("order.paid", { id: 7 });
    await checkpointOne(database.db, run, [waitForAny("w", [PAID, LATE])]);
    expect((await stepsOf(run)).w).toMatchObject({
      output: { name: "late", data: { id: 7 } },
      eventId: late.id,
    });
    await checkpointOne(database.db, run, [
      waitForAny("next", [PAID, LATE]),
      waitForAny("now", [PAID], { since_ms: 0 }),
    ]);
    const { next, now } = await stepsOf(run);
    expect([next?.output, now?.state]).toEqual([{ name: "paid", data: { id: 7 } }, "waiting"]);
    expect(await parts()).toEqual(["paid"]);
    await sound();
  });

  test("looks back to the end of the step that it names, and no further", async () => {
    const run = await start({ id: 7 });
    await send("order.paid", { id: 7 });
    await checkpointOne(database.db, run, [ran("mark")]);
    await checkpointOne(database.db, run, [waitForAny("w", [PAID, LATE], { after: "mark" })]);
    expect((await stepsOf(run)).w?.state).toBe("waiting");
    await send("order.late", { id: 7 });
    expect((await stepsOf(run)).w?.output).toMatchObject({ name: "late" });
  });

  test("takes what came first of a kept signal and an event, and leaves the other", async () => {
    const run = await start({ id: 7 });
    await send("order.paid", { id: 7 });
    await completeSignal(database.db, WORKSPACE, "stop", "1", 60_000);
    await checkpointOne(database.db, run, [waitForAny("event", [STOP, PAID])]);
    await checkpointOne(database.db, run, [waitForAny("signal", [PAID, STOP])]);
    const { event, signal } = await stepsOf(run);
    expect([event?.output, signal?.output]).toEqual([
      { name: "paid", data: { id: 7 } },
      { name: "stop", data: 1 },
    ]);
    expect(await completeSignal(database.db, WORKSPACE, "stop", "2")).toEqual({ kind: "nobody" });
    expect(await parts()).toEqual([]);
  });
});

test("what came behind a kept signal is found by the wait after the next step", async () => {
  const run = await start();
  await checkpointOne(database.db, run, [ran("before")]);
  await completeSignal(database.db, WORKSPACE, "stop", "1", 60_000);
  await send("order.paid", { id: 7 });
  await checkpointOne(database.db, run, [waitForAny("first", [PAID, STOP])]);
  await checkpointOne(database.db, run, [ran("handle")]);
  await checkpointOne(database.db, run, [waitForAny("second", [PAID, STOP], { after: "first" })]);
  const { first, second } = await stepsOf(run);
  expect([first?.output, second?.output]).toEqual([
    { name: "stop", data: 1 },
    { name: "paid", data: { id: 7 } },
  ]);
});

describe("its parts leave", () => {
  test("when its run is cancelled, fails, or completes without it", async () => {
    const holders = [await start(), await start(), await start()];
    for (const [index, holder] of holders.entries())
      await checkpointOne(database.db, holder, [waitForAny("w", [PAID, { name: "s", signal: `s${index}` }])]);
    await cancel(database.db, [holders[0]!.jobId]);
    await settleOne(database.db, holders[1]!, { kind: "failed", final: true, error: { name: "E", message: "m" } });
    await settleOne(database.db, holders[2]!, { kind: "done", output: "1" });
    expect(await parts()).toEqual([]);
    expect((await stepsOf(holders[1]!)).w?.state).toBe("dropped");
    await sound();
    // Free for the run that is retried.
    await retry(database.db, [holders[1]!.jobId]);
    await claimAll(database.db, runs);
    await checkpointOne(database.db, { jobId: holders[1]!.jobId, delivery: 2 }, [waitForAny("w", [PAID, STOP])]);
    expect(await parts()).toEqual(["paid", "stop"]);
  });

  test("when its run is pruned", async () => {
    const run = await start();
    await checkpointOne(database.db, run, [waitForAny("w", [PAID])]);
    await database.db.transact((t) => removeJobs(t, [{ jobId: run.jobId, delivery: 1 }], true));
    expect(await parts()).toEqual([]);
  });
});

test("an event with more waits than one commit ends reaches the parts behind its cursor, each once", async () => {
  const { db } = database;
  const crowd = limits.effects + 20;
  await db.script(
    `insert into rotor.steps (job_id, key, kind, state, due_at, asked_at, asked, wait)
     select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'w', 'any', 'waiting', rotor.clock() + interval '1 h', rotor.clock(), 1, '{}'
       from generate_series(1, ${crowd}) n`,
  );
  const run = await start();
  await checkpointOne(db, run, [waitForAny("w", [{ name: "p", event: "ping" }])]);
  await db.script(
    `insert into rotor.watches (job_id, key, name, kind, wait_key, wait, asked_at)
     select job_id, 'w', 'p', 'event', (select wait_key from rotor.watches limit 1), '{"event":"ping"}', asked_at from rotor.steps where wait = '{}'`,
  );
  const { resumed } = await publishOne(db, "ping", { n: 1 }, { key: newId() });
  expect(resumed).toHaveLength(limits.effects);
  while (await publishRest(db));
  const left = await db.script("select count(*)::int as n from rotor.steps where state = 'waiting'");
  expect([left.rows[0].n, await parts()]).toEqual([0, []]);
});
