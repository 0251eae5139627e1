/** Each option that a job may be enqueued with, by what it does: a whole server, real endpoints. */
import { setTimeout as after } from "node:timers/promises";
import type { JobOptions } from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";
import { afterDeliveries } from "./testing-kit/delivered.js";
import { jobStage } from "./testing-kit/job-stage.js";
import { type Recorder, recorder } from "./testing-kit/recorder.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const HOUR = 3_600_000;

const { newQueue, delivering, get, completed, holderOf, busyQueue } = jobStage(() => server);

/** Posts as any HTTP client would. */
const post = (
  queue: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
): Promise<Response> => fetch(`${server.baseUrl}/v1/queues/${queue}/jobs`, { method: "POST", body, headers });

describe("payload", () => {
  test("in an envelope keeps its own text: all digits, the order of keys, escapes", async () => {
    const { queue, endpoint } = await delivering();
    const text = String.raw`{"n":1.50,"big":12345678901234567890,"b":1,"a":"\u00e9 \/","list":[1e2]}`;
    const answer = await post(queue, `{"payload": ${text} }`, { "content-type": "application/json" });
    expect(answer.status).toBe(201);
    await completed(queue, ((await answer.json()) as { id: string }).id);
    expect(endpoint.calls[0]!.body.toString()).toBe(text);
    expect(endpoint.calls[0]!.headers["content-type"]).toBe("application/json");
  });

  test("as a bare body is delivered byte for byte under its own type, its options in headers", async () => {
    const { queue, endpoint } = await delivering();
    const bytes = new Uint8Array([0, 0xff, 10, 13, 0x80]);
    const answer = await post(queue, bytes, {
      "content-type": "application/x-thing",
      "x-rotor-job-id": "raw-1",
      "x-rotor-tags": "a, b",
      "x-rotor-retries": "2",
      "x-rotor-concurrency-key": "raw key",
      "x-rotor-on-duplicate": "reject",
    });
    const { id } = (await answer.json()) as { id: string };
    const job = await completed(queue, id);
    expect(job).toMatchObject({ jobId: "raw-1", tags: ["a", "b"], maxAttempts: 3, concurrencyKey: "raw key" });
    expect([...endpoint.calls[0]!.body]).toEqual([...bytes]);
    expect(endpoint.calls[0]!.headers["content-type"]).toBe("application/x-thing");
    const again = await post(queue, bytes, {
      "content-type": "application/x-thing",
      "x-rotor-job-id": "raw-1",
      "x-rotor-on-duplicate": "reject",
    });
    expect(again.status).toBe(409);
  });
});

describe("job_id", () => {
  test("ignore, the default: the first job answers, and tells whether the payload is another", async () => {
    const { queue, endpoint } = await delivering();
    const first = await server.rotor.jobs.enqueue(queue, { jobId: "a", payload: 1 });
    expect(first).toMatchObject({ duplicate: false });
    expect(await server.rotor.jobs.enqueue(queue, { jobId: "a", payload: 1 })).toMatchObject({
      id: first.id,
      duplicate: true,
      payloadDiffers: false,
    });
    const ignore: JobOptions = { jobId: "a", payload: 2, onDuplicate: "ignore" };
    expect(await server.rotor.jobs.enqueue(queue, ignore)).toMatchObject({ id: first.id, payloadDiffers: true });
    await completed(queue, "a");
    expect(await server.rotor.jobs.enqueue(queue, ignore)).toMatchObject({ state: "completed", duplicate: true });
    expect(endpoint.calls.map(({ payload }) => payload)).toEqual([1]);
  });

  test("reject: 409 that names the first, in a batch for all of it", async () => {
    const queue = await newQueue();
    const { id } = await server.rotor.jobs.enqueue(queue, { jobId: "a" });
    await expect(server.rotor.jobs.enqueue(queue, { jobId: "a", onDuplicate: "reject" })).rejects.toMatchObject({
      status: 409,
      details: { id, state: "waiting" },
    });
    const batch = [{ jobId: "b" }, { jobId: "a", onDuplicate: "reject" as const }];
    await expect(server.rotor.jobs.enqueueBatch(queue, batch)).rejects.toMatchObject({ status: 409 });
    await expect(get(queue, "b")).rejects.toMatchObject({ status: 404 });
  });

  test("replace, while it waits: a debounce, of which the last is delivered once, at its own time", async () => {
    const { queue, endpoint } = await delivering();
    const save = (payload: number, more: JobOptions = {}) =>
      server.rotor.jobs.enqueue(queue, { jobId: "doc", payload, delay: "1h", onDuplicate: "replace", ...more });
    const first = await save(1, { tags: ["old"], priority: 5 });
    expect(first).toMatchObject({ duplicate: false });
    for (const payload of [2, 3]) {
      expect(await save(payload, { delay: "2h" })).toMatchObject({ id: first.id, duplicate: true, replaced: true });
    }
    const job = await get(queue, "doc");
    expect(job).toMatchObject({ payload: 3, tags: [], reason: "delayed" });
    expect(Date.parse(job.until!) - Date.now()).toBeGreaterThan(2 * HOUR - 60_000);
    expect(await save(4, { delay: 0, headers: { "x-last": "yes" } })).toMatchObject({ replaced: true });
    await completed(queue, "doc");
    expect(endpoint.calls.map(({ payload, headers }) => [payload, headers["x-last"]])).toEqual([[4, "yes"]]);
    const late = await save(5, { delay: 0 });
    expect(late).toMatchObject({ id: first.id, state: "completed", duplicate: true, payloadDiffers: true });
    expect(late.replaced).toBeUndefined();
  });

  test.each(["ignore", "replace", "reject"] as const)(
    "of 100 racers, %s: one job, and all learn its id",
    async (onDuplicate) => {
      const { queue, endpoint } = await delivering();
      await server.rotor.queues.pause(queue);
      const answers = await Promise.allSettled(
        Array.from({ length: 100 }, (_, payload) =>
          server.rotor.jobs.enqueue(queue, { jobId: "race", payload, onDuplicate }),
        ),
      );
      const ids = answers.map((answer) => (answer.status === "fulfilled" ? answer.value.id : answer.reason.details.id));
      expect(new Set(ids).size).toBe(1);
      const made = answers.filter((answer) => answer.status === "fulfilled" && !answer.value.duplicate);
      expect(made).toHaveLength(1);
      expect((await server.rotor.jobs.list(queue).page()).data).toHaveLength(1);
      await server.rotor.queues.resume(queue);
      await completed(queue, "race");
      expect(endpoint.calls).toHaveLength(1);
    },
  );
});

