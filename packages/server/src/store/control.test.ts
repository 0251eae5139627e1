/** What a person decides: what it does beyond the move itself, which is in the table of transitions. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  callbackQueue,
  checkpointOne,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  failedWith,
  functionQueue,
  type Holder,
  newJob,
  notYet,
  publishOne,
  ran,
  readJob,
  readSteps,
  settleOne,
  storedRows,
  waitFor,
} from "../testing-kit/fixtures.js";
import { approve, cancel, cancelUnfinished, expirePatience, reject, retry } from "./control.js";
import { violations } from "./invariants.js";

const DAY = 86_400_000;

let database: TestDatabase;
let runs: number;
let approved: number;
beforeAll(async () => {
  database = await testDatabase();
  runs = await functionQueue(database.db);
  approved = (await callbackQueue(database.db, "approved", { approvalRequired: true })).id;
});
beforeEach(() => clearJobs(database.db));
afterAll(async () => {
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

/** A run that failed with a step that failed, one that was done, and a wait. */
async function failedRun(): Promise<Holder> {
  const { db } = database;
  const run = await activeRun(db, runs);
  await checkpointOne(db, run, [
    ran("done", 1),
    { kind: "run", key: "broken", attempt: 4, duration_ms: 1, outcome: "failed", error: { name: "E", message: "no" } },
    waitFor("wait", "ping"),
  ]);
  await settleOne(db, run, failedWith("no", true));
  return run;
}

test("an approved job starts when it was to start, not before", async () => {
  const { db } = database;
  const [now, later] = [newJob(approved), newJob(approved, { delayMs: 60_000 })];
  await enqueueAll(db, [now, later]);
  expect(await claimAll(db, approved)).toEqual([]);
  expect((await approve(db, [now.id, later.id])).sort()).toEqual([now.id, later.id].sort());
  expect((await claimAll(db, approved)).map((job) => job.jobId)).toEqual([now.id]);
  expect((await readJob(db, later.id)).dueInMs).toBeGreaterThan(50_000);
});

test("a rejected job that is retried asks again, and may be approved then", async () => {
  const { db } = database;
  const job = newJob(approved);
  await enqueueAll(db, [job]);
  await reject(db, [job.id], "not today");
  expect((await database.db.script("select error from rotor.deliveries")).rows[0].error).toContain("not today");
  expect(await retry(db, [job.id])).toEqual([job.id]);
  expect((await readJob(db, job.id)).state).toBe("pending_approval");
  await approve(db, [job.id]);
  expect((await claimAll(db, approved)).map((each) => each.jobId)).toEqual([job.id]);
});

test("a job that nobody decided about in time asks again when it is retried", async () => {
  const { db } = database;
  const job = newJob(approved);
  await enqueueAll(db, [job]);
  try {
    await database.shiftClock(8 * DAY);
    expect(await expirePatience(db)).toBe(1);
    await retry(db, [job.id]);
    const again = await readJob(db, job.id);
    expect([again.state, Math.round(again.dueInMs! / DAY)]).toEqual(["pending_approval", 7]);
  } finally {
    await database.shiftClock(0);
  }
});

test("a job that failed after it was approved does not ask again", async () => {
  const { db } = database;
  const job = newJob(approved);
  await enqueueAll(db, [job]);
  await approve(db, [job.id]);
  await settleOne(db, await claimOne(db, approved, job.id), failedWith("no", true));
  await retry(db, [job.id]);
  expect((await readJob(db, job.id)).state).toBe("waiting");
});

test("a second retry of one failure finds nothing to do, also at the same time", async () => {
  const { db } = database;
  const run = await failedRun();
  const moved = await Promise.all([retry(db, [run.jobId]), retry(db, [run.jobId]), retry(db, [run.jobId])]);
  expect(moved.flat()).toEqual([run.jobId]);
});

test("a retried run keeps what was done; what failed is told, and free to run again", async () => {
  const { db } = database;
  const run = await failedRun();
  await retry(db, [run.jobId]);
  expect(Object.keys(await readSteps(db, run.jobId))).toEqual(["done"]);
  expect((await storedRows(db)).past_steps).toHaveLength(1);
  const again = await claimOne(db, runs, run.jobId);
  expect([again.attempt, again.delivery]).toEqual([1, 2]);
  await checkpointOne(db, again, [ran("broken", 2)]);
  expect((await readSteps(db, run.jobId)).broken).toMatchObject({ state: "completed", output: 2, attempt: 1 });
});

