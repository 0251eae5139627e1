/** A failed run starts the run of its function's `onFailure`: once, in the same commit, however it failed. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  checkpointOne,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  failedWith,
  functionQueue,
  type Holder,
  newRun,
  notYet,
  readJob,
  settleOne,
  waitFor,
} from "../testing-kit/fixtures.js";
import { lostReplyDb } from "../testing-kit/mutants.js";
import { cancel, expirePatience, reject, retry } from "./control.js";
import { type Db, openDb } from "./db.js";
import { endLate } from "./deadlines.js";
import { violations } from "./invariants.js";
import { registerNode } from "./nodes.js";
import { readFailureRun } from "./on-failure.js";
import { expireOverdue, rescueDead } from "./rescue.js";
import { listJobs } from "./views.js";

const MINUTE = 60_000;

let database: TestDatabase;
let db: Db;
let orders: number;
let handler: number;
beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  orders = await functionQueue(db, "orders");
  handler = await functionQueue(db, "orders.on-failure");
  await db.script(
    `update rotor.queues set starting = '{"on_failure":"orders.on-failure"}' where id in (${orders}, ${handler})`,
  );
});
beforeEach(async () => {
  await clearJobs(db);
  await database.shiftClock(0);
});
afterAll(async () => {
  expect(await violations(db)).toEqual([]);
  await database.close();
});

/** The runs of the handler, the oldest first. */
const handled = async () => {
  const runs = await listJobs(db, "default", { kind: "function", queue: "orders.on-failure" }, 100);
  return runs.reverse().map((run) => ({ ...run, event: JSON.parse(run.body.toString()) }));
};

const threw = (step?: string) => ({
  kind: "failed" as const,
  final: true,
  error: { name: "StepError", message: "no card", ...(step !== undefined && { step }) },
});

test("it gets the error, the event, the run, its function and the failed step", async () => {
  const run = await activeRun(db, orders, { order: 7 });
  const { resumed } = (await settleOne(db, run, threw("charge"))) as { resumed: readonly string[] };
  const [started] = await handled();
  expect(started).toMatchObject({
    parentId: run.jobId,
    state: "waiting",
    event: {
      id: started!.id,
      name: "rotor/run.failed",
      data: {
        error: { name: "StepError", message: "no card", step: "charge" },
        event: { name: "test/started", data: { order: 7 } },
        run_id: run.jobId,
        function: "orders",
        failed_step: "charge",
      },
    },
  });
  expect(Math.abs(started!.event.ts - Date.now())).toBeLessThan(MINUTE);
  expect(resumed).toEqual([started!.id]);
  expect(await readFailureRun(db, run.jobId)).toBe(started!.id);
  expect((await claimAll(db, handler)).map((each) => each.jobId)).toEqual([started!.id]);
});

describe("a run that fails", () => {
  const ways: Readonly<Record<string, () => Promise<string>>> = {
    "outside a step": async () => {
      const run = await activeRun(db, orders);
      await settleOne(db, run, failedWith("no", true));
      return run.jobId;
    },
    "by its deadline": async () => {
      const run = newRun(orders, {}, { deadlineMs: MINUTE });
      await enqueueAll(db, [run]);
      await database.shiftClock(2 * MINUTE);
      await endLate(db);
      return run.id;
    },
    "since its node died again and again": async () => {
      const nodeId = newId();
      await registerNode(db, nodeId, "dead");
      const run = await activeRun(db, orders, {}, nodeId);
      await db.script(`update rotor.jobs set rescues = 5 where id = '${run.jobId}'`);
      await database.shiftClock(MINUTE);
      await rescueDead(db);
      return run.jobId;
    },
    "since nothing is heard of its last attempt": async () => {
      const run = await activeRun(db, orders);
      await db.script(`update rotor.jobs set attempt = 4 where id = '${run.jobId}'`);
      await database.shiftClock(11 * MINUTE);
      await expireOverdue(db, () => 0);
      return run.jobId;
    },
    "held for too long": async () => {
      const run = await activeRun(db, orders);
      await settleOne(db, run, { kind: "diverged", error: { name: "DivergedError", message: "" } });
      await database.shiftClock(31 * 24 * 60 * MINUTE);
      await expirePatience(db);
      return run.jobId;
    },
    "by a person's no": async () => {
      await db.script(`update rotor.queues set approval_required = true where id = ${orders}`);
      const run = newRun(orders);
      await enqueueAll(db, [run]);
      await reject(db, [run.id], "no");
      await db.script(`update rotor.queues set approval_required = false where id = ${orders}`);
      return run.id;
    },
  };
  test.each(Object.entries(ways))("%s starts it", async (_way, fail) => {
    const runId = await fail();
    expect((await readJob(db, runId)).state).toBe("failed");
    expect((await handled()).map((run) => [run.parentId, run.event.data.failed_step])).toEqual([[runId, null]]);
  });
});

