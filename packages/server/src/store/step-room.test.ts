import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { activeRun, checkpointOne, clearJobs, functionQueue, type Holder, ran } from "../testing-kit/fixtures.js";
import { createStepRoom } from "./step-room.js";

let database: TestDatabase;
let queue: number;
beforeAll(async () => {
  database = await testDatabase();
  queue = await functionQueue(database.db);
});
afterAll(() => database.close());
beforeEach(() => clearJobs(database.db));

const reports = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => ran(`s${from + n}`));

/** A run with steps `s0`… up to this one. */
async function runOf(steps: number): Promise<Holder> {
  const run = await activeRun(database.db, queue);
  await checkpointOne(database.db, run, reports(0, steps));
  return run;
}

test("a run has room up to the limit, and none beyond it", async () => {
  const { jobId } = await runOf(6);
  const room = createStepRoom(database.db, 10);
  expect(await room.fits(jobId, 1, reports(6, 10), 6)).toBe(true);
  await checkpointOne(database.db, { jobId, delivery: 1 }, reports(6, 10));
  expect(await room.fits(jobId, 1, reports(10, 11), 6)).toBe(false);
  // Nor by another node, which read no body, nor in another delivery.
  expect(await createStepRoom(database.db, 10).fits(jobId, 1, reports(10, 11), undefined)).toBe(false);
  expect(await room.fits(jobId, 2, reports(10, 11), 10)).toBe(false);
});

test("what is reported again takes no room, even of a run that has none left", async () => {
  const { jobId } = await runOf(10);
  const room = createStepRoom(database.db, 10);
  for (let n = 0; n < 5; n++) expect(await room.fits(jobId, 1, reports(2, 8), 10)).toBe(true);
  expect(await room.fits(jobId, 1, reports(9, 11), 10)).toBe(false);
});

test("far from the limit nothing is asked of the database", async () => {
  const room = createStepRoom({ query: () => Promise.reject(new Error("asked")) }, 1_000);
  for (let n = 0; n < 100; n++) expect(await room.fits("run", 1, reports(n, n + 1), 0)).toBe(true);
  await expect(room.fits("run", 1, reports(0, 901), 0)).rejects.toThrow("asked");
  room.forget("run");
  await expect(room.fits("run", 1, reports(0, 1), undefined)).rejects.toThrow("asked");
});
