/** Jobs that are claimed by the commit that enqueues them; and what becomes of them where something goes wrong between. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import type { Db, Statement, Value } from "../store/db.js";
import { type EnqueuedEach, enqueueEach, type NewJob } from "../store/enqueue.js";
import { violations } from "../store/invariants.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, clearJobs, functionQueue, newJob, newRun, readJob } from "../testing-kit/fixtures.js";
import { lostReplyDb, pausedDb } from "../testing-kit/mutants.js";
import { eventually } from "../testing-kit/server.js";
import { type Bench, dispatching } from "./testing-kit/dispatching.js";

let database: TestDatabase;
let db: Db;
let wide: number;
let narrow: number;
let functions: number;

beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  wide = (await callbackQueue(db, "wide", { concurrency: 2_000 })).id;
  narrow = (await callbackQueue(db, "narrow", { concurrency: 1 })).id;
  functions = await functionQueue(db, "runs");
});
beforeEach(() => clearJobs(db));
afterAll(async () => {
  expect(await violations(db)).toEqual([]);
  await database.close();
});

/** As the engine does. */
const enqueue = ({ dispatcher }: Bench, jobs: readonly NewJob[], on: Db = db): Promise<EnqueuedEach> => {
  const counts = new Map<number, number>();
  for (const { queueId } of jobs) counts.set(queueId, (counts.get(queueId) ?? 0) + 1);
  return dispatcher.along(counts, (claim) => enqueueEach(on, jobs, claim));
};

/** A dispatcher that knows its queues by a look at a job in each, which have ended; its loop does not run. */
async function knowing(on: Db = db): Promise<Bench> {
  const bench = await dispatching(db, on, db);
  const first = [newJob(wide), newJob(narrow), newRun(functions)];
  await enqueueEach(db, first);
  await bench.dispatcher.loop.tick();
  expect(bench.posted).toHaveLength(3);
  await endAll(bench);
  return bench;
}

const endAll = async ({ posted, dispatcher }: Bench): Promise<void> => {
  for (const each of posted) each.end({});
  await eventually("all ends", () => posted.every(({ job }) => dispatcher.inHand(job.jobId) === undefined));
  posted.length = 0;
};

const idle = ({ enqueued }: EnqueuedEach): boolean[] => enqueued.map((each) => each.idle);

/** The same database, and the names of the statements that ran on it. */
function told(inner: Db): { readonly on: Db; readonly names: string[] } {
  const names: string[] = [];
  const on: Db = {
    ...inner,
    query: <Row>(statement: Statement, values?: readonly Value[]) => {
      names.push(statement.name);
      return inner.query<Row>(statement, values);
    },
  };
  return { on, names };
}

test("jobs and runs that come to queues it knows are on their way when they are stored", async () => {
  const bench = await knowing();
  const jobs = [newJob(wide), newJob(wide), newRun(functions)];
  expect(idle(await enqueue(bench, jobs))).toEqual([true, true, true]);
  expect(new Set(bench.posted.map(({ job }) => job.jobId))).toEqual(new Set(jobs.map((job) => job.id)));
  for (const { id } of jobs) expect(await readJob(db, id)).toMatchObject({ state: "active", attempt: 1, delivery: 1 });
  await endAll(bench);
});

test("of a queue that no look has told of nothing comes along", async () => {
  const bench = await dispatching(db);
  const { on, names } = told(db);
  expect(idle(await enqueue(bench, [newJob(wide)], on))).toEqual([false]);
  expect(names).toEqual(["enqueue.insert"]);
  expect(bench.posted).toEqual([]);
});

test("what was due before goes first, and what is left is said to be there", async () => {
  const bench = await knowing();
  const [early] = [newJob(wide)];
  await enqueueEach(db, [early!]);
  const late = newJob(wide);
  expect(idle(await enqueue(bench, [late]))).toEqual([false]);
  expect(bench.posted).toMatchObject([{ job: { jobId: early!.id } }]);
  await endAll(bench);
  await bench.dispatcher.loop.tick();
  expect(bench.posted).toMatchObject([{ job: { jobId: late.id } }]);
  await endAll(bench);
});

test("a limit holds: of a full queue nothing comes along", async () => {
  const bench = await knowing();
  const jobs = [newJob(narrow), newJob(narrow)];
  expect(idle(await enqueue(bench, jobs))).toEqual([true, false]);
  expect(idle(await enqueue(bench, [newJob(narrow)]))).toEqual([false]);
  expect(bench.posted).toHaveLength(1);
  await endAll(bench);
});

test("with half of what a node holds in hand, a look says whose turn it is", async () => {
  const bench = await knowing();
  const half = limits.inFlight / 2;
  for (let had = 0; had < half; had += limits.claim / 2)
    await enqueue(
      bench,
      Array.from({ length: limits.claim / 2 }, () => newJob(wide)),
    );
  expect(bench.posted).toHaveLength(half);
  expect(idle(await enqueue(bench, [newJob(wide)]))).toEqual([false]);
  expect(bench.posted).toHaveLength(half);
  await endAll(bench);
});

test("a node whose lease is not fresh, or that drains, claims nothing along", async () => {
  const bench = await knowing();
  bench.node.fresh = false;
  expect(idle(await enqueue(bench, [newJob(wide)]))).toEqual([false]);
  bench.node.fresh = true;
  await bench.dispatcher.drain(1_000);
  expect(idle(await enqueue(bench, [newJob(wide)]))).toEqual([false]);
  expect(bench.posted).toEqual([]);
});

test("where the reply to it was lost, the job is there once, is given back and delivered", async () => {
  const bench = await knowing();
  const job = newJob(wide);
  await expect(enqueue(bench, [job], lostReplyDb(db))).rejects.toThrow("terminated");
  expect(await readJob(db, job.id)).toMatchObject({ state: "active", attempt: 1 });
  // Whoever enqueued it asks again.
  expect((await enqueue(bench, [job])).enqueued).toMatchObject([{ id: job.id, state: "active", duplicate: false }]);
  await bench.dispatcher.loop.tick();
  expect(bench.posted).toMatchObject([{ job: { jobId: job.id, attempt: 1, delivery: 2 } }]);
  await endAll(bench);
});

test("what is claimed along is not taken for what nobody knows of, holds up no other claim, and no drain goes past it", async () => {
  const bench = await knowing();
  const stopped = pausedDb(db, "commit");
  const job = newJob(wide);
  // The reply of another one is lost meanwhile: what the database says this node holds is compared to what it knows.
  const coming = enqueue(bench, [job], stopped.db);
  await stopped.reached;
  const lost = newJob(wide);
  await expect(enqueue(bench, [lost], lostReplyDb(db))).rejects.toThrow("terminated");
  const run = newRun(functions);
  await enqueueEach(db, [run]);
  await bench.dispatcher.loop.tick();
  expect(bench.posted).toMatchObject([{ job: { jobId: run.id } }]);
  const drained = bench.dispatcher.drain(10_000);
  stopped.go();
  expect(idle(await coming)).toEqual([true]);
  const mine = bench.posted.find((each) => each.job.jobId === job.id)!;
  expect(await readJob(db, job.id)).toMatchObject({ state: "active", delivery: 1 });
  expect(mine.aborted).toBe(false);
  for (const each of bench.posted) each.end({});
  await drained;
  expect(await readJob(db, job.id)).toMatchObject({ state: "completed", delivery: 1 });
  expect(await readJob(db, lost.id)).toMatchObject({ state: "waiting", attempt: 0 });
});
