/** What webhooks are told is written where it happens: with it, or not at all. */
import { afterAll, beforeEach, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  callbackQueue,
  claimOne,
  clearJobs,
  enqueueAll,
  newJob,
  readJob,
  settleOne,
  WORKSPACE,
} from "../testing-kit/fixtures.js";
import type { Queryable } from "./db.js";
import { expireOverdue } from "./rescue.js";
import { forgetWanted, tell, tellEnds } from "./tell.js";
import { createWebhook, deleteWebhook, getWebhook, updateWebhook } from "./webhooks.js";

const database: TestDatabase = await testDatabase();
const { db } = database;
afterAll(() => database.close());

beforeEach(async () => {
  await clearJobs(db);
  await db.script("delete from rotor.queues");
  forgetWanted(db);
});

async function hear(name: string, types: readonly string[]): Promise<void> {
  await createWebhook(db, WORKSPACE, name, "http://127.0.0.1:9/");
  const webhook = await getWebhook(db, WORKSPACE, name);
  await updateWebhook(db, webhook!, { url: "http://127.0.0.1:9/", headers: {}, types });
}

/** Types of all that was told, and by which queue. */
async function told(): Promise<string[]> {
  const { rows } = await db.script(
    `select queue.name || ' ' || payload.tags[1] as told from rotor.payloads payload join rotor.queues queue on queue.id = payload.queue_id
      where queue.system = 'webhook' order by 1`,
  );
  return rows.map((row) => row.told);
}

test("each webhook of the workspace that wants a type is told, each in its own queue", async () => {
  const { id: queueId } = await callbackQueue(db);
  await hear("all", ["*"]);
  await hear("failures", ["job.failed"]);
  await hear("ends", ["job.completed", "job.failed"]);
  const job = newJob(queueId);
  await enqueueAll(db, [job]);
  await settleOne(db, await claimOne(db, queueId, job.id), { kind: "done", output: "secret" });
  expect(await told()).toEqual(["rotor/webhook/all job.completed", "rotor/webhook/ends job.completed"]);
});

test("what is rolled back is told to nobody", async () => {
  const { id: queueId } = await callbackQueue(db);
  await hear("all", ["*"]);
  const job = newJob(queueId);
  await enqueueAll(db, [job]);
  const failing = db.transact(async (t) => {
    const end = { jobId: job.id, attempt: 1, outcome: "completed", state: "completed", error: null } as const;
    await tellEnds(t, [end]);
    await tell(t, [{ workspace: WORKSPACE, type: "queue.late", data: {} }]);
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  expect(await told()).toEqual([]);
});

test("a delivery that outlived its limit is told as stalled", async () => {
  const { id: queueId } = await callbackQueue(db, "slow", { maxAttempts: 2 });
  await hear("stalls", ["job.stalled", "job.failed"]);
  const job = newJob(queueId);
  await enqueueAll(db, [job]);
  await claimOne(db, queueId, job.id);
  await database.shiftClock(30_000 + limits.expiryGraceMs + 1_000);
  expect(await expireOverdue(db, () => 0)).toBe(1);
  expect(await told()).toEqual(["rotor/webhook/stalls job.stalled"]);
});

test("what a webhook's own deliveries come to is told to nobody", async () => {
  await hear("all", ["*"]);
  const { queueId } = (await getWebhook(db, WORKSPACE, "all"))!;
  await db.transact((t) => tell(t, [{ workspace: WORKSPACE, type: "queue.late", data: {} }]));
  const { rows } = await db.script(`select id from rotor.jobs where queue_id = ${queueId}`);
  const holder = await claimOne(db, queueId, rows[0].id);
  await settleOne(db, holder, { kind: "failed", final: true, error: { name: "DeliveryError", message: "no" } });
  expect((await readJob(db, rows[0].id)).state).toBe("failed");
  expect(await told()).toEqual(["rotor/webhook/all queue.late"]);
});

test("where nobody listens an end asks the database nothing, but for a look once a second", async () => {
  const end = { jobId: newJob(1).id, attempt: 1, outcome: "completed", state: "completed", error: null } as const;
  const asked: string[] = [];
  const counting: Queryable = {
    origin: {},
    query: (statement, values) => {
      asked.push(statement.name);
      return db.query(statement, values);
    },
  };
  for (let i = 0; i < 100; i++) await tellEnds(counting, [end]);
  expect(asked).toEqual(["tell.wanted"]);
});

test("a webhook that is deleted takes along what it was not told yet, and its name is free", async () => {
  await hear("brief", ["*"]);
  const { queueId } = (await getWebhook(db, WORKSPACE, "brief"))!;
  await db.transact((t) => tell(t, [{ workspace: WORKSPACE, type: "queue.late", data: {} }]));
  const { rows } = await db.script(`select id from rotor.jobs where queue_id = ${queueId}`);
  expect(await deleteWebhook(db, WORKSPACE, "brief")).toBe(true);
  expect(await deleteWebhook(db, WORKSPACE, "brief")).toBe(false);
  expect((await readJob(db, rows[0].id)).state).toBe("cancelled");
  expect(await createWebhook(db, WORKSPACE, "brief", "http://127.0.0.1:9/")).toBe("made");
});

test("a workspace has so many webhooks, and of makers of one name one wins", async () => {
  const makers = Array.from({ length: 5 }, () => createWebhook(db, WORKSPACE, "same", "http://127.0.0.1:9/"));
  expect((await Promise.all(makers)).sort()).toEqual(["made", "taken", "taken", "taken", "taken"]);
  for (let i = 1; i < limits.webhooks; i++)
    expect(await createWebhook(db, WORKSPACE, `hook-${i}`, "http://127.0.0.1:9/")).toBe("made");
  expect(await createWebhook(db, WORKSPACE, "one-more", "http://127.0.0.1:9/")).toBe("too-many");
});
