/** Where looking begins while it is slow: nothing that counts lies below, and what came below is had without floors. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, clearJobs, enqueueAll, newJob } from "../testing-kit/fixtures.js";
import { lookForDue } from "./claim.js";
import { type Begun, claimPlain } from "./claim-plain.js";
import { sql } from "./db.js";
import { type Floors, NO_FLOORS, readFloors } from "./floors.js";

let database: TestDatabase;
let queueId: number;

beforeAll(async () => {
  database = await testDatabase();
  queueId = (await callbackQueue(database.db, "three at once", { concurrency: 3 })).id;
});
beforeEach(() => clearJobs(database.db));
afterAll(() => database.close());

const enqueue = async (count: number): Promise<string[]> => {
  const jobs = Array.from({ length: count }, () => newJob(queueId));
  await enqueueAll(database.db, jobs);
  return jobs.map((job) => job.id);
};
const claim = (floors: Floors): Promise<Begun> =>
  claimPlain(database.db, {
    nodeId: newId(),
    queueIds: [queueId],
    shares: [100],
    room: 1_000,
    functions: false,
    bytes: 0,
    floors,
  });
const take = async (floors: Floors): Promise<string[]> => (await claim(floors)).jobs.map((job) => job.jobId);
/** Milliseconds ago, by Postgres's text of it. */
const ago = (time: string): number => Date.now() - Date.parse(time);
const activeAgo = (id: string, ms: number) =>
  database.db.script(
    `update rotor.jobs set active_at = rotor.clock() - interval '${ms} milliseconds' where id = '${id}'`,
  );
const dueAgo = (id: string, ms: number) =>
  database.db.script(`update rotor.jobs set due_at = rotor.clock() - interval '${ms} milliseconds' where id = '${id}'`);
const isDue = async (floors: Floors): Promise<boolean> =>
  (await lookForDue(database.db, 0, floors)).some((queue) => queue.queueId === queueId && queue.dueInMs <= 0);

test("the floor of what waits is its first due time, and that of an empty queue a little before now", async () => {
  const empty = (await readFloors(database.db)).get(queueId)!;
  expect(Date.now() - empty.due.getTime()).toBeGreaterThanOrEqual(1_900);
  const [first] = await enqueue(2);
  await dueAgo(first!, 60_000);
  const floors = await readFloors(database.db);
  expect(Date.now() - floors.get(queueId)!.due.getTime()).toBeGreaterThanOrEqual(59_000);
  expect(await isDue(floors)).toBe(true);
  expect(await take(floors)).toHaveLength(2);
});

test("a reading that begins at the one before finds what came below that one, as far back as jobs may come", async () => {
  const first = await readFloors(database.db);
  const [early, older] = await enqueue(2);
  await dueAgo(early!, 90_000);
  await dueAgo(older!, 3_600_000);
  const next = await readFloors(database.db, first, false);
  expect(Math.abs(Date.now() - next.get(queueId)!.due.getTime() - 90_000)).toBeLessThan(5_000);
  expect(await take(next)).toEqual([early]);
  // What nobody thought of: found by a whole reading.
  expect(await take(await readFloors(database.db, next, true))).toEqual([older]);
});

test("what came below the floor is not seen by it, and is had without it", async () => {
  const floors = await readFloors(database.db);
  const [early] = await enqueue(1);
  await dueAgo(early!, 10_000);
  expect([await isDue(floors), await take(floors)]).toEqual([false, []]);
  expect(await isDue(NO_FLOORS)).toBe(true);
  expect(await take(NO_FLOORS)).toEqual([early]);
});

test("all that is active is counted, whatever its time limit is, and what has been so for long too", async () => {
  const [old] = await enqueue(1);
  expect(await take(NO_FLOORS)).toEqual([old]);
  await activeAgo(old!, 3_600_000);
  const floors = await readFloors(database.db);
  await enqueueAll(database.db, [newJob(queueId, { timeoutMs: 1_000 })]);
  expect(await take(floors)).toHaveLength(1);
  const later = (await readFloors(database.db, floors)).get(queueId)!;
  expect(later.active).toEqual(floors.get(queueId)!.active);
  await enqueue(5);
  expect(await take(floors)).toHaveLength(1);
  expect(await take(floors)).toEqual([]);
});

test("each claim says from where the next one may count, and counts the same from there", async () => {
  const first = await readFloors(database.db);
  expect(ago(first.get(queueId)!.active)).toBeGreaterThanOrEqual(limits.statementTimeoutMs);
  await enqueue(2);
  const begun = await claim(first);
  const from = begun.activeFrom.get(queueId)!;
  expect(begun.jobs).toHaveLength(2);
  expect(ago(from)).toBeLessThan(limits.statementTimeoutMs / 2);
  const raised: Floors = new Map([[queueId, { ...first.get(queueId)!, active: from }]]);
  await enqueue(2);
  expect(await take(raised)).toHaveLength(1);
  expect(await take(raised)).toEqual([]);
  // Read anew, it is no lower.
  expect((await readFloors(database.db, raised)).get(queueId)!.active).toBe(from);
});

test("a claim that another node's lock kept out says nothing of where to count from", async () => {
  const floors = await readFloors(database.db);
  await enqueue(1);
  const { db } = database;
  await db.transact(async (t) => {
    await t.query(sql("floors-test.lock", "select id from rotor.queues where id = $1 for no key update"), [queueId]);
    const begun = await claim(floors);
    expect([begun.jobs, [...begun.activeFrom]]).toEqual([[], []]);
  });
});

test("what became active before there were such times is counted from any floor that is read", async () => {
  const [old] = await enqueue(1);
  expect(await take(NO_FLOORS)).toEqual([old]);
  await database.db.script(`update rotor.jobs set active_at = '-infinity' where id = '${old}'`);
  await enqueue(5);
  const floors = await readFloors(database.db);
  const begun = await claim(floors);
  expect(begun.jobs).toHaveLength(2);
  expect([...begun.activeFrom]).toEqual([]);
});

test("a queue whose jobs take turns by a key has none: a turn that was waited for comes below", async () => {
  await database.db.script(`update rotor.queues set keyed = true where id = ${queueId}`);
  expect((await readFloors(database.db)).size).toBe(0);
  await database.db.script(`update rotor.queues set keyed = false where id = ${queueId}`);
});
