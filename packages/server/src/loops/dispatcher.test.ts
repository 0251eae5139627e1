/** The dispatcher on a real database, with the lease and the far end of a delivery in the test's hand. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { cancel } from "../store/control.js";
import type { Db, Statement } from "../store/db.js";
import { violations } from "../store/invariants.js";
import { getQueue } from "../store/queues.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  callbackQueue,
  clearJobs,
  enqueueAll,
  functionQueue,
  newJob,
  newRun,
  notYet,
  ran,
  readJob,
  WORKSPACE,
} from "../testing-kit/fixtures.js";
import { lostReplyDb } from "../testing-kit/mutants.js";
import { eventually } from "../testing-kit/server.js";
import type { Carried } from "./courier.js";
import { type Bench, dispatching } from "./testing-kit/dispatching.js";

let database: TestDatabase;
let db: Db;
let callbacks: number;
let functions: number;

beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  callbacks = (await callbackQueue(db)).id;
  functions = await functionQueue(db, "one");
  await db.script(
    `insert into rotor.queues (workspace_id, app_id, name, kind, url, timeout_ms, async_timeout_ms, max_attempts, backoff, approval_timeout_ms)
     select workspace_id, app_id, 'two', kind, url, timeout_ms, async_timeout_ms, max_attempts, backoff, approval_timeout_ms from rotor.queues where name = 'one'`,
  );
});

beforeEach(async () => {
  await clearJobs(db);
  await db.script(
    "update rotor.queues set open_at = '-infinity', trips = 0; update rotor.apps set unreachable_since = null",
  );
});

afterAll(() => database.close());

const bench = (on: Db = db, settleOn: Db = on): Promise<Bench> => dispatching(db, on, settleOn);

async function oneJob(queueId = callbacks): Promise<string> {
  const job = queueId === callbacks ? newJob(queueId) : newRun(queueId);
  await enqueueAll(db, [job]);
  return job.id;
}

const outcomes = async (jobId: string): Promise<string[]> =>
  (await db.script(`select outcome from rotor.deliveries where job_id = '${jobId}' order by delivery`)).rows.map(
    (row) => row.outcome as string,
  );

/** The same database, on which statements of these names fail while `away()`. */
function failing(inner: Db, names: RegExp, away: () => boolean): Db {
  const test = (statement: Statement): void => {
    if (away() && names.test(statement.name)) throw new Error("the database is away");
  };
  return {
    ...inner,
    async query(statement, values) {
      test(statement);
      return inner.query(statement, values);
    },
    transact: (work) =>
      inner.transact((t) =>
        work({
          async query(statement, values) {
            test(statement);
            return t.query(statement, values);
          },
        }),
      ),
  };
}

test("a claim whose reply was lost is found and given back, at no cost", async () => {
  const { dispatcher, posted, errors } = await bench(lostReplyDb(db), db);
  const id = await oneJob();
  await expect(dispatcher.loop.tick()).rejects.toThrow("terminated");
  expect(await readJob(db, id)).toMatchObject({ state: "active", attempt: 1 });
  await dispatcher.loop.tick();
  expect(posted).toMatchObject([{ job: { jobId: id, attempt: 1, delivery: 2 } }]);
  posted[0]!.end({});
  await eventually("its end", async () => (await readJob(db, id)).state === "completed");
  expect(errors).toEqual([]);
});

/** A queue that a claim does not deliver from in one round trip: its jobs are read when they have been claimed. */
const limited = async <T>(work: () => Promise<T>): Promise<T> => {
  await db.script("update rotor.queues set rate_limit = 1000, rate_period_ms = 1000");
  try {
    return await work();
  } finally {
    await db.script("update rotor.queues set rate_limit = null, rate_period_ms = null");
  }
};

test("what could not be read after its claim is given back, not lost", () =>
  limited(async () => {
    let away = true;
    const { dispatcher, posted } = await bench(failing(db, /^load\.jobs/, () => away));
    const id = await oneJob();
    await expect(dispatcher.loop.tick()).rejects.toThrow("away");
    away = false;
    await dispatcher.loop.tick();
    expect(posted).toMatchObject([{ job: { jobId: id, attempt: 1 } }]);
    posted[0]!.end({});
    await eventually("its end", async () => (await readJob(db, id)).state === "completed");
  }));