test("delay and run_at: nothing is sent before, and it is then", async () => {
  const { queue, endpoint } = await delivering();
  const runAt = new Date(Date.now() + 2 * HOUR);
  const [byDelay, bySeconds, byDate, past] = await server.rotor.jobs.enqueueBatch(queue, [
    { payload: "delay", delay: "1h" },
    { payload: "seconds", delay: 3_600 },
    { payload: "date", runAt },
    { payload: "past", runAt: new Date(0) },
  ]);
  await completed(queue, past!.id);
  for (const { id } of [byDelay!, bySeconds!]) {
    const { reason, until, createdAt } = await get(queue, id);
    expect([reason, Date.parse(until!) - Date.parse(createdAt)]).toEqual(["delayed", HOUR]);
  }
  expect(await get(queue, byDate!.id)).toMatchObject({ reason: "delayed", until: runAt.toISOString() });
  expect(endpoint.calls.map(({ payload }) => payload)).toEqual(["past"]);
  await server.shiftClock(2 * HOUR + 1_000);
  try {
    await server.ring();
    for (const { id } of [byDelay!, bySeconds!, byDate!]) await completed(queue, id);
  } finally {
    await server.shiftClock(0);
  }
  expect(endpoint.calls.find(({ payload }) => payload === "date")!.headers["x-rotor-scheduled-at"]).toBe(
    runAt.toISOString(),
  );
});

test("priority: of jobs that are due, the higher go first on a busy queue", async () => {
  const { queue, order } = await busyQueue();
  for (const priority of [0, 3, -1, 100, 50]) await server.rotor.jobs.enqueue(queue, { payload: priority, priority });
  expect(await order(6)).toEqual(["first", 100, 50, 3, 0, -1]);
});

describe("concurrency_key", () => {
  test("over two queues: one at a time, or as many as the key's limit says", async () => {
    let wanted = 1;
    const endpoint: Recorder = await recorder(server, async (_call, response) => {
      await eventually(`${wanted} at a time`, () => endpoint.most() >= wanted);
      // One more that may come has the time to come.
      await after(5);
      response.end();
    });
    const queues = [await newQueue({ callbackUrl: endpoint.url }), await newQueue({ callbackUrl: endpoint.url })];
    const enqueueAll = async (concurrencyKey: string): Promise<void> => {
      const made = await Promise.all(
        queues.map((queue) =>
          server.rotor.jobs.enqueueBatch(
            queue,
            Array.from({ length: 6 }, () => ({ concurrencyKey })),
          ),
        ),
      );
      for (const [index, jobs] of made.entries()) for (const { id } of jobs) await completed(queues[index]!, id);
    };
    await enqueueAll("alone");
    expect(endpoint.most()).toBe(1);
    wanted = 3;
    await server.rotor.concurrencyKeys.set("three", { limit: 3 });
    await enqueueAll("three");
    expect(endpoint.most()).toBe(3);
    expect(endpoint.calls).toHaveLength(24);
    expect(await server.rotor.concurrencyKeys.get("three")).toEqual({ key: "three", limit: 3, active: 0, blocked: 0 });
    expect((await server.rotor.concurrencyKeys.list().page()).data.map(({ key }) => key)).toEqual(
      expect.arrayContaining(["alone", "three"]),
    );
  });

  test("blocks no job of another key, or of none", async () => {
    const { queue, endpoint } = await delivering();
    const holder = await holderOf("taken");
    const blocked = await server.rotor.jobs.enqueue(queue, { concurrencyKey: "taken", payload: "blocked" });
    const others = await server.rotor.jobs.enqueueBatch(queue, [{ concurrencyKey: "free" }, {}]);
    for (const { id } of others) await completed(queue, id);
    expect(await get(queue, blocked.id)).toMatchObject({ reason: "key_blocked", until: null, concurrencyKey: "taken" });
    expect((await server.rotor.jobs.list(queue, { state: "key_blocked" }).page()).data).toHaveLength(1);
    await server.rotor.jobs.cancel(holder.queue, holder.id);
    await completed(queue, blocked.id);
    expect(endpoint.calls.map(({ payload }) => payload)).toContain("blocked");
    holder.open();
  });
});