test("a run that is cancelled, completed or tried again starts none", async () => {
  const one = await activeRun(db, orders);
  await cancel(db, [one.jobId]);
  await settleOne(db, await activeRun(db, orders), { kind: "done", output: "1" });
  await settleOne(db, await activeRun(db, orders), failedWith("not now"));
  await settleOne(db, await activeRun(db, orders), notYet([waitFor("wait", "ping")]));
  expect(await handled()).toEqual([]);
});

test("a reply that is lost, and a settle that is repeated, start it once", async () => {
  const run = await activeRun(db, orders);
  await expect(settleOne(lostReplyDb(db), run, threw("charge"))).rejects.toThrow();
  await settleOne(db, run, threw("charge"));
  expect(await handled()).toHaveLength(1);
});

test("each failure of a run that is retried has its own", async () => {
  const run = await activeRun(db, orders);
  await settleOne(db, run, threw("charge"));
  await retry(db, [run.jobId]);
  expect(await readFailureRun(db, run.jobId)).toBeNull();
  await settleOne(db, await claimOne(db, orders, run.jobId), threw("charge"));
  const runs = await handled();
  expect(runs).toHaveLength(2);
  expect(await readFailureRun(db, run.jobId)).toBe(runs[1]!.id);
});

test("a run that handles a failure and fails starts none, although its function names one", async () => {
  await settleOne(db, await activeRun(db, orders), threw());
  const [started] = await handled();
  await settleOne(db, await claimOne(db, handler, started!.id), threw());
  expect(await handled()).toHaveLength(1);
});

test("a function that is not there is named in the server's log, and nothing else fails", async () => {
  const lonely = await functionQueue(db, "lonely");
  await db.script(`update rotor.queues set starting = '{"on_failure":"gone"}' where id = ${lonely}`);
  const said: string[] = [];
  const warned = openDb({ url: database.url, schema: db.schema, onWarning: (message) => said.push(message) });
  try {
    const run: Holder = await activeRun(db, lonely);
    expect((await settleOne(warned, run, threw())).kind).toBe("settled");
    expect(said).toEqual([expect.stringMatching(new RegExp(`${run.jobId} of default/lonely failed.*function gone`))]);
  } finally {
    await warned.close();
  }
});

test("a parent that waits for the failed run is told, too", async () => {
  const parents = await functionQueue(db, "parents");
  const parent = await activeRun(db, parents);
  await checkpointOne(db, parent, [
    { kind: "invoke", key: "child", function: "orders", data: 1, timeout_ms: 60 * MINUTE },
  ]);
  await settleOne(db, parent, notYet());
  const [child] = await claimAll(db, orders);
  await settleOne(
    db,
    { jobId: child!.jobId, delivery: 1, attempt: 1, parentId: parent.jobId, kind: "function" },
    threw("charge"),
  );
  expect((await readJob(db, parent.jobId)).dueInMs).toBeLessThanOrEqual(0);
  expect(await handled()).toHaveLength(1);
});