test("a settlement outlasts an outage: written once, nothing delivered again", async () => {
  let away = false;
  const { dispatcher, posted, errors, settled } = await bench(failing(db, /^settle\./, () => away));
  const id = await oneJob();
  await dispatcher.loop.tick();
  away = true;
  posted[0]!.end({});
  await eventually("a try that fails", () => errors.length > 0);
  expect(dispatcher.inHand(id)).toBeDefined();
  away = false;
  await eventually("the settlement", () => settled.length === 1);
  expect(await outcomes(id)).toEqual(["completed"]);
  await dispatcher.loop.tick();
  expect(posted).toHaveLength(1);
});

test("a settlement whose reply was lost is done: the log has it once", async () => {
  const { dispatcher, posted, settled } = await bench(db, lostReplyDb(db));
  const id = await oneJob();
  await dispatcher.loop.tick();
  posted[0]!.end({});
  await eventually("the settlement", () => settled.length === 1);
  expect(settled).toMatchObject([{ kind: "settled", state: "completed" }]);
  expect(await outcomes(id)).toEqual(["completed"]);
});

test("an answer is not lost when the breaker cannot be written", async () => {
  await db.script("update rotor.queues set trips = 1 where name = 'one'");
  let away = false;
  const { dispatcher, posted, settled } = await bench(failing(db, /^queues\./, () => away));
  const id = await oneJob(functions);
  await dispatcher.loop.tick();
  away = true;
  posted[0]!.end({});
  await eventually("the settlement", () => settled.length === 1);
  expect(await outcomes(id)).toEqual(["completed"]);
});

test("a node whose lease is not fresh claims nothing", async () => {
  const { dispatcher, posted, node } = await bench();
  const id = await oneJob();
  node.fresh = false;
  await dispatcher.loop.tick();
  expect(await readJob(db, id)).toMatchObject({ state: "waiting", delivery: 0 });
  expect(posted).toEqual([]);
});

test("a node that was paused between its claim and the POST posts nothing, and gives the job back", () =>
  limited(async () => {
    const { node, ...made } = await bench({
      ...db,
      query: async (statement, values) => {
        const rows = await db.query(statement, values);
        if (statement.name === "load.jobs" && pausing) node.fresh = false;
        return rows as never;
      },
    });
    let pausing = true;
    const id = await oneJob();
    await made.dispatcher.loop.tick();
    expect(made.posted).toEqual([]);
    expect(await readJob(db, id)).toMatchObject({ state: "active", attempt: 1 });
    pausing = false;
    node.fresh = true;
    await eventually("it is claimed anew", async () => {
      await made.dispatcher.loop.tick();
      return made.posted.length === 1;
    });
    expect(made.posted[0]!.job).toMatchObject({ jobId: id, attempt: 1, delivery: 2 });
    made.posted[0]!.end({});
    await made.dispatcher.drain(10_000);
  }));

test("draining gives back what does not end in time, and claims no more", async () => {
  const { dispatcher, posted } = await bench();
  const first = await oneJob();
  await dispatcher.loop.tick();
  const second = await oneJob();
  await dispatcher.drain(1);
  expect(posted).toMatchObject([{ aborted: true }]);
  expect(await readJob(db, first)).toMatchObject({ state: "waiting", attempt: 0, nodeId: null });
  expect(await readJob(db, second)).toMatchObject({ state: "waiting", delivery: 0 });
});

test("draining waits for what ends in time", async () => {
  const { dispatcher, posted } = await bench();
  const id = await oneJob();
  await dispatcher.loop.tick();
  const drained = dispatcher.drain(60_000);
  posted[0]!.end({});
  await drained;
  expect(await readJob(db, id)).toMatchObject({ state: "completed" });
});

test("draining ends although the database is away, once the lease has run out", async () => {
  const { dispatcher, posted, node } = await bench(failing(db, /^settle\./, () => true));
  await oneJob();
  await dispatcher.loop.tick();
  posted[0]!.end({});
  node.fresh = false;
  await dispatcher.drain(1);
  await clearJobs(db);
});

test("a run that could go on at once goes to another node when this one is on its way out", async () => {
  const { dispatcher, posted } = await bench();
  const id = await oneJob(functions);
  await dispatcher.loop.tick();
  const drained = dispatcher.drain(60_000);
  posted[0]!.end({ end: notYet([ran("a")]) });
  await drained;
  expect(posted).toHaveLength(1);
  expect(await readJob(db, id)).toMatchObject({ state: "waiting", attempt: 0, nodeId: null });
});

