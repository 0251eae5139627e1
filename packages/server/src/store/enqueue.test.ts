/** Enqueueing: once a key, all or nothing, due when it was to be. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  callbackQueue,
  claimAll,
  clearJobs,
  enqueueAll,
  newJob,
  readJob,
  settleOne,
  storedRows,
} from "../testing-kit/fixtures.js";
import { violations } from "./invariants.js";
import { loadJobs } from "./load.js";

let database: TestDatabase;
let queue: number;
let other: number;
beforeAll(async () => {
  database = await testDatabase();
  queue = (await callbackQueue(database.db)).id;
  other = (await callbackQueue(database.db, "other", { headers: { "x-a": "queue", "x-b": "queue" } })).id;
});
beforeEach(() => clearJobs(database.db));
afterAll(async () => {
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

test("what was enqueued is delivered byte for byte, with its own settings before its queue's", async () => {
  const { db } = database;
  const body = Buffer.from([0, 255, 10, 13, 0xc3, 0x28]);
  const job = newJob(other, {
    body,
    contentType: "image/png",
    headers: { "x-a": "job" },
    maxAttempts: 2,
    timeoutMs: 77,
    tags: ['a"b', "c,d", "{}"],
  });
  await enqueueAll(db, [job]);
  const [loaded] = await loadJobs(db, await claimAll(db, other));
  expect(loaded).toMatchObject({
    body,
    contentType: "image/png",
    headers: { "x-a": "job" },
    maxAttempts: 2,
    timeoutMs: 77,
  });
  expect(loaded!.queue.headers).toMatchObject({ "x-b": "queue" });
  expect((await db.script("select tags from rotor.payloads")).rows[0].tags).toEqual(['a"b', "c,d", "{}"]);
});

test("settings that one job of a batch has are its own, wherever it stands among those that have none", async () => {
  const { db } = database;
  const settings = {
    key: "k",
    delayMs: 3_600_000,
    maxAttempts: 2,
    timeoutMs: 77,
    headers: { "x-a": "job" },
    tags: ["t"],
    deadlineMs: 7_200_000,
  };
  for (const place of [0, 1, 2]) {
    await clearJobs(db);
    const jobs = [0, 1, 2].map((n) => newJob(queue, n === place ? settings : {}));
    await enqueueAll(db, jobs);
    const { rows } = await db.script(
      `select job.id, key, max_attempts, timeout_ms, headers, tags, run_at - created_at > interval '59 minutes' as late, deadline_at is not null as ends
         from rotor.jobs job join rotor.payloads payload on payload.job_id = job.id order by job.id`,
    );
    expect(rows).toEqual(
      jobs.map(({ id }, n) =>
        n === place
          ? {
              id,
              key: "k",
              max_attempts: 2,
              timeout_ms: 77,
              headers: { "x-a": "job" },
              tags: ["t"],
              late: true,
              ends: true,
            }
          : { id, key: null, max_attempts: null, timeout_ms: null, headers: null, tags: [], late: false, ends: false },
      ),
    );
  }
});

test("what comes in one batch is claimed in its order, and so are jobs of one key", async () => {
  const { db } = database;
  const { id } = await callbackQueue(db, "in-order", { concurrency: 1 });
  for (const concurrencyKey of [undefined, "in-order"]) {
    const jobs = Array.from({ length: 8 }, () => newJob(id, { concurrencyKey }));
    await enqueueAll(db, jobs);
    const claimed: string[] = [];
    for (const _ of jobs) {
      const [taken] = await claimAll(db, id);
      claimed.push(taken!.jobId);
      await settleOne(db, { ...taken!, attempt: 1, parentId: null }, { kind: "done", output: null });
    }
    expect(claimed).toEqual(jobs.map((job) => job.id));
  }
});

test("one key twice in one batch is one job, and the second learns whether its payload differs", async () => {
  const answers = await enqueueAll(database.db, [
    newJob(queue, { key: "a" }),
    newJob(queue, { key: "b" }),
    newJob(queue, { key: "a" }),
    newJob(queue, { key: "b", body: Buffer.from("other") }),
  ]);
  expect(answers.map((answer) => [answer.duplicate, answer.payloadDiffers])).toEqual([
    [false, false],
    [false, false],
    [true, false],
    [true, true],
  ]);
  expect([answers[2]!.id, answers[3]!.id]).toEqual([answers[0]!.id, answers[1]!.id]);
});

test("a key belongs to its queue, and is remembered when its job has ended", async () => {
  const { db } = database;
  const [first] = await enqueueAll(db, [newJob(queue, { key: "a" })]);
  const [elsewhere] = await enqueueAll(db, [newJob(other, { key: "a" })]);
  const [taken] = await claimAll(db, queue);
  await settleOne(db, { ...taken!, attempt: 1, parentId: null }, { kind: "done", output: null });
  const [again] = await enqueueAll(db, [newJob(queue, { key: "a" })]);
  expect(elsewhere).toMatchObject({ duplicate: false });
  expect(again).toMatchObject({ id: first!.id, duplicate: true, state: "completed" });
});

test("a batch with a queue that is gone enqueues nothing", async () => {
  const { db } = database;
  await expect(enqueueAll(db, [newJob(queue), newJob(999_999), newJob(queue)])).rejects.toThrow("gone");
  expect((await storedRows(db)).payloads).toEqual([]);
  expect((await storedRows(db)).jobs).toEqual([]);
});

test("a delay or a date is never early, and a date in the past is now", async () => {
  const { db } = database;
  const [delayed, dated, past] = [
    newJob(queue, { delayMs: 60_000 }),
    newJob(queue, { runAt: new Date(Date.now() + 120_000).toISOString() }),
    newJob(queue, { runAt: "2001-01-01T00:00:00Z" }),
  ];
  await enqueueAll(db, [delayed, dated, past]);
  expect((await claimAll(db, queue)).map((job) => job.jobId)).toEqual([past.id]);
  try {
    await database.shiftClock(61_000);
    expect((await claimAll(db, queue)).map((job) => job.jobId)).toEqual([delayed.id]);
  } finally {
    await database.shiftClock(0);
  }
});

test("priority is a head start among those that are due, and starts nothing early", async () => {
  const { db } = database;
  const one = (await callbackQueue(db, newId(), { concurrency: 1 })).id;
  const [low, plain, high, later] = [
    newJob(one, { priority: -100 }),
    newJob(one),
    newJob(one, { priority: 100 }),
    newJob(one, { priority: 100, delayMs: 50_000 }),
  ];
  await enqueueAll(db, [low, plain, high, later]);
  expect((await readJob(db, later.id)).dueInMs).toBeGreaterThan(40_000);
  const order: string[] = [];
  for (let n = 0; n < 2; n++) {
    const [taken] = await claimAll(db, one);
    order.push(taken!.jobId);
    await settleOne(db, { ...taken!, attempt: 1, parentId: null }, { kind: "done", output: null });
  }
  expect(order).toEqual([high.id, plain.id]);
  // The handicap of a low one is time too: it is not due yet, whoever else is.
  expect(await claimAll(db, one)).toEqual([]);
  expect((await readJob(db, low.id)).dueInMs).toBeGreaterThan(90_000);
});

test("a repetition after a lost reply finds its own jobs, with a key and without, and calls neither a duplicate", async () => {
  const { db } = database;
  const jobs = [newJob(queue), newJob(queue, { key: "mine" })];
  const first = await enqueueAll(db, jobs);
  const before = await storedRows(db);
  expect(await enqueueAll(db, jobs)).toEqual(first);
  expect(await storedRows(db)).toEqual(before);
  const [another] = await enqueueAll(db, [newJob(queue, { key: "mine" })]);
  expect(another).toMatchObject({ id: jobs[1]!.id, duplicate: true });
});
