/** What a run's time limit does beyond the move itself, which is in the table of transitions. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  callbackQueue,
  checkpointOne,
  claimOne,
  clearJobs,
  enqueueAll,
  failedWith,
  functionQueue,
  newJob,
  newRun,
  notYet,
  publishOne,
  ran,
  readJob,
  readSteps,
  settleOne,
  waitFor,
} from "../testing-kit/fixtures.js";
import { inOrder, race, value, without } from "../testing-kit/races.js";
import { retry } from "./control.js";
import type { Db } from "./db.js";
import { endLate } from "./deadlines.js";
import { violations } from "./invariants.js";
import { listDeliveries, listJobs } from "./views.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let database: TestDatabase;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  runs = await functionQueue(database.db);
});
beforeEach(async () => {
  await clearJobs(database.db);
  await database.shiftClock(0);
});
afterAll(() => database.close());

/** A claimed run that may take an hour. */
async function limited(db: Db, more: Parameters<typeof newRun>[2] = {}) {
  const run = newRun(runs, {}, { deadlineMs: HOUR, ...more });
  await enqueueAll(db, [run]);
  return claimOne(db, runs, run.id);
}

const lastError = async (jobId: string) =>
  JSON.parse((await listDeliveries(database.db, jobId)).at(-1)?.error ?? "null");

test("a delay before the run does not count", async () => {
  const { db } = database;
  const run = newRun(runs, {}, { deadlineMs: HOUR, delayMs: 2 * HOUR });
  await enqueueAll(db, [run]);
  await database.shiftClock(2 * HOUR + 59 * MINUTE);
  expect(await endLate(db)).toBe(0);
  await database.shiftClock(3 * HOUR + MINUTE);
  expect(await endLate(db)).toBe(1);
  expect((await readJob(db, run.id)).state).toBe("failed");
});

test("a run without a time limit, and one that has ended, are left alone", async () => {
  const { db } = database;
  const run = await limited(db);
  await settleOne(db, run, { kind: "done", output: "1" });
  await enqueueAll(db, [newRun(runs)]);
  await database.shiftClock(2 * HOUR);
  expect(await endLate(db)).toBe(0);
});

test("its waits are dropped, its holder is told, and the error names the limit", async () => {
  const { db } = database;
  const run = await limited(db);
  await checkpointOne(db, run, [waitFor("wait", "ping", { timeout_ms: 5 * HOUR })]);
  await database.shiftClock(HOUR + MINUTE);
  expect(await endLate(db)).toBe(1);
  expect(await lastError(run.jobId)).toEqual({
    name: "RunTimeoutError",
    message: "The run did not end within 1h, the timeout of its function.",
  });
  expect((await checkpointOne(db, run, [ran("late", 1)])).verdict).toBe("stale");
  expect(await settleOne(db, run, { kind: "done", output: "1" })).toEqual({ kind: "stale" });
  expect((await publishOne(db, "ping")).resumed).toEqual([]);
  expect((await readSteps(db, run.jobId)).wait).toMatchObject({ state: "dropped" });
  expect(await violations(db)).toEqual([]);
});

test("a parent that waits for it gets the error as a failure's cause", async () => {
  const { db } = database;
  const queueId = await functionQueue(db, "parents");
  const parent = newRun(queueId);
  await enqueueAll(db, [parent]);
  const holder = await claimOne(db, queueId, parent.id);
  await checkpointOne(db, holder, [
    { kind: "invoke", key: "child", function: "function", data: 1, timeout_ms: 5 * HOUR },
  ]);
  await settleOne(db, holder, notYet());
  await db.script(`update rotor.jobs set deadline_at = rotor.clock() + interval '1 hour' where parent_id = '${parent.id}';
                   update rotor.payloads set deadline_ms = 3600000 where queue_id = ${runs}`);
  await database.shiftClock(HOUR + MINUTE);
  expect(await endLate(db)).toBe(1);
  expect((await readSteps(db, parent.id)).child).toMatchObject({
    state: "failed",
    error: { name: "WorkflowFailedError", cause: { name: "RunTimeoutError" } },
  });
  expect((await readJob(db, parent.id)).dueInMs).toBeLessThanOrEqual(0);
});

