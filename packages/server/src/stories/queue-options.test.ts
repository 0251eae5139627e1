/** Each option that a queue may be given, by what it does: a whole server, real endpoints, a story an option. */
import { setTimeout as after } from "node:timers/promises";
import type { Job, QueueOptions } from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";
import { afterDeliveries, enqueueTo } from "./testing-kit/delivered.js";
import { gate, type Recorder, recorder } from "./testing-kit/recorder.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

let named = 0;
const newQueue = async (options: QueueOptions): Promise<string> => {
  const name = `option-${++named}`;
  await server.rotor.queues.create(name, options);
  return name;
};

const jobsOf = async (queue: string): Promise<readonly Job[]> => (await server.rotor.jobs.list(queue).page()).data;

/** Once all of a queue's jobs are in this state. */
const all = (queue: string, state: Job["state"], count: number): Promise<readonly Job[]> =>
  eventually(`${count} ${state} in ${queue}`, async () => {
    const jobs = await jobsOf(queue);
    return jobs.filter((job) => job.state === state).length === count && jobs;
  });

test("callback_url: without one jobs wait, and once it is set they are delivered", async () => {
  const endpoint = await recorder(server);
  const queue = await newQueue({});
  const { id } = await server.rotor.jobs.enqueue(queue, { payload: 1 });
  expect(await server.rotor.jobs.get(queue, id)).toMatchObject({ state: "waiting", reason: "no_url" });
  await server.rotor.queues.update(queue, { callbackUrl: endpoint.url });
  await all(queue, "completed", 1);
  expect(endpoint.calls.map(({ payload }) => payload)).toEqual([1]);
});

test("headers: go with each delivery, and a change of them with the next", async () => {
  const endpoint = await recorder(server);
  const queue = await newQueue({ callbackUrl: endpoint.url, headers: { Authorization: "Bearer a", "X-Team": "one" } });
  await server.rotor.jobs.enqueue(queue);
  await all(queue, "completed", 1);
  await server.rotor.queues.update(queue, { headers: { "X-Team": "two" } });
  await server.rotor.jobs.enqueue(queue);
  await all(queue, "completed", 2);
  expect(endpoint.calls.map(({ headers }) => [headers.authorization, headers["x-team"]])).toEqual([
    ["Bearer a", "one"],
    [undefined, "two"],
  ]);
});

test("concurrency: the endpoint never has more in hand, and has as many", async () => {
  const endpoint: Recorder = await recorder(server, async (_call, response) => {
    await eventually("three at a time", () => endpoint.most() >= 3);
    // One more that may come has the time to come.
    await after(10);
    response.end();
  });
  const queue = await newQueue({ callbackUrl: endpoint.url, concurrency: 3 });
  await server.rotor.jobs.enqueueBatch(
    queue,
    Array.from({ length: 15 }, () => ({})),
  );
  await all(queue, "completed", 15);
  expect(endpoint.most()).toBe(3);
  expect(endpoint.calls).toHaveLength(15);
});

const claims = {
  name: "test.claims",
  text: `select (extract(epoch from job.active_at) * 1000)::float8 as at, convert_from(payload.body, 'UTF8')::json ->> 'customer' as customer
           from rotor.payloads payload join rotor.jobs job on job.id = payload.job_id join rotor.queues queue on queue.id = payload.queue_id
          where queue.name = $1 order by job.active_at`,
};
type Claim = { readonly at: number; readonly customer: string | null };
const claimsOf = (queue: string): Promise<Claim[]> => server.db.query<Claim>(claims, [queue]);

/** The most jobs of the queue, or of a customer in it, that were claimed within such a span, wherever it begins: a limit is about claims. */
async function mostWithin(ms: number, queue: string, customer?: string): Promise<number> {
  const rows = await claimsOf(queue);
  const times = rows.filter((row) => customer === undefined || row.customer === customer).map((row) => row.at);
  return Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + ms).length));
}

describe("rate_limit", () => {
  test("of a queue: no more than so many begin in any period, and all do in the end", async () => {
    const endpoint = await recorder(server);
    const queue = await newQueue({ callbackUrl: endpoint.url, rateLimit: { limit: 5, period: "500ms" } });
    await server.rotor.jobs.enqueueBatch(
      queue,
      Array.from({ length: 15 }, () => ({})),
    );
    await all(queue, "completed", 15);
    expect(await mostWithin(500, queue)).toBe(5);
    expect(endpoint.calls).toHaveLength(15);
  });

  test("of each value of a key: one customer's backlog does not slow another", async () => {
    const endpoint = await recorder(server);
    const rateLimit = { limit: 2, period: "500ms", key: "payload.customer" } as const;
    const queue = await newQueue({ callbackUrl: endpoint.url, rateLimit });
    const of = (customer: string, length: number) => Array.from({ length }, () => ({ payload: { customer } }));
    await server.rotor.jobs.enqueueBatch(queue, [...of("a", 6), ...of("b", 2), ...of("c", 1)]);
    await all(queue, "completed", 9);
    for (const customer of ["a", "b", "c"])
      expect(await mostWithin(500, queue, customer)).toBe(customer === "c" ? 1 : 2);
    const first = (await claimsOf(queue)).slice(0, 5).map(({ customer }) => customer);
    expect(first.sort()).toEqual(["a", "a", "b", "b", "c"]);
    expect(endpoint.calls).toHaveLength(9);
  });
});

