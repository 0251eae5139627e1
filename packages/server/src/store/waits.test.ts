/** Which event ends which wait: looking back, looking forward, and when time is over. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  checkpointOne,
  claimAll,
  clearJobs,
  enqueueAll,
  functionQueue,
  type Holder,
  newRun,
  notYet,
  publishOne,
  ran,
  readJob,
  readSteps,
  settleOne,
  WORKSPACE,
  waitFor,
} from "../testing-kit/fixtures.js";
import { loadHistories } from "./history.js";
import { violations } from "./invariants.js";
import { publish } from "./publish.js";

let database: TestDatabase;
let queueId: number;
beforeAll(async () => {
  database = await testDatabase();
  queueId = await functionQueue(database.db);
});
beforeEach(() => clearJobs(database.db));
afterAll(async () => {
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

const start = (data: unknown = {}) => activeRun(database.db, queueId, data);
const send = (data: unknown, name = "ping") => publishOne(database.db, name, data);
const report = (holder: Holder, ...reports: Parameters<typeof checkpointOne>[2]) =>
  checkpointOne(database.db, holder, reports);
/** What the wait got: the event's data; undefined while it waits. */
async function got(holder: Holder, key = "wait"): Promise<unknown> {
  const step = (await readSteps(database.db, holder.jobId))[key];
  return step?.state === "completed" ? step.output : undefined;
}

describe("a wait looks back", () => {
  test("over however many events that do not match", async () => {
    const run = await start();
    const others = Array.from({ length: 3 * limits.lookBack + 1 }, (_, n) => n);
    await publish(
      database.db,
      others.map((n) => ({ workspace: WORKSPACE, name: "ping", key: `other-${n}`, data: `{"n":${n}}` })),
    );
    await send({ n: -1 });
    await send({ n: -2 });
    await report(
      run,
      waitFor("wait", "ping", { match: "data.n < 0" }),
      waitFor("next", "ping", { match: "data.n < 0" }),
    );
    expect([await got(run), await got(run, "next")]).toEqual([{ n: -1 }, { n: -2 }]);
    expect(await got(run, "none")).toBeUndefined();
  });

  test("to an event that came before it was stored, and the run after its creation", async () => {
    const run = await start();
    await send(1);
    const { steps } = await report(run, waitFor("wait", "ping"));
    expect(steps).toMatchObject([{ key: "wait", state: "completed", output: 1 }]);
  });

  test("not to an event from before the run's creation, were it a microsecond", async () => {
    await send(1);
    const run = await start();
    const { db } = database;
    await db.script(
      "update rotor.events set received_at = (select created_at from rotor.payloads) - interval '1 microsecond'",
    );
    await report(run, waitFor("wait", "ping"));
    expect(await got(run)).toBeUndefined();
  });

  test("not to the event that started its run", async () => {
    const listening = await functionQueue(database.db, "listening", { triggers: [{ event: "go" }] });
    await send(1, "go");
    const [taken] = await claimAll(database.db, listening);
    const run: Holder = { ...taken!, attempt: 1, parentId: null };
    await report(run, waitFor("wait", "go", { since_ms: 60_000 }));
    expect(await got(run)).toBeUndefined();
  });

  test("to the earliest of those that match", async () => {
    const run = await start();
    for (const n of [1, 2, 3]) await send({ n, even: n % 2 === 0 });
    await report(run, waitFor("wait", "ping", { match: { even: true } }));
    expect(await got(run)).toMatchObject({ n: 2 });
  });

  test("and leaves what its run has consumed to others", async () => {
    const [run, other] = [await start(), await start()];
    await send(1);
    await report(run, waitFor("first", "ping"));
    await report(run, waitFor("second", "ping"));
    await report(other, waitFor("first", "ping"));
    expect([await got(run, "first"), await got(run, "second"), await got(other, "first")]).toEqual([1, undefined, 1]);
  });

  test("from where the step named `after` ended", async () => {
    const run = await start();
    await send("early");
    await report(run, ran("before"));
    await send("late");
    await report(run, waitFor("wait", "ping", { after: "before" }));
    expect(await got(run)).toBe("late");
  });

  test("over the time that the step before it took, since `after` names the one before that", async () => {
    const run = await start();
    await report(run, ran("ask"));
    await send("while mailing");
    await report(run, ran("mail"));
    await report(run, waitFor("wait", "ping", { after: "ask" }));
    expect(await got(run)).toBe("while mailing");
  });

  test("from the due time of a sleep, however late it was recorded", async () => {
    const run = await start();
    await report(run, { kind: "sleep", key: "nap", delay_ms: 1_000 });
    await send("while asleep");
    try {
      await database.shiftClock(5_000);
      await send("after it was due");
      await database.shiftClock(10_000);
      await report(run);
      await report(run, waitFor("wait", "ping", { after: "nap" }));
      expect(await got(run)).toBe("after it was due");
    } finally {
      await database.shiftClock(0);
    }
  });

  test("from when the event of a wait was received, to the microsecond", async () => {
    const run = await start();
    await send({ n: 1 });
    await send({ n: 2 });
    await send({ n: 3 });
    // All in one millisecond, as on a busy day.
    await database.db.script(
      `with first as (select date_trunc('milliseconds', min(received_at)) + interval '1 millisecond' as at from rotor.events)
       update rotor.events set received_at = first.at + (data::jsonb ->> 'n')::int * interval '100 microseconds' from first`,
    );
    await report(run, waitFor("first", "ping", { match: { n: 2 } }));
    await report(run, waitFor("second", "ping", { after: "first" }));
    expect(await got(run, "second")).toEqual({ n: 3 });
  });

  test("so that a loop of wait and handle misses nothing", async () => {
    const run = await start();
    for (let n = 1; n <= 3; n++) await send(n);
    const results: unknown[] = [];
    let [before, beforeThat]: (string | undefined)[] = [];
    for (let n = 1; n <= 3; n++) {
      await report(run, waitFor(`wait:${n}`, "ping", beforeThat === undefined ? {} : { after: beforeThat }));
      results.push(await got(run, `wait:${n}`));
      await report(run, ran(`handle:${n}`));
      [before, beforeThat] = [`handle:${n}`, `wait:${n}`];
    }
    expect(before).toBe("handle:3");
    expect(results).toEqual([1, 2, 3]);
  });

  test("as far as `since_ms` says: not at all, or to before the run", async () => {
    await send("before the run");
    const run = await start();
    await send("before the wait");
    await report(run, waitFor("now", "ping", { since_ms: 0 }), waitFor("long", "ping", { since_ms: 60_000 }));
    expect([await got(run, "now"), await got(run, "long")]).toEqual([undefined, "before the run"]);
  });
});