test("a retried run may take as long again", async () => {
  const { db } = database;
  const run = await limited(db);
  await database.shiftClock(3 * HOUR);
  await endLate(db);
  expect(await retry(db, [run.jobId])).toEqual([run.jobId]);
  await database.shiftClock(4 * HOUR - MINUTE);
  expect(await endLate(db)).toBe(0);
  await database.shiftClock(4 * HOUR + MINUTE);
  expect(await endLate(db)).toBe(1);
});

test("the turn of its key passes on in the same commit", async () => {
  const { db } = database;
  const { id: queueId } = await callbackQueue(db, "keyed");
  const [first, second] = [
    newJob(queueId, { deadlineMs: HOUR, concurrencyKey: "k" }),
    newJob(queueId, { concurrencyKey: "k" }),
  ];
  await enqueueAll(db, [first, second]);
  await claimOne(db, queueId, first.id);
  const blocked = async () =>
    (await db.script(`select blocked_on from rotor.jobs where id = '${second.id}'`)).rows[0].blocked_on;
  expect(await blocked()).not.toBeNull();
  await database.shiftClock(HOUR + MINUTE);
  await endLate(db);
  expect(await blocked()).toBeNull();
});

test("what is shown says when it ends", async () => {
  const { db } = database;
  const run = await limited(db);
  await settleOne(db, run, notYet([waitFor("wait", "ping", { timeout_ms: 5 * HOUR })]));
  const [view] = await listJobs(db, "default", { id: run.jobId }, 1);
  expect(view?.deadlineAt).not.toBeNull();
  expect(view?.until).toEqual(view?.deadlineAt);
});

const compete = race.bind(undefined, () => database);

compete(
  "the end of a run by its deadline meets its holder's answer",
  async (db) => {
    const run = await limited(db);
    await database.shiftClock(HOUR + MINUTE);
    const [late, settled] = await inOrder(
      { after: "deadlines.overdue" },
      db,
      (first) => endLate(first),
      (second) => settleOne(second, run, { kind: "done", output: "1" }),
    );
    const { state } = await readJob(database.db, run.jobId);
    return value(settled).kind === "settled" && value(late) === 0 && state === "completed";
  },
  { "no look at whether it is finished": (db) => without(db, "deadlines.end", "and job.due_at is not null") },
);

compete(
  "the end of a run by its deadline meets a retry after a failure",
  async (db) => {
    const run = await limited(db);
    await database.shiftClock(HOUR + MINUTE);
    const [late] = await inOrder(
      { after: "deadlines.overdue" },
      db,
      (first) => endLate(first),
      async (second) => {
        await settleOne(second, run, failedWith("no", true));
        await retry(second, [run.jobId]);
      },
    );
    return value(late) === 0 && (await readJob(database.db, run.jobId)).state === "waiting";
  },
  { "no second look at the deadline": (db) => without(db, "deadlines.end", "and job.deadline_at <= rotor.clock()") },
);

compete("the end of a run by its deadline meets an event", async (db) => {
  const run = await limited(db);
  await settleOne(db, run, notYet([waitFor("wait", "ping", { timeout_ms: 5 * HOUR })]));
  await database.shiftClock(HOUR + MINUTE);
  // An event's transaction has the row: who looks for late runs does not wait for it, and finds the run at the next look.
  const [published, late] = await inOrder("commit", db, (first) => publishOne(first, "ping"), endLate);
  const next = await endLate(database.db);
  return (
    value(published).resumed.length === 1 &&
    value(late) + next === 1 &&
    (await readJob(database.db, run.jobId)).state === "failed"
  );
});