describe("retry", () => {
  const curves: [string, NonNullable<QueueOptions["retry"]>, number[]][] = [
    ["exponential", { backoff: "exponential", min: "10s", factor: 2, max: "35s", jitter: "none" }, [10, 20, 35]],
    ["linear", { backoff: "linear", min: "10s", max: "25s", jitter: "none" }, [10, 20, 25]],
    ["fixed", { backoff: "fixed", min: "7s", jitter: "none" }, [7, 7, 7]],
    ["a list", { backoff: ["5s", "1m"], jitter: "none" }, [5, 60, 60]],
  ];
  /** Seconds that a job waits after each of its attempts. */
  async function delays(retry: QueueOptions["retry"], count: number): Promise<number[]> {
    const endpoint = await recorder(server, (_call, response) => response.writeHead(500).end());
    const ref = await enqueueTo(server, endpoint.url, { retry: { ...retry, maxAttempts: count + 1 } });
    const seconds: number[] = [];
    for (let attempt = 1; attempt <= count; attempt++) {
      const job = await afterDeliveries(server, ref, attempt);
      expect(job).toMatchObject({ state: "waiting", reason: "retrying", attempt });
      seconds.push((Date.parse(job.until!) - Date.parse(job.deliveries!.at(-1)!.endedAt)) / 1_000);
      await server.db.script(`update rotor.jobs set due_at = rotor.clock() where id = '${ref.id}'`);
      await server.ring();
    }
    expect(await afterDeliveries(server, ref, count + 1)).toMatchObject({ state: "failed", until: null });
    return seconds;
  }

  test.each(curves)("%s", async (_name, retry, expected) => {
    expect((await delays(retry, 3)).map(Math.round)).toEqual(expected);
  });

  test("jitter takes up to half of a delay, and not the same from each", async () => {
    const seconds = await Promise.all(
      Array.from({ length: 5 }, async () => (await delays({ backoff: "fixed", min: "100s" }, 1))[0]!),
    );
    for (const each of seconds) {
      expect(each).toBeGreaterThanOrEqual(49.9);
      expect(each).toBeLessThanOrEqual(100.1);
    }
    expect(new Set(seconds.map(Math.round)).size).toBeGreaterThan(1);
  });
});

test("timeout: is total, whatever the endpoint sends meanwhile", async () => {
  const endpoint = await recorder(server, async (_call, response) => {
    response.writeHead(200);
    while (!response.destroyed) {
      response.write(".");
      await after(20);
    }
  });
  const ref = await enqueueTo(server, endpoint.url, { timeout: "300ms" });
  const job = await afterDeliveries(server, ref);
  expect(job).toMatchObject({ state: "waiting", reason: "retrying", deliveries: [{ outcome: "retry" }] });
  const { durationMs, error } = job.deliveries![0]!;
  expect(durationMs).toBeGreaterThanOrEqual(299);
  expect(durationMs).toBeLessThan(2_000);
  expect(error!.message).toMatch(/300ms|300 ms/);
});

test("approval_required and approval_timeout: a job goes when somebody says yes, or fails after its time", async () => {
  const endpoint = await recorder(server);
  const queue = await newQueue({ callbackUrl: endpoint.url, approvalRequired: true, approvalTimeout: "2h" });
  const [yes, none] = await server.rotor.jobs.enqueueBatch(queue, [{ payload: "yes" }, { payload: "none" }]);
  const pending = await server.rotor.jobs.get(queue, none!.id);
  expect(pending).toMatchObject({ state: "pending_approval", reason: "approval" });
  expect(Date.parse(pending.until!) - Date.parse(pending.createdAt)).toBe(7_200_000);
  await server.rotor.approvals.approve(yes!.id);
  await all(queue, "completed", 1);
  await server.db.script(`update rotor.jobs set due_at = rotor.clock() where id = '${none!.id}'`);
  await all(queue, "failed", 1);
  expect(await server.rotor.jobs.get(queue, none!.id)).toMatchObject({ error: { name: "ExpiredError" } });
  expect(endpoint.calls.map(({ payload }) => payload)).toEqual(["yes"]);
});

test("retention: what is said is kept, given whole, and taken back by saying nothing", async () => {
  const queue = await newQueue({ retention: { completed: "1h", failed: "90d" } });
  expect((await server.rotor.queues.get(queue)).retention).toEqual({ completed: "1h", failed: "90d" });
  expect((await server.rotor.queues.update(queue, { concurrency: 2 })).retention).toEqual({
    completed: "1h",
    failed: "90d",
  });
  expect((await server.rotor.queues.update(queue, { retention: { cancelled: "7d" } })).retention).toEqual({
    cancelled: "1w",
  });
  expect((await server.rotor.queues.update(queue, { retention: {} })).retention).toEqual({});
  await expect(server.rotor.queues.update(queue, { retention: { failed: "1s" } })).rejects.toMatchObject({
    status: 422,
  });
});