test("a run that can go on at once is posted again without a claim", async () => {
  const { dispatcher, posted } = await bench();
  const id = await oneJob(functions);
  await dispatcher.loop.tick();
  posted[0]!.end({ end: notYet([ran("a")]) });
  await eventually("the next delivery", () => posted.length === 2);
  expect(posted[1]!.job).toMatchObject({ jobId: id, delivery: 2, attempt: 1 });
  // It is known to be in hand: nothing is given back.
  await dispatcher.loop.tick();
  expect(await readJob(db, id)).toMatchObject({ state: "active", delivery: 2 });
  posted[1]!.end({});
  await eventually("its end", async () => (await readJob(db, id)).state === "completed");
});

test("a job that is cancelled while it is delivered stays cancelled", async () => {
  const { dispatcher, posted, settled } = await bench();
  const id = await oneJob();
  await dispatcher.loop.tick();
  await cancel(db, [id]);
  posted[0]!.end({});
  await eventually("the late settlement", () => settled.length === 1);
  expect(settled).toEqual([{ kind: "stale" }]);
  expect(await outcomes(id)).toEqual(["cancelled"]);
});

test("a node that lost its lease drops its deliveries, and their ends change nothing that is another's", async () => {
  const { dispatcher, posted, node } = await bench();
  const id = await oneJob();
  await dispatcher.loop.tick();
  node.id = newId();
  dispatcher.abandon();
  await eventually("an empty hand", () => dispatcher.inHand(id) === undefined);
  expect(posted[0]!.aborted).toBe(true);
  expect(await readJob(db, id)).toMatchObject({ state: "waiting", attempt: 0 });
});

const unreached: Partial<Carried> = {
  end: { kind: "unreached", error: { name: "UnreachableError", message: "refused" } },
  status: null,
};
const openQueues = async (): Promise<string[]> =>
  (
    await db.script("select name from rotor.queues where kind = 'function' and open_at <= rotor.clock() order by name")
  ).rows.map((row) => row.name as string);

test("an app out of reach closes all of its queues for a while, costs no attempt, and recovers by itself", async () => {
  const { dispatcher, posted } = await bench();
  const id = await oneJob(functions);
  await dispatcher.loop.tick();
  posted[0]!.end(unreached);
  await eventually("its return", async () => (await readJob(db, id)).state === "waiting");
  expect(await readJob(db, id)).toMatchObject({ attempt: 0 });
  expect(await openQueues()).toEqual([]);
  await dispatcher.loop.tick();
  expect(posted).toHaveLength(1);
  await database.shiftClock(limits.breakerMinMs + 1);
  await dispatcher.loop.tick();
  expect(posted).toHaveLength(2);
  posted[1]!.end({});
  await eventually("its end", async () => (await readJob(db, id)).state === "completed");
  expect(await openQueues()).toEqual(["one", "two"]);
  await database.shiftClock(0);
});

test("an app that was out of reach for a day fails its run; a moment less, and it waits", async () => {
  const { dispatcher, posted } = await bench();
  const id = await oneJob(functions);
  await dispatcher.loop.tick();
  posted[0]!.end(unreached);
  await eventually("its return", async () => (await readJob(db, id)).state === "waiting");
  await database.shiftClock(limits.unreachableMs - 60_000);
  await dispatcher.loop.tick();
  posted[1]!.end(unreached);
  await eventually("its return", async () => (await readJob(db, id)).state === "waiting");
  await database.shiftClock(limits.unreachableMs + 120_000);
  await dispatcher.loop.tick();
  posted[2]!.end(unreached);
  await eventually("its end", async () => (await readJob(db, id)).state === "failed");
  await database.shiftClock(0);
});

test("a callback's endpoint that refuses costs an attempt, and closes nothing", async () => {
  const { dispatcher, posted } = await bench();
  const id = await oneJob();
  await dispatcher.loop.tick();
  posted[0]!.end(unreached);
  await eventually("its return", async () => (await readJob(db, id)).state === "waiting");
  expect(await readJob(db, id)).toMatchObject({ attempt: 1 });
  expect((await getQueue(db, WORKSPACE, "callback", "queue"))?.openAt).toBeNull();
  expect(await violations(db)).toEqual([]);
});
