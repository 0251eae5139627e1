/** What the rescuer does and does not take, on a real database; its lease is in the test's hand. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { violations } from "../store/invariants.js";
import { registerNode } from "../store/nodes.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, claimOne, clearJobs, enqueueAll, newJob, readJob, settleOne } from "../testing-kit/fixtures.js";
import { eventually } from "../testing-kit/server.js";
import { createLease, type Lease } from "./lease.js";
import { createRescuer } from "./rescuer.js";

let database: TestDatabase;
let queueId: number;

beforeAll(async () => {
  database = await testDatabase();
  queueId = (await callbackQueue(database.db)).id;
});

beforeEach(async () => {
  await database.shiftClock(0);
  await clearJobs(database.db);
});

afterAll(() => database.close());

const leaseThat = (steady: boolean): Lease => ({
  nodeId: () => "",
  fresh: () => true,
  steady: () => steady,
  nodes: () => 1,
  now: Date.now,
  start: async () => undefined,
  stop: async () => undefined,
});

function rescuer(lease: Lease, held = false) {
  const rescued: number[] = [];
  const loop = createRescuer({
    db: database.db,
    lease,
    held: () => held,
    onRescued: (count) => rescued.push(count),
    onError: (error) => expect.unreachable(String(error)),
  });
  return { loop, rescued };
}

/** A job in the hands of a node. */
async function inHandOf(nodeId: string): Promise<string> {
  const job = newJob(queueId);
  await enqueueAll(database.db, [job]);
  await claimOne(database.db, queueId, job.id, nodeId);
  return job.id;
}

async function deadNodesJob(): Promise<string> {
  const nodeId = newId();
  await registerNode(database.db, nodeId, "dead");
  const id = await inHandOf(nodeId);
  await database.shiftClock(limits.leaseMs + 1);
  return id;
}

test("a dead node's work is back at no cost, and its row is gone", async () => {
  const id = await deadNodesJob();
  const { loop, rescued } = rescuer(leaseThat(true));
  await loop.tick();
  expect(await readJob(database.db, id)).toMatchObject({ state: "waiting", attempt: 0, rescues: 1, nodeId: null });
  expect(rescued).toEqual([1]);
  expect((await database.db.script("select 1 from rotor.nodes")).rows).toEqual([]);
});

test("a rescuer that is not steady, or held, takes nothing", async () => {
  const id = await deadNodesJob();
  await rescuer(leaseThat(false)).loop.tick();
  await rescuer(leaseThat(true), true).loop.tick();
  expect(await readJob(database.db, id)).toMatchObject({ state: "active", rescues: 0 });
});

test("a living node's work is left alone", async () => {
  const nodeId = newId();
  await registerNode(database.db, nodeId, "alive");
  const id = await inHandOf(nodeId);
  const { loop, rescued } = rescuer(leaseThat(true));
  await loop.tick();
  expect(await readJob(database.db, id)).toMatchObject({ state: "active" });
  expect(rescued).toEqual([]);
});

test("a look that is slow is followed by a longer rest, so that it takes a small part of the time, but not by a long one", async () => {
  const { loop } = rescuer(leaseThat(true));
  await eventually("a look that is not slow", async () => (await loop.tick()) === limits.renewMs);
  const client = await database.db.connect();
  await client.query("begin");
  await client.query(database.db.resolve("lock table rotor.jobs in access exclusive mode"));
  const slow = loop.tick();
  await eventually("a tick that has waited for long enough", async () => {
    const { rows } = await client.query(
      database.db.resolve(
        "select from pg_locks where relation = 'rotor.jobs'::regclass and not granted and clock_timestamp() - waitstart > interval '160 ms'",
      ),
    );
    return rows.length > 0;
  });
  await client.query("commit");
  await client.end();
  expect(await slow).toBe(3 * limits.renewMs);
});

test("an accepted job survives the death of the node that delivered it", async () => {
  const nodeId = newId();
  await registerNode(database.db, nodeId, "dead");
  const job = newJob(queueId);
  await enqueueAll(database.db, [job]);
  const holder = await claimOne(database.db, queueId, job.id, nodeId);
  await settleOne(database.db, holder, { kind: "accepted" });
  await database.shiftClock(limits.leaseMs + 1);
  await rescuer(leaseThat(true)).loop.tick();
  expect(await readJob(database.db, job.id)).toMatchObject({ state: "active", delivery: 1, nodeId: null, rescues: 0 });
});

test("two rescuers at once give a dead node's work back once", async () => {
  const id = await deadNodesJob();
  await Promise.all([rescuer(leaseThat(true)).loop.tick(), rescuer(leaseThat(true)).loop.tick()]);
  expect(await readJob(database.db, id)).toMatchObject({ state: "waiting", rescues: 1 });
  expect(await violations(database.db)).toEqual([]);
});

test("a dead node's work is back within a second of a living node's being steady", async () => {
  const id = await deadNodesJob();
  const lease = createLease({
    db: database.db,
    label: "alive",
    onLost: () => expect.unreachable(),
    onError: (error) => expect.unreachable(String(error)),
  });
  const { loop } = rescuer(lease);
  await lease.start();
  loop.start();
  await eventually("a steady node", () => lease.steady(), limits.leaseMs + 3_000);
  await eventually(
    "the rescue",
    async () => (await readJob(database.db, id)).state === "waiting",
    limits.renewMs + 500,
  );
  await loop.stop();
  await lease.stop();
});
