import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { DEFAULT_RETENTION } from "../core/retention.js";
import { childKey } from "../core/wait-key.js";
import { retry } from "../store/control.js";
import type { Db } from "../store/db.js";
import { violations } from "../store/invariants.js";
import { createQueue, DEFAULT_QUEUE, deleteQueue } from "../store/queues.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  callbackQueue,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  failedWith,
  functionQueue,
  newJob,
  notYet,
  publishOne,
  ran,
  settleOne,
  WORKSPACE,
  waitFor,
} from "../testing-kit/fixtures.js";
import { ended, NOTHING, type Rows, restartSweeps, rowsOfAll, sweep } from "../testing-kit/pruning.js";
import { eventually, testServer } from "../testing-kit/server.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let database: TestDatabase;
let db: Db;
let queueId: number;
let functionId: number;
beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  queueId = (await callbackQueue(db)).id;
  functionId = await functionQueue(db);
});
afterAll(() => database.close());
beforeEach(async () => {
  await clearJobs(db);
  await restartSweeps(db);
  await database.shiftClock(0);
});

const rowsOf = async (jobId: string): Promise<Rows> => (await rowsOfAll(db, [jobId])).get(jobId)!;
const exists = async (jobId: string): Promise<boolean> => (await rowsOf(jobId)).jobs === 1;

test("each state has a term of its own, after which a job leaves with all that is its own", async () => {
  const jobs = [
    await ended(db, queueId, "completed"),
    await ended(db, queueId, "failed"),
    await ended(db, queueId, "cancelled"),
  ];
  await database.shiftClock(7 * DAY - HOUR);
  expect(await sweep(db)).toBe(0);
  await database.shiftClock(7 * DAY + HOUR);
  expect(await sweep(db)).toBe(2);
  expect(await Promise.all(jobs.map(exists))).toEqual([false, true, false]);
  await database.shiftClock(30 * DAY + HOUR);
  expect(await sweep(db)).toBe(1);
  for (const id of jobs) expect(await rowsOf(id)).toEqual(NOTHING);
});

test("the term begins with a job's end, not with its beginning", async () => {
  const job = newJob(queueId, { delayMs: 6 * DAY });
  await enqueueAll(db, [job]);
  await database.shiftClock(6 * DAY + HOUR);
  await settleOne(db, await claimOne(db, queueId, job.id), { kind: "done", output: null });
  await database.shiftClock(12 * DAY);
  expect(await sweep(db)).toBe(0);
  await database.shiftClock(14 * DAY);
  expect(await sweep(db)).toBe(1);
});

test("a queue's own terms go before the system's", async () => {
  const brief = (await createQueue(db, WORKSPACE, "brief", {
    ...DEFAULT_QUEUE,
    url: "http://127.0.0.1:9/",
    retention: { completedMs: HOUR },
  }))!;
  const [there, here] = [await ended(db, brief.id, "completed"), await ended(db, queueId, "completed")];
  const failed = await ended(db, brief.id, "failed");
  await database.shiftClock(2 * HOUR);
  expect(await sweep(db)).toBe(1);
  expect([await exists(there), await exists(here), await exists(failed)]).toEqual([false, true, true]);
});

test("a client's id is known for a day, however short the term", async () => {
  const terms = { ...DEFAULT_RETENTION, completedMs: 60_000 };
  const keyed = await ended(db, queueId, "completed", { key: "order-1" });
  const plain = await ended(db, queueId, "completed");
  await database.shiftClock(23 * HOUR);
  await sweep(db, terms);
  expect([await exists(keyed), await exists(plain)]).toEqual([true, false]);
  expect(await enqueueAll(db, [newJob(queueId, { key: "order-1" })])).toMatchObject([{ id: keyed, duplicate: true }]);
  await database.shiftClock(25 * HOUR);
  await sweep(db, terms);
  expect(await enqueueAll(db, [newJob(queueId, { key: "order-1" })])).toMatchObject([{ duplicate: false }]);
});

