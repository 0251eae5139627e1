/** Where looking begins while it is slow: nothing that counts lies below, and what came below is had without floors. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, clearJobs, enqueueAll, newJob } from "../testing-kit/fixtures.js";
import { lookForDue } from "./claim.js";
import { claimPlain } from "./claim-plain.js";
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
const take = async (floors: Floors): Promise<string[]> => {
  const asked = { nodeId: newId(), queueIds: [queueId], shares: [100], room: 1_000, functions: false, bytes: 0 };
  return (await claimPlain(database.db, { ...asked, floors })).jobs.map((job) => job.jobId);
};
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

test("what came below the floor is not seen by it, and is had without it", async () => {
  const floors = await readFloors(database.db);
  const [early] = await enqueue(1);
  await dueAgo(early!, 10_000);
  expect([await isDue(floors), await take(floors)]).toEqual([false, []]);
  expect(await isDue(NO_FLOORS)).toBe(true);
  expect(await take(NO_FLOORS)).toEqual([early]);
});

test("all that is active is counted, whatever its time limit is, and what is overdue too", async () => {
  const [overdue] = await enqueue(1);
  expect(await take(NO_FLOORS)).toEqual([overdue]);
  await dueAgo(overdue!, 2 * limits.statementTimeoutMs);
  const floors = await readFloors(database.db);
  await enqueueAll(database.db, [newJob(queueId, { timeoutMs: 1_000 })]);
  expect(await take(floors)).toHaveLength(1);
  const later = (await readFloors(database.db, floors)).get(queueId)!;
  expect(later.active).toEqual(floors.get(queueId)!.active);
  await enqueue(5);
  expect(await take(floors)).toHaveLength(1);
  expect(await take(floors)).toEqual([]);
});

test("a queue whose jobs take turns by a key has none: a turn that was waited for comes below", async () => {
  await database.db.script(`update rotor.queues set keyed = true where id = ${queueId}`);
  expect((await readFloors(database.db)).size).toBe(0);
  await database.db.script(`update rotor.queues set keyed = false where id = ${queueId}`);
});