test("a failed step that the code got by stays as it is; the one that it failed with, and those after it, are free", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  const broken = (key: string) => ({
    kind: "run" as const,
    key,
    attempt: 4,
    duration_ms: 1,
    outcome: "failed" as const,
    error: { name: "E", message: "no" },
  });
  await checkpointOne(db, run, [broken("caught"), ran("instead", 1), broken("fatal"), broken("beside")]);
  const error = { name: "StepError", message: "no", step: "fatal" };
  await settleOne(db, run, { kind: "failed", final: true, error });
  await retry(db, [run.jobId]);
  expect(Object.keys(await readSteps(db, run.jobId))).toEqual(["caught", "instead"]);
  expect((await storedRows(db)).past_steps).toHaveLength(2);
});

test("a run that fails and is retried again and again keeps each story", async () => {
  const { db } = database;
  const run = await failedRun();
  for (let n = 0; n < 2; n++) {
    await retry(db, [run.jobId]);
    const again = await claimOne(db, runs, run.jobId);
    await checkpointOne(db, again, [
      {
        kind: "run",
        key: "broken",
        attempt: 1,
        duration_ms: 1,
        outcome: "failed",
        error: { name: "E", message: `${n}` },
      },
    ]);
    await settleOne(db, again, failedWith("no", true));
  }
  await retry(db, [run.jobId]);
  expect((await storedRows(db)).past_steps).toHaveLength(3);
});

test("a cancelled run waits for nothing: an event, its child's end and its holder's answer find nobody", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  await checkpointOne(db, run, [
    waitFor("wait", "ping"),
    { kind: "invoke", key: "child", function: "function", data: 1, timeout_ms: 60_000 },
  ]);
  expect(await cancel(db, [run.jobId])).toEqual([run.jobId]);
  expect((await checkpointOne(db, run, [ran("late")])).verdict).toBe("cancelled");
  expect((await publishOne(db, "ping")).resumed).toEqual([]);
  const [child] = await claimAll(db, runs);
  const settled = await settleOne(db, { ...child!, attempt: 1, parentId: run.jobId }, { kind: "done", output: "1" });
  expect(settled).toMatchObject({ kind: "settled", resumed: [] });
  const steps = await readSteps(db, run.jobId);
  expect([steps.wait?.state, steps.child?.state, steps.late]).toEqual(["dropped", "dropped", undefined]);
});

test("a cancelled child tells its parent", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  await checkpointOne(db, run, [{ kind: "invoke", key: "child", function: "function", data: 1, timeout_ms: 60_000 }]);
  const [child] = await claimAll(db, runs);
  await settleOne(db, run, notYet());
  await cancel(db, [child!.jobId]);
  expect((await readSteps(db, run.jobId)).child?.error?.name).toBe("WorkflowCancelledError");
  expect((await readJob(db, run.jobId)).dueInMs).toBeLessThanOrEqual(0);
});

test("a parent and its child may be cancelled together", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  await checkpointOne(db, run, [{ kind: "invoke", key: "child", function: "function", data: 1, timeout_ms: 60_000 }]);
  const { count, last } = await cancelUnfinished(db);
  expect(count).toBe(2);
  expect(await cancelUnfinished(db, last)).toEqual({ count: 0, last: undefined });
  expect(await cancelUnfinished(db)).toEqual({ count: 0, last: undefined });
});

test("a cancel frees the slot that an active job held", async () => {
  const { db } = database;
  const queue = await callbackQueue(db, "one", { concurrency: 1 });
  const [first, second] = [newJob(queue.id), newJob(queue.id)];
  await enqueueAll(db, [first, second]);
  const [taken] = await claimAll(db, queue.id);
  expect(await claimAll(db, queue.id)).toEqual([]);
  await cancel(db, [taken!.jobId]);
  expect(await claimAll(db, queue.id)).toHaveLength(1);
});