describe("of several waits in one run, an event ends one", () => {
  test("of those stored together, the first in the order of the code", async () => {
    const run = await start();
    await report(run, waitFor("b", "ping"), waitFor("a", "ping"));
    await send(1);
    expect([await got(run, "b"), await got(run, "a")]).toEqual([1, undefined]);
    await send(2);
    expect([await got(run, "b"), await got(run, "a")]).toEqual([1, 2]);
  });

  test("also where they look back", async () => {
    const run = await start();
    await send(1);
    await report(run, waitFor("b", "ping"), waitFor("a", "ping"));
    expect([await got(run, "b"), await got(run, "a")]).toEqual([1, undefined]);
  });

  test("the one stored last before an earlier one", async () => {
    const run = await start();
    await report(run, waitFor("early", "ping"));
    await report(run, waitFor("late", "ping"));
    await send(1);
    expect([await got(run, "early"), await got(run, "late")]).toEqual([undefined, 1]);
  });

  test("where the last does not match, the one before it", async () => {
    const run = await start();
    await report(run, waitFor("early", "ping"));
    await report(run, waitFor("late", "ping", { match: { n: 7 } }));
    await send({ n: 1 });
    expect([await got(run, "early"), await got(run, "late")]).toEqual([{ n: 1 }, undefined]);
  });

  test("where the last is past due, the one before it", async () => {
    const run = await start();
    await report(run, waitFor("early", "ping"));
    await report(run, waitFor("late", "ping", { timeout_ms: 1_000 }));
    try {
      await database.shiftClock(2_000);
      await send(1);
      expect([await got(run, "early"), await got(run, "late")]).toEqual([1, undefined]);
    } finally {
      await database.shiftClock(0);
    }
  });

  test("two events of one send end two waits", async () => {
    const run = await start();
    await report(run, waitFor("a", "ping"), waitFor("b", "ping"));
    await publish(
      database.db,
      ["1", "2"].map((data) => ({ workspace: WORKSPACE, name: "ping", key: data, data })),
    );
    expect([await got(run, "a"), await got(run, "b")]).toEqual([1, 2]);
  });
});

describe("time", () => {
  test("ends a wait when its run is claimed, and an event afterwards changes nothing", async () => {
    const run = await start();
    await report(run, waitFor("wait", "ping", { timeout_ms: 60_000 }));
    await settleOne(database.db, run, notYet());
    try {
      await database.shiftClock(60_500);
      expect(await claimAll(database.db, queueId)).toHaveLength(1);
      const [step] = (await loadHistories(database.db, [run.jobId])).get(run.jobId)!.steps;
      expect(step).toMatchObject({ key: "wait", state: "completed", output: "null" });
      const before = await readSteps(database.db, run.jobId);
      expect((await send(1)).resumed).toEqual([]);
      expect(await readSteps(database.db, run.jobId)).toEqual(before);
    } finally {
      await database.shiftClock(0);
    }
  });

  test("ends a signal and a child as errors", async () => {
    const run = await start();
    await report(
      run,
      { kind: "signal", key: "signal", signal: "s", timeout_ms: 1_000 },
      { kind: "invoke", key: "child", function: "function", data: null, timeout_ms: 1_000 },
    );
    try {
      await database.shiftClock(2_000);
      await report(run);
      const { signal, child } = await readSteps(database.db, run.jobId);
      expect([signal?.error?.name, child?.error?.name]).toEqual(["SignalTimeoutError", "WorkflowTimeoutError"]);
    } finally {
      await database.shiftClock(0);
    }
  });

  test("is not waited for by a run whose event came", async () => {
    const run = await start();
    await report(run, waitFor("wait", "ping", { timeout_ms: 60_000 }), waitFor("other", "pong"));
    await settleOne(database.db, run, notYet());
    expect(Math.abs((await readJob(database.db, run.jobId)).dueInMs! - 60_000)).toBeLessThan(10_000);
    await send(1);
    expect(await got(run)).toBe(1);
    expect((await readJob(database.db, run.jobId)).dueInMs).toBeLessThanOrEqual(0);
  });
});

test("a run that waits is resumed with its results in the order in which they came", async () => {
  const { db } = database;
  const run = newRun(queueId);
  await enqueueAll(db, [run]);
  const [taken] = await claimAll(db, queueId);
  const holder: Holder = { ...taken!, attempt: 1, parentId: null };
  await report(holder, waitFor("a", "ping"), waitFor("b", "pong"), ran("c"));
  await send(1, "pong");
  await send(2, "ping");
  expect(Object.keys(await readSteps(db, run.id))).toEqual(["c", "b", "a"]);
});
