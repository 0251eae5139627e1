/** Events of a later time: stored at once, published when they are due, and seen by nobody before. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  cancelOn,
  checkpointOne,
  clearJobs,
  functionQueue,
  publishOne,
  readJob,
  readSteps,
  WORKSPACE,
  waitFor,
} from "../testing-kit/fixtures.js";
import { sweep } from "../testing-kit/pruning.js";
import { abandonAll } from "./abandon.js";
import { type EventFilter, findEvents } from "./event-lists.js";
import { violations } from "./invariants.js";
import { publishRest, untilNextEvent } from "./publish.js";
import { readEvents } from "./views.js";

let database: TestDatabase;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  runs = await functionQueue(database.db, "function", { triggers: [{ event: "later" }] });
});
beforeEach(() => clearJobs(database.db));
afterAll(() => database.close());

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const send = (inMs: number, more: object = {}) =>
  publishOne(database.db, "later", { n: 1 }, { tsMs: Date.now() + inMs, ...more });
const listed = async (filter: EventFilter = {}) => {
  const { ids } = await findEvents(database.db, WORKSPACE, filter, { cursor: undefined, limit: 10 });
  return readEvents(database.db, WORKSPACE, ids, null);
};
async function after<T>(ms: number, work: () => Promise<T>): Promise<T> {
  try {
    await database.shiftClock(ms);
    return await work();
  } finally {
    await database.shiftClock(0);
  }
}

test("it starts, resumes and cancels when it is due, once, and counts as having come then", async () => {
  const [waiting, doomed] = [await activeRun(database.db, runs), await activeRun(database.db, runs)];
  await checkpointOne(database.db, waiting, [waitFor("w", "later", { timeout_ms: 2 * DAY })]);
  await cancelOn(database.db, doomed.jobId, "later");
  const sent = await send(HOUR, { key: "same" });
  expect(sent).toMatchObject({ duplicate: false, runs: [], resumed: [], cancelled: [], dueAt: expect.any(Date) });
  expect(await send(HOUR, { key: "same" })).toMatchObject({ duplicate: true, id: sent.id, dueAt: sent.dueAt });
  // A wait that is stored meanwhile does not find it.
  const other = await activeRun(database.db, runs);
  await checkpointOne(database.db, other, [waitFor("w", "later", { timeout_ms: 2 * DAY, since_ms: DAY })]);
  expect((await readSteps(database.db, other.jobId)).w?.state).toBe("waiting");
  expect(await publishRest(database.db)).toBe(false);
  expect(await untilNextEvent(database.db)).toBeGreaterThan(HOUR - 60_000);
  expect(await listed()).toMatchObject([{ receivedAt: null, dueAt: sent.dueAt }]);
  await after(HOUR + 1_000, async () => {
    expect(await publishRest(database.db)).toBe(true);
    expect(await publishRest(database.db)).toBe(false);
    for (const run of [waiting, other])
      expect((await readSteps(database.db, run.jobId)).w).toMatchObject({ output: { n: 1 }, eventId: sent.id });
    expect((await readJob(database.db, doomed.jobId)).state).toBe("cancelled");
    const [event] = await listed();
    expect(event?.dueAt).toBeNull();
    expect(event!.receivedAt!.getTime()).toBeGreaterThan(sent.dueAt!.getTime());
    const again = await send(0, { key: "same" });
    expect(again).toMatchObject({ duplicate: true, runs: [{ function: "function" }] });
    // From now on a look-back finds it.
    const late = await activeRun(database.db, runs);
    await checkpointOne(database.db, late, [waitFor("w", "later", { since_ms: HOUR })]);
    expect((await readSteps(database.db, late.jobId)).w?.eventId).toBe(sent.id);
    expect(await violations(database.db)).toEqual([]);
  });
});

test("a sender whose clock is a little fast delays nothing", async () => {
  expect(await send(300)).toMatchObject({ dueAt: null, runs: [{ function: "function" }] });
});

test("more than a year ahead is refused, and nothing of the batch is stored", async () => {
  await expect(send(367 * DAY)).rejects.toMatchObject({ name: "EventTooFarError", index: 0 });
  expect(await listed()).toEqual([]);
  const run = await activeRun(database.db, runs);
  const events = [
    { name: "fine", data: 1 },
    { name: "far", data: 1, ts: Date.now() + 367 * DAY },
  ];
  await checkpointOne(database.db, run, [{ kind: "send", key: "tell", events }]);
  const { tell } = await readSteps(database.db, run.jobId);
  expect([tell?.state, tell?.error?.name]).toEqual(["failed", "EventTooFarError"]);
  expect(tell?.error?.message).toMatch(/^The event far: /);
  expect(await listed()).toEqual([]);
});

test("a step's event is delayed as any other", async () => {
  const run = await activeRun(database.db, runs);
  await checkpointOne(database.db, run, [
    { kind: "send", key: "tell", events: [{ name: "later", data: 1, ts: Date.now() + HOUR, tags: ["eu"] }] },
  ]);
  expect((await readSteps(database.db, run.jobId)).tell?.state).toBe("completed");
  expect(await listed({ tag: "eu" })).toMatchObject([{ receivedAt: null, tags: ["eu"] }]);
  expect(await listed({ tag: "us" })).toEqual([]);
});

test("what still comes is not pruned; what an adopted database gave up is, after its time", async () => {
  await send(40 * DAY);
  await after(35 * DAY, async () => {
    await sweep(database.db);
    expect(await listed()).toHaveLength(1);
  });
  await abandonAll(database.db);
  await after(60 * DAY, async () => {
    await sweep(database.db);
    expect(await listed()).toHaveLength(1);
    expect(await publishRest(database.db)).toBe(false);
  });
  await after(75 * DAY, async () => {
    await sweep(database.db);
    expect(await listed()).toEqual([]);
  });
});
