/** Where keys, strict orders, rates, approvals and changes meet: histories that the queue's model found, in short. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  callbackQueue,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  newJob,
  settleOne,
} from "../testing-kit/fixtures.js";
import { changeJob } from "./change.js";
import { claim } from "./claim.js";
import { approve, reject, retry } from "./control.js";
import { grantStranded } from "./keys.js";
import { type QueueSettings, updateQueue } from "./queues.js";
import { openRateKeys } from "./rate-keys.js";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
beforeEach(async () => {
  await clearJobs(database.db);
  await database.db.script("delete from rotor.keys");
  await database.shiftClock(0);
});
afterAll(() => database.close());

let named = 0;
const queueOf = (settings: Partial<QueueSettings> = {}) =>
  callbackQueue(database.db, `q${++named}`, { concurrency: null, ...settings });
const strict = { concurrencyKey: "key", keyOrder: "strict" } as const;
const failed = { kind: "failed", final: false, error: { name: "Error", message: "no" } } as const;
const done = { kind: "done", output: null } as const;
const perCustomer = { limit: 1, periodMs: 10_000, key: "payload.customer" } as const;
const of = (customer: string) => ({ body: Buffer.from(JSON.stringify({ customer })) });

test("a strict job that waits for a rate limit between its attempts keeps its turn", async () => {
  const { db } = database;
  const [rated, other] = [await queueOf({ rate: perCustomer }), await queueOf()];
  const first = newJob(rated.id, { ...strict, ...of("a") });
  const second = newJob(other.id, strict);
  await enqueueAll(db, [first]);
  await enqueueAll(db, [second]);
  await settleOne(db, await claimOne(db, rated.id, first.id), failed);
  await database.shiftClock(1_500);
  expect(await claim(db, "0197b9a4-0000-7000-8000-000000000001", [rated.id], 10)).toEqual({ taken: [], blocked: 1 });
  await grantStranded(db, 0);
  expect(await claimAll(db, other.id)).toEqual([]);
  await database.shiftClock(30_000);
  await openRateKeys(db);
  await settleOne(db, await claimOne(db, rated.id, first.id), done);
  expect(await claimAll(db, other.id)).toHaveLength(1);
});

test("a strict job that was refused, retried and approved asks for a turn like everybody", async () => {
  const { db } = database;
  const [asking, other] = [await queueOf({ approvalRequired: true }), await queueOf()];
  const refused = newJob(asking.id, strict);
  await enqueueAll(db, [refused]);
  await reject(db, [refused.id], null);
  await retry(db, [refused.id]);
  const holder = newJob(other.id, strict);
  await enqueueAll(db, [holder]);
  const held = await claimOne(db, other.id, holder.id);
  await approve(db, [refused.id]);
  expect(await claimAll(db, asking.id)).toEqual([]);
  await settleOne(db, held, done);
  expect(await claimAll(db, asking.id)).toHaveLength(1);
});

test("a job in back-off that is changed to another's key, or to a strict order, waits for its turn", async () => {
  const { db } = database;
  const queue = await queueOf();
  for (const concurrencyKey of ["key", "another"]) {
    await clearJobs(db);
    await database.shiftClock(0);
    const job = newJob(queue.id, { concurrencyKey });
    await enqueueAll(db, [job]);
    await settleOne(db, await claimOne(db, queue.id, job.id), failed);
    const holder = newJob(queue.id, strict);
    await enqueueAll(db, [holder]);
    await claimOne(db, queue.id, holder.id);
    expect(await changeJob(db, job.id, strict)).toBe(true);
    await database.shiftClock(1_500);
    expect(await claimAll(db, queue.id)).toEqual([]);
  }
});

test("another payload leaves a job's order strict", async () => {
  const { db } = database;
  const queue = await queueOf({ rate: { ...perCustomer, limit: 5 } });
  const [first, second] = [newJob(queue.id, { ...strict, ...of("a") }), newJob(queue.id, { ...strict, ...of("a") })];
  await enqueueAll(db, [first]);
  expect(await changeJob(db, first.id, of("b"))).toBe(true);
  await settleOne(db, await claimOne(db, queue.id, first.id), failed);
  await enqueueAll(db, [second]);
  expect(await claimAll(db, queue.id)).toEqual([]);
});

test("in a batch, a job that waits for its rate leaves the turn of its key to those behind it", async () => {
  const { db } = database;
  const queue = await queueOf({ rate: perCustomer });
  const key = { concurrencyKey: "key" };
  const jobs = [
    newJob(queue.id, of("a")),
    newJob(queue.id, { ...key, ...of("a") }),
    newJob(queue.id, { ...key, ...of("b") }),
  ];
  await enqueueAll(db, jobs);
  expect((await claimAll(db, queue.id)).map((job) => job.jobId).sort()).toEqual([jobs[0]!.id, jobs[2]!.id].sort());
});

test.each([null, "payload.customer"])(
  "a rate with a longer period than before opens in time (key: %s)",
  async (key) => {
    const { db } = database;
    const queue = await queueOf({ rate: { limit: 1, periodMs: 1_000, key } });
    await enqueueAll(db, [newJob(queue.id, of("a")), newJob(queue.id, of("a"))]);
    expect(await claimAll(db, queue.id)).toHaveLength(1);
    await updateQueue(db, queue.workspace, queue.name, { ...queue, rate: { limit: 1, periodMs: 60_000, key } });
    await database.shiftClock(2_000);
    await openRateKeys(db);
    expect(await claimAll(db, queue.id)).toEqual([]);
    await database.shiftClock(130_000);
    await openRateKeys(db);
    expect(await claimAll(db, queue.id)).toHaveLength(1);
  },
);
