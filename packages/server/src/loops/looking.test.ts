/** Where a dispatcher looks at all queues and where it need not, and that nothing waits for its poll because of that. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import type { Db, Statement, Value } from "../store/db.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, clearJobs, enqueueAll, newJob } from "../testing-kit/fixtures.js";
import { pausedDb } from "../testing-kit/mutants.js";
import { eventually } from "../testing-kit/server.js";
import { dispatching } from "./testing-kit/dispatching.js";

let database: TestDatabase;
let db: Db;
let wide: number;
let narrow: number;

beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  wide = (await callbackQueue(db, "wide")).id;
  narrow = (await callbackQueue(db, "narrow", { concurrency: 1 })).id;
});
beforeEach(() => clearJobs(db));
afterAll(() => database.close());

const enqueue = async (queueId: number): Promise<string> => {
  const job = newJob(queueId);
  await enqueueAll(db, [job]);
  return job.id;
};

/** The same database, and how many looks at all queues it has answered. */
function counting(inner: Db): { readonly on: Db; readonly looks: () => number } {
  let looks = 0;
  const on: Db = {
    ...inner,
    async query<Row>(statement: Statement, values?: readonly Value[]) {
      const rows = await inner.query<Row>(statement, values);
      if (statement.name === "claim.look") looks++;
      return rows;
    },
  };
  return { on, looks: () => looks };
}

test("jobs that come one by one are claimed where they are, without a look before or after each", async () => {
  const { on, looks } = counting(db);
  const { dispatcher, posted, errors } = await dispatching(db, on, on);
  const begunAt = performance.now();
  dispatcher.loop.start();
  const jobs = 30;
  for (let n = 0; n < jobs; n++) {
    await enqueue(wide);
    dispatcher.wake(wide);
    await eventually("its delivery", () => posted.length === n + 1);
    posted[n]!.end({});
    await eventually("its end", () => dispatcher.inHand(posted[n]!.job.jobId) === undefined);
  }
  await dispatcher.drain(1_000);
  expect(errors).toEqual([]);
  // Without hints two a job. With them the first ones, one a second, and on a slow machine one more where a job came during that.
  expect(looks()).toBeLessThan(jobs / 2 + (performance.now() - begunAt) / limits.pollMs);
});

test("a job that came while the one before it was being settled does not wait for the poll", async () => {
  const stopped = pausedDb(db, "commit");
  const { on, looks } = counting(db);
  const { dispatcher, posted } = await dispatching(db, on, stopped.db);
  dispatcher.loop.start();
  await enqueue(narrow);
  dispatcher.wake();
  await eventually("the first", () => posted.length === 1);
  posted[0]!.end({});
  // Its end saw no other job, and is not there for others yet.
  await stopped.reached;
  await enqueue(narrow);
  const before = looks();
  dispatcher.wake(narrow);
  await eventually("a look that finds no room", () => looks() > before);
  const wentOnAt = performance.now();
  stopped.go();
  await eventually("the second", () => posted.length === 2);
  expect(performance.now() - wentOnAt).toBeLessThan(0.9 * limits.pollMs);
  posted[1]!.end({});
  await dispatcher.drain(1_000);
});

test("where looking is slow it begins at floors, and what came below them is delivered all the same", async () => {
  const { dispatcher, posted, errors } = await dispatching(db, db, db, { lookMs: 0, deadRows: 0 });
  dispatcher.loop.start();
  for (let n = 0; n < 10; n++) {
    const id = await enqueue(n % 2 === 0 ? wide : narrow);
    // As one with a head start.
    await db.script(`update rotor.jobs set due_at = due_at - interval '1 minute' where id = '${id}'`);
    dispatcher.wake();
    await eventually("its delivery", () => posted.length === n + 1);
    posted[n]!.end({});
  }
  await dispatcher.drain(1_000);
  expect(errors).toEqual([]);
});