test("breaker: an endpoint that fails is left alone, tried by one job, and gets everything once it is well", async () => {
  let well = false;
  const endpoint = await recorder(server, (_call, response) => response.writeHead(well ? 200 : 503).end());
  const queue = await newQueue({
    callbackUrl: endpoint.url,
    concurrency: 1,
    breaker: { failures: 3, min: "1m", max: "10m" },
    retry: { maxAttempts: 50, backoff: "fixed", min: "1m", jitter: "none" },
  });
  const openForMs = async (): Promise<number> => {
    const { breaker } = await server.rotor.queues.get(queue);
    return breaker?.openUntil ? Date.parse(breaker.openUntil) - Date.now() : 0;
  };
  await server.rotor.jobs.enqueueBatch(
    queue,
    Array.from({ length: 10 }, (_, payload) => ({ payload })),
  );
  await eventually("it opens", async () => (await openForMs()) > 30_000);
  expect(endpoint.calls).toHaveLength(3);
  await server.rotor.jobs.enqueueBatch(
    queue,
    Array.from({ length: 5 }, (_, payload) => ({ payload: 10 + payload })),
  );
  expect((await server.rotor.jobs.list(queue, { state: "breaker" }).page()).data.length).toBeGreaterThanOrEqual(12);

  /** The time for which it is open passes, and every back-off: also that of the job whose failure opened it. */
  const timePasses = async (): Promise<void> => {
    await eventually("none is active", async () => (await jobsOf(queue)).every(({ state }) => state !== "active"));
    await server.db.script(
      `update rotor.queues set open_at = rotor.clock() where name = '${queue}';
       update rotor.jobs set due_at = rotor.clock() where state = 'waiting' and queue_id = (select id from rotor.queues where name = '${queue}')`,
    );
    await server.ring();
  };
  await timePasses();
  await eventually("the probe fails, and it is open twice as long", async () => (await openForMs()) > 90_000);
  await server.ring();
  expect(endpoint.calls).toHaveLength(4);
  well = true;
  await timePasses();
  const jobs = await all(queue, "completed", 15);
  expect(endpoint.calls).toHaveLength(4 + 15);
  expect(new Set(jobs.map((job) => job.payload)).size).toBe(15);
  expect(await openForMs()).toBe(0);
});

describe("strict_concurrency", () => {
  /**
   * One job's connection is cut by an endpoint that works on; then one more comes. Answers how many were worked on at once,
   * after the time limit of the first has passed.
   */
  async function afterACut(strictConcurrency: boolean) {
    const working = gate();
    const endpoint = await recorder(server, async ({ payload }, response) => {
      if (payload === "cut") {
        response.destroy();
        await working.opened;
      } else response.end();
    });
    const queue = await newQueue({
      callbackUrl: endpoint.url,
      concurrency: 1,
      strictConcurrency,
      timeout: "2s",
      retry: { backoff: ["1h"] },
    });
    const cut = await server.rotor.jobs.enqueue(queue, { payload: "cut" });
    await afterDeliveries(server, { queue, id: cut.id });
    const next = await server.rotor.jobs.enqueue(queue, { payload: "next" });
    return { endpoint, queue, next, work: working };
  }

  test("keeps the slot of a delivery that was cut off, until its time limit has passed", async () => {
    const { endpoint, queue, next, work } = await afterACut(true);
    await server.ring();
    expect(await server.rotor.jobs.why(next.id)).toMatchObject({
      reason: "queued",
      sentence: expect.stringContaining("cut off and may be at work still"),
    });
    expect(endpoint.calls).toHaveLength(1);
    work.open();
    await server.shiftClock(8_000);
    await server.ring();
    await all(queue, "completed", 1);
    expect([endpoint.most(), endpoint.calls.length]).toEqual([1, 2]);
    await server.shiftClock(0);
  });

  test("without it, the endpoint may see one more", async () => {
    const { endpoint, queue, work } = await afterACut(false);
    await all(queue, "completed", 1);
    expect(endpoint.most()).toBe(2);
    work.open();
  });

  test("a delivery that times out is followed when the limit has passed, not before", async () => {
    const endpoint = await recorder(server, async ({ payload }, response) => {
      if (payload === "slow") await after(380);
      else response.end();
    });
    const queue = await newQueue({
      callbackUrl: endpoint.url,
      concurrency: 1,
      strictConcurrency: true,
      timeout: "400ms",
      retry: { backoff: ["1h"] },
    });
    await server.rotor.jobs.enqueueBatch(queue, [{ payload: "slow" }, { payload: "slow" }, { payload: "next" }]);
    await eventually("all are through", async () =>
      (await jobsOf(queue)).every(({ attempt, state }) => attempt === 1 && state !== "active"),
    );
    expect([endpoint.most(), endpoint.calls.length]).toEqual([1, 3]);
  });
});