test("of a job that is kept, old attempts leave, but not the last", async () => {
  const job = newJob(queueId);
  await enqueueAll(db, [job]);
  for (let attempt = 0; attempt < 3; attempt++) {
    await database.shiftClock(attempt * HOUR);
    await settleOne(db, await claimOne(db, queueId, job.id), failedWith("no", attempt === 2));
  }
  await database.shiftClock(15 * DAY);
  await sweep(db);
  expect(await rowsOf(job.id)).toMatchObject({ jobs: 1, payloads: 1, deliveries: 1 });
  expect(await retry(db, [job.id])).toEqual([job.id]);
  expect(await violations(db)).toEqual([]);
});

test("nothing of an unfinished run leaves but old attempts, and it comes to its end after months", async () => {
  const run = await activeRun(db, functionId);
  await settleOne(db, run, notYet([ran("first", "1")]));
  const wait = waitFor("later", "spring", { timeout_ms: 200 * DAY, previous: "first" });
  await settleOne(db, { ...run, delivery: run.delivery + 1 }, notYet([wait]));
  await database.shiftClock(100 * DAY);
  await sweep(db);
  expect(await rowsOf(run.jobId)).toMatchObject({ jobs: 1, payloads: 1, deliveries: 1, steps: 2 });
  const { resumed } = await publishOne(db, "spring");
  expect(resumed).toEqual([run.jobId]);
  const again = await claimOne(db, functionId, run.jobId);
  await settleOne(db, again, { kind: "done", output: null });
  await database.shiftClock(108 * DAY);
  expect(await sweep(db)).toBe(1);
});

test("a child whose end a step still waits for stays", async () => {
  const parent = await activeRun(db, functionId);
  await settleOne(
    db,
    parent,
    notYet([{ kind: "invoke", key: "child", function: "function", data: {}, timeout_ms: 90 * DAY }]),
  );
  const [child] = await claimAll(db, functionId);
  const holder = await claimOne(db, functionId, child!.jobId).catch(() => ({
    ...parent,
    jobId: child!.jobId,
    delivery: 1,
    attempt: 1,
    parentId: parent.jobId,
  }));
  await settleOne(db, holder, { kind: "done", output: null });
  // As if the end had not reached the parent: then the child is all that could mend it.
  await db.script(
    `update rotor.steps set state = 'waiting', seq = null, output = null, ended_at = null, due_at = rotor.clock() + interval '90 days', wait_key = '${childKey(child!.jobId)}'
      where job_id = '${parent.jobId}'`,
  );
  await database.shiftClock(8 * DAY);
  expect(await sweep(db)).toBe(0);
  expect(await exists(child!.jobId)).toBe(true);
});

test("events leave after their term, but for those with effects to come", async () => {
  const [old, unfinished] = [await publishOne(db, "one"), await publishOne(db, "two")];
  await db.script(`update rotor.events set due_at = rotor.clock() where id = '${unfinished.id}'`);
  await database.shiftClock(29 * DAY);
  await publishOne(db, "three");
  expect(await sweep(db)).toBe(0);
  await database.shiftClock(31 * DAY);
  expect(await sweep(db)).toBe(1);
  const { rows } = await db.script("select name from rotor.events order by name");
  expect([old.duplicate, rows]).toEqual([false, [{ name: "three" }, { name: "two" }]]);
});

test("what a queue leaves behind when it is deleted is removed", async () => {
  const queue = await callbackQueue(db, "leaving");
  const job = await ended(db, queue.id, "completed", { key: "known" });
  expect(await deleteQueue(db, WORKSPACE, "callback", "leaving")).toBe(true);
  expect(await sweep(db)).toBe(1);
  expect(await exists(job)).toBe(false);
  await sweep(db);
  const { rows } = await db.script(`select 1 from rotor.sweeps where queue_id = ${queue.id}`);
  expect(rows).toEqual([]);
});

test("keys that ended a month ago are forgotten", async () => {
  await db.script(
    `insert into rotor.api_keys (id, workspace_id, name, hash, scopes, expires_at, revoked_at) values
       ('${newId()}', 'default', 'lives', 'a', '{read}', null, null),
       ('${newId()}', 'default', 'expired', 'b', '{read}', rotor.clock(), null),
       ('${newId()}', 'default', 'revoked', 'c', '{read}', rotor.clock() + interval '1 year', rotor.clock())`,
  );
  await database.shiftClock(29 * DAY);
  await sweep(db);
  expect((await db.script("select name from rotor.api_keys")).rows).toHaveLength(3);
  await database.shiftClock(31 * DAY);
  await sweep(db);
  expect((await db.script("select name from rotor.api_keys")).rows).toEqual([{ name: "lives" }]);
});

