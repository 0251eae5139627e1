/** A job that waits is changed by PATCH: each field, and when it cannot be. A whole server, real endpoints. */
import type { Job, JobChanges, JobOptions } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";
import { afterDeliveries } from "./testing-kit/delivered.js";
import { jobStage } from "./testing-kit/job-stage.js";
import { gate, recorder } from "./testing-kit/recorder.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const { newQueue, delivering, get, completed, holderOf, busyQueue } = jobStage(() => server);

const HOUR = 3_600_000;

const before: JobOptions = { payload: { a: 1 }, delay: "1h", tags: ["old"], headers: { "x-a": "1" }, timeout: "1m" };
const fields: [string, JobChanges, Partial<Job>][] = [
  ["payload", { payload: [1, { b: 2 }] }, { payload: [1, { b: 2 }] }],
  ["tags", { tags: ["new", "more"] }, { tags: ["new", "more"] }],
  ["tags, to none", { tags: [] }, { tags: [] }],
  ["max_attempts", { maxAttempts: 7 }, { maxAttempts: 7 }],
  ["retries", { retries: 1 }, { maxAttempts: 2 }],
  ["concurrency_key", { concurrencyKey: "patched", keyOrder: "strict" }, { concurrencyKey: "patched" }],
];

test.each(fields)("%s, and nothing else", async (_name, changes, expected) => {
  const queue = await newQueue();
  const { id } = await server.rotor.jobs.enqueue(queue, before);
  const { until, ...old } = await get(queue, id);
  const { deliveries: _, ...unchanged } = { ...old, until, ...expected };
  expect(await server.rotor.jobs.update(queue, id, changes)).toEqual(unchanged);
});

test("concurrency_key, to none: it goes at once", async () => {
  const { queue } = await delivering();
  const holder = await holderOf("left");
  const { id } = await server.rotor.jobs.enqueue(queue, { concurrencyKey: "left" });
  expect(await get(queue, id)).toMatchObject({ reason: "key_blocked" });
  await server.rotor.jobs.update(queue, id, { concurrencyKey: null });
  expect(await completed(queue, id)).toMatchObject({ concurrencyKey: null });
  holder.open();
});

test("delay and run_at: it goes then", async () => {
  const { queue, endpoint } = await delivering();
  const { id } = await server.rotor.jobs.enqueue(queue, before);
  const runAt = new Date(Date.now() + 3 * HOUR).toISOString();
  expect(await server.rotor.jobs.update(queue, id, { runAt })).toMatchObject({ until: runAt, runAt });
  const later = await server.rotor.jobs.update(queue, id, { delay: "2h" });
  expect(Date.parse(later.until!) - Date.now()).toBeLessThan(2 * HOUR + 5_000);
  expect(endpoint.calls).toEqual([]);
  await server.rotor.jobs.update(queue, id, { delay: 0 });
  await completed(queue, id);
});

test("priority: among those that are due; a delayed job stays delayed", async () => {
  const { queue, order } = await busyQueue();
  const [, b, later] = await server.rotor.jobs.enqueueBatch(queue, [
    { payload: "a" },
    { payload: "b" },
    { payload: "later", delay: "1h" },
  ]);
  await server.rotor.jobs.update(queue, b!.id, { priority: 50 });
  expect(await server.rotor.jobs.update(queue, later!.id, { priority: 100 })).toMatchObject({ reason: "delayed" });
  expect(await order(3)).toEqual(["first", "b", "a"]);
});

test("timeout and headers: the next delivery has them, and the attempts that were made count on", async () => {
  let calls = 0;
  const endpoint = await recorder(server, (_call, response) => {
    calls++;
    if (calls === 1) response.writeHead(500).end();
  });
  const queue = await newQueue({ callbackUrl: endpoint.url });
  const { id } = await server.rotor.jobs.enqueue(queue, { headers: { "x-a": "1" } });
  await afterDeliveries(server, { queue, id });
  const changed = await server.rotor.jobs.update(queue, id, { headers: { "x-b": "2" }, timeout: "150ms" });
  expect(changed).toMatchObject({ reason: "retrying", attempt: 1 });
  expect(await server.rotor.jobs.update(queue, id, { delay: 0 })).toMatchObject({ attempt: 0 });
  const { deliveries } = await afterDeliveries(server, { queue, id }, 2);
  expect(deliveries![1]!.durationMs).toBeLessThan(2_000);
  expect(endpoint.calls[1]!.headers).toMatchObject({ "x-b": "2", "x-rotor-attempt": "1" });
  expect(endpoint.calls[1]!.headers["x-a"]).toBeUndefined();
});

test("a job that waits for a yes, too: it is delivered as it is then", async () => {
  const { queue, endpoint } = await delivering({ approvalRequired: true });
  const { id } = await server.rotor.jobs.enqueue(queue, { payload: "asked" });
  expect(await server.rotor.jobs.update(queue, id, { payload: "changed", delay: 0 })).toMatchObject({
    state: "pending_approval",
  });
  await server.rotor.approvals.approve(id);
  await completed(queue, id);
  expect(endpoint.calls.map(({ payload }) => payload)).toEqual(["changed"]);
});

test("one that is active or finished is not: 409 that says so", async () => {
  const { opened, open } = gate();
  const endpoint = await recorder(server, async (_call, response) => {
    await opened;
    response.end();
  });
  const queue = await newQueue({ callbackUrl: endpoint.url });
  const { id } = await server.rotor.jobs.enqueue(queue);
  await eventually("it is in hand", () => endpoint.calls.length === 1);
  for (const state of ["active", "completed"]) {
    await expect(server.rotor.jobs.update(queue, id, { payload: 2 })).rejects.toMatchObject({
      status: 409,
      message: expect.stringContaining(state),
    });
    open();
    await completed(queue, id);
  }
});