describe("key_order", () => {
  /** The first of two jobs of a key fails once and comes back in an hour. */
  async function twoJobs(keyOrder: "started" | "strict") {
    let calls = 0;
    const endpoint = await recorder(server, (_call, response) => response.writeHead(++calls === 1 ? 500 : 200).end());
    const queue = await newQueue({ callbackUrl: endpoint.url });
    const job = { concurrencyKey: `order-${keyOrder}`, keyOrder };
    const [first, second] = [
      await server.rotor.jobs.enqueue(queue, { payload: 1, ...job }),
      await server.rotor.jobs.enqueue(queue, { payload: 2, ...job }),
    ];
    await afterDeliveries(server, { queue, id: first.id });
    return { endpoint, queue, first: first.id, second: second.id };
  }

  test("started, the default: a job in back-off gives up its turn", async () => {
    const { queue, first, second } = await twoJobs("started");
    await completed(queue, second);
    expect(await get(queue, first)).toMatchObject({ reason: "retrying" });
  });

  test("strict: others wait until it has ended", async () => {
    const { endpoint, queue, first, second } = await twoJobs("strict");
    await server.ring();
    expect(await server.rotor.jobs.why(second)).toMatchObject({ reason: "key_blocked", blockedBy: [{ id: first }] });
    await server.rotor.jobs.update(queue, first, { delay: 0 });
    await completed(queue, second);
    expect(endpoint.calls.map(({ payload }) => payload)).toEqual([1, 1, 2]);
  });
});

test("tags: jobs are listed by them", async () => {
  const queue = await newQueue();
  await server.rotor.jobs.enqueueBatch(queue, [
    { payload: 1, tags: ["eu", "import"] },
    { payload: 2, tags: ["us"] },
    { payload: 3 },
  ]);
  const payloads = async (tag: string) =>
    (await server.rotor.jobs.list(queue, { tag }).page()).data.map(({ payload }) => payload);
  expect([await payloads("eu"), await payloads("import"), await payloads("us"), await payloads("none")]).toEqual([
    [1],
    [1],
    [2],
    [],
  ]);
});

test("max_attempts, or retries without the first: in place of the queue's", async () => {
  const endpoint = await recorder(server, (_call, response) => response.writeHead(500).end());
  const queue = await newQueue({ callbackUrl: endpoint.url });
  const [once, twice, five] = await server.rotor.jobs.enqueueBatch(queue, [
    { payload: "once", maxAttempts: 1 },
    { payload: "twice", retries: 1 },
    { payload: "queue's" },
  ]);
  expect(await afterDeliveries(server, { queue, id: once!.id })).toMatchObject({ state: "failed", maxAttempts: 1 });
  expect(await afterDeliveries(server, { queue, id: twice!.id })).toMatchObject({ state: "waiting", maxAttempts: 2 });
  expect(await afterDeliveries(server, { queue, id: five!.id })).toMatchObject({ state: "waiting", maxAttempts: 5 });
  const told = Object.fromEntries(
    endpoint.calls.map(({ payload, headers }) => [payload, headers["x-rotor-max-attempts"]]),
  );
  expect(told).toEqual({ once: "1", twice: "2", "queue's": "5" });
});

test("timeout: in place of the queue's", async () => {
  const endpoint = await recorder(server, () => undefined);
  const queue = await newQueue({ callbackUrl: endpoint.url, timeout: "1h" });
  const { id } = await server.rotor.jobs.enqueue(queue, { timeout: "200ms" });
  const { deliveries } = await afterDeliveries(server, { queue, id });
  expect(deliveries![0]!.durationMs).toBeGreaterThanOrEqual(199);
  expect(deliveries![0]!.durationMs).toBeLessThan(2_000);
});

test("headers: beside the queue's, and in place of those of the same name", async () => {
  const { queue, endpoint } = await delivering({ headers: { "X-Team": "one", "X-Kind": "queue" } });
  const { id } = await server.rotor.jobs.enqueue(queue, { headers: { "x-kind": "job", "X-Own": "yes" } });
  await completed(queue, id);
  expect(endpoint.calls[0]!.headers).toMatchObject({ "x-team": "one", "x-kind": "job", "x-own": "yes" });
});
