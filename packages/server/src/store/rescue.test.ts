/** Work whose holder is gone comes back, once, and not for ever. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  callbackQueue,
  checkpointOne,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  functionQueue,
  newJob,
  readJob,
  readSteps,
  settleOne,
} from "../testing-kit/fixtures.js";
import { pausedDb } from "../testing-kit/mutants.js";
import { lockFree } from "./checkpoint.js";
import { violations } from "./invariants.js";
import { registerNode, renewNode } from "./nodes.js";
import { expireOverdue, release, rescueDead } from "./rescue.js";

let database: TestDatabase;
let callbacks: number;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  callbacks = (await callbackQueue(database.db, "queue", { concurrency: null })).id;
  runs = await functionQueue(database.db);
});
beforeEach(async () => {
  await database.shiftClock(0);
  await clearJobs(database.db);
});
afterAll(async () => {
  await database.shiftClock(0);
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

/** A node that took these many jobs and died. */
async function deadNode(count: number): Promise<string[]> {
  const { db } = database;
  const nodeId = newId();
  await registerNode(db, nodeId, "dead");
  const jobs = Array.from({ length: count }, () => newJob(callbacks));
  await enqueueAll(db, jobs);
  await claimAll(db, callbacks, nodeId);
  await database.shiftClock(limits.leaseMs + 1_000);
  return jobs.map((job) => job.id);
}

const nodes = async (): Promise<number> =>
  (await database.db.script("select count(*)::int as count from rotor.nodes")).rows[0].count;

test("nobody rescues from a node that lives", async () => {
  const { db } = database;
  const nodeId = newId();
  await registerNode(db, nodeId, "alive");
  await enqueueAll(db, [newJob(callbacks)]);
  await claimAll(db, callbacks, nodeId);
  await database.shiftClock(limits.leaseMs - 1_000);
  expect(await renewNode(db, nodeId)).toMatchObject({ alive: 1 });
  await database.shiftClock(limits.leaseMs + 1_000);
  expect(await rescueDead(db)).toBeUndefined();
});

test("a node that was taken for dead cannot renew its lease", async () => {
  const { db } = database;
  const nodeId = newId();
  await registerNode(db, nodeId, "paused");
  await database.shiftClock(limits.leaseMs + 1_000);
  expect(await renewNode(db, nodeId)).toBeUndefined();
});

test("a dead node's jobs come back with their attempts, and its row goes", async () => {
  const [jobId] = await deadNode(3);
  expect(await rescueDead(database.db)).toBe(3);
  expect(await nodes()).toBe(0);
  expect(await rescueDead(database.db)).toBeUndefined();
  expect(await readJob(database.db, jobId!)).toMatchObject({ state: "waiting", attempt: 0, delivery: 1, rescues: 1 });
});

test("two rescuers at once give each job back once", async () => {
  await deadNode(50);
  const counts = await Promise.all(Array.from({ length: 4 }, () => rescueDead(database.db)));
  expect(counts.reduce<number>((sum, count) => sum + (count ?? 0), 0)).toBe(50);
});

test("a job in other hands holds up no other, and its node stays to be finished", async () => {
  const { db } = database;
  const ids = await deadNode(5);
  const paused = pausedDb(db, "commit");
  const stranger = paused.db.transact((t) => t.query(lockFree, [[ids[2]!]]));
  await paused.reached;
  expect(await rescueDead(db)).toBe(4);
  expect(await nodes()).toBe(1);
  expect(await rescueDead(db)).toBeUndefined();
  paused.go();
  await stranger;
  expect(await rescueDead(db)).toBe(1);
  expect(await nodes()).toBe(0);
});

test("a release of what is in other hands waits for nobody", async () => {
  const { db } = database;
  const jobs = [newJob(callbacks), newJob(callbacks)];
  await enqueueAll(db, jobs);
  const taken = await claimAll(db, callbacks);
  const paused = pausedDb(db, "commit");
  const stranger = paused.db.transact((t) => t.query(lockFree, [[taken[0]!.jobId]]));
  await paused.reached;
  expect(await release(db, taken)).toBe(1);
  paused.go();
  await stranger;
  expect(await release(db, taken)).toBe(1);
});

test("active rows of a node that has no row are given back", async () => {
  const { db } = database;
  await enqueueAll(db, [newJob(callbacks)]);
  await claimAll(db, callbacks, newId());
  expect(await rescueDead(db)).toBe(1);
});

test("a job whose node dies each time fails at the sixth, and its parent learns of it", async () => {
  const { db } = database;
  const parent = await activeRun(db, runs);
  await checkpointOne(db, parent, [
    { kind: "enqueue", key: "child", queue: "queue", payload: 1, options: {}, wait: true },
  ]);
  const { rows } = await db.script("select id from rotor.jobs where parent_id is not null");
  const states: string[] = [];
  for (let n = 0; n < 6; n++) {
    const taken = await claimAll(db, callbacks, newId());
    expect(taken).toHaveLength(1);
    // The parent's node is gone as well: one of them is found at a time.
    while ((await readJob(db, rows[0].id)).state === "active") await rescueDead(db);
    states.push((await readJob(db, rows[0].id)).state);
  }
  expect(states).toEqual(["waiting", "waiting", "waiting", "waiting", "waiting", "failed"]);
  expect((await readSteps(db, parent.jobId)).child?.error?.name).toBe("WorkflowFailedError");
});

test("a settle between two deaths begins the count anew", async () => {
  const { db } = database;
  const job = newJob(callbacks);
  await enqueueAll(db, [job]);
  await claimAll(db, callbacks, newId());
  await rescueDead(db);
  const holder = await claimOne(db, callbacks, job.id);
  await settleOne(db, holder, { kind: "failed", final: false, error: { name: "E", message: "" } });
  expect((await readJob(db, job.id)).rescues).toBe(0);
});

test("what outlived its limit is taken from whoever holds it, and the attempt counts", async () => {
  const { db } = database;
  const job = newJob(callbacks, { timeoutMs: 10_000 });
  await enqueueAll(db, [job]);
  await claimAll(db, callbacks);
  await database.shiftClock(10_000 + limits.expiryGraceMs - 1_000);
  expect(await expireOverdue(db, () => 0)).toBe(0);
  await database.shiftClock(10_000 + limits.expiryGraceMs + 1_000);
  expect(await expireOverdue(db, () => 0)).toBe(1);
  expect(await readJob(db, job.id)).toMatchObject({ state: "waiting", attempt: 1 });
});

test("a sign of life moves the limit of a run", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  await database.shiftClock(limits.runTimeoutMs * 0.6);
  await checkpointOne(db, run, []);
  await database.shiftClock(limits.runTimeoutMs * 1.2);
  expect(await expireOverdue(db, () => 0)).toBe(0);
  await database.shiftClock(limits.runTimeoutMs * 1.8);
  expect(await expireOverdue(db, () => 0)).toBe(1);
});