test("concurrency keys that no job has had for a week are forgotten, but not those that a job may come back to", async () => {
  const keys = async (): Promise<string[]> =>
    (await db.script("select key from rotor.keys order by key")).rows.map((row) => row.key);
  await ended(db, queueId, "completed", { concurrencyKey: "over" });
  await ended(db, queueId, "failed", { concurrencyKey: "failed" });
  await enqueueAll(db, [newJob(queueId, { concurrencyKey: "planned", delayMs: 60 * DAY })]);
  await ended(db, queueId, "completed", { concurrencyKey: "limited" });
  await db.script("update rotor.keys set concurrency = 3 where key = 'limited'");
  await ended(db, queueId, "completed", { concurrencyKey: "used" });
  await database.shiftClock(5 * DAY);
  await ended(db, queueId, "completed", { concurrencyKey: "used" });
  await sweep(db);
  expect(await keys()).toEqual(["failed", "limited", "over", "planned", "used"]);
  await database.shiftClock(9 * DAY);
  await sweep(db);
  expect(await keys()).toEqual(["failed", "limited", "planned", "used"]);
  // The failed job leaves after its month, and its key a week later.
  for (const days of [45, 55]) {
    await database.shiftClock(days * DAY);
    await sweep(db);
  }
  expect(await keys()).toEqual(["limited", "planned"]);
  await enqueueAll(db, [newJob(queueId, { concurrencyKey: "over" })]);
  expect(await keys()).toEqual(["limited", "over", "planned"]);
});

test("a function's keys are kept as long as a run may be replayed under them, and then forgotten whatever their limit", async () => {
  const keys = async (): Promise<string[]> =>
    (await db.script(`select key from rotor.keys where queue_id = ${functionId} order by key`)).rows.map(
      (row) => row.key,
    );
  await ended(db, functionId, "failed", {
    functionKeys: [
      { key: "all", limit: 5 },
      { key: "acme", limit: 1 },
    ],
  });
  await ended(db, functionId, "completed", { functionKeys: [{ key: "other", limit: 2 }] });
  await db.script(`update rotor.keys set seen_at = seen_at - interval '30 days'`);
  await sweep(db);
  expect(await keys()).toEqual(["0:all", "0:other", "1:acme"]);
  for (const days of [9, 18]) {
    await database.shiftClock(days * DAY);
    await restartSweeps(db);
    await sweep(db);
  }
  expect(await keys()).toEqual(["0:all", "1:acme"]);
  for (const days of [40, 50]) {
    await database.shiftClock(days * DAY);
    await sweep(db);
  }
  expect(await keys()).toEqual([]);
});

test("however many keys are used in a day, all of them are forgotten", async () => {
  await db.script(
    "insert into rotor.keys (workspace_id, kind, key, seen_at) select 'default', 'turn', 'order-' || n, now() - interval '9 days' from generate_series(1, 21000) n",
  );
  await sweep(db);
  expect((await db.script("select count(*)::int as count from rotor.keys where key like 'order-%'")).rows).toEqual([
    { count: 0 },
  ]);
});

test("a running server prunes by the terms of ROTOR_RETENTION", async () => {
  const server = await testServer({ ROTOR_RETENTION: "completed=1m" });
  try {
    const url = await server.serve((_, response) => response.end());
    await server.rotor.queues.create("brief", { callbackUrl: url });
    // The SDK's client would give it an id, which is remembered for a day.
    const enqueued = await fetch(`${server.baseUrl}/v1/queues/brief/jobs`, {
      method: "POST",
      body: '{"payload":1}',
      headers: { "content-type": "application/json" },
    });
    const { id } = (await enqueued.json()) as { id: string };
    await eventually("the job's end", async () => (await server.rotor.jobs.get("brief", id)).state === "completed");
    await server.shiftClock(90_000);
    await server.db.script("update rotor.sweeps set next_at = '-infinity'");
    await eventually(
      "its leaving",
      async () => (await server.db.script("select 1 from rotor.payloads")).rows.length === 0,
    );
  } finally {
    await server.close();
  }
});
