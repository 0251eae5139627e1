/** Queues, jobs and dead letters through the SDK's client. What is sent is taken; what is answered is what it says that it is. */
import { randomUUID } from "node:crypto";
import type { Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Send, TestApi } from "./testing-kit/api.js";
import { CALLBACK, type ClientApi, clientApi, tokenOf } from "./testing-kit/client.js";

let api: TestApi;
let send: Send;
let rotor: Rotor;
let claimed: ClientApi["claimed"];

beforeAll(async () => {
  ({ api, send, rotor, claimed } = await clientApi());
});
afterAll(async () => {
  expect(api.logged).toEqual([]);
  await api.close();
});

describe("a queue", () => {
  test("is made once, changed, and keeps what is not named", async () => {
    const made = await rotor.queues.create("enrichment", {
      callbackUrl: CALLBACK,
      concurrency: 5,
      retry: { maxAttempts: 3, backoff: ["5s", "2h"] },
    });
    expect(made).toMatchObject({
      concurrency: 5,
      timeout: "30s",
      asyncTimeout: "1d",
      retry: { maxAttempts: 3, backoff: ["5s", "2h"], max: "2h", jitter: "half" },
      pausedAt: null,
    });
    await expect(rotor.queues.create("enrichment")).rejects.toMatchObject({
      status: 409,
      message: expect.stringContaining("PUT"),
    });
    const changed = await rotor.queues.update("enrichment", {
      timeout: "5m",
      headers: { Authorization: "x" },
      retry: { backoff: "linear", min: "1s" },
    });
    expect(changed).toMatchObject({
      concurrency: 5,
      timeout: "5m",
      headers: { authorization: "x" },
      retry: { maxAttempts: 3, backoff: "linear", min: "1s" },
    });
    expect(await rotor.queues.put("enrichment", { concurrency: null })).toMatchObject({
      concurrency: null,
      timeout: "5m",
    });
    expect(await rotor.queues.get("enrichment")).toEqual({ ...changed, concurrency: null });
  });

  test("has what limits it, in the client's words, until null takes it away", async () => {
    const made = await rotor.queues.create("limited", {
      strictConcurrency: true,
      rateLimit: { limit: 10, period: "1m", key: "payload.customer" },
      breaker: {},
      retention: { failed: "90d" },
      retry: { retries: 2 },
    });
    expect(made).toMatchObject({
      strictConcurrency: true,
      rateLimit: { limit: 10, period: "1m", key: "payload.customer" },
      breaker: { failures: 5, min: "5s", max: "1m", openUntil: null },
      retention: { failed: "90d" },
      retry: { maxAttempts: 3 },
    });
    expect(await rotor.queues.update("limited", { breaker: { failures: 2 } })).toEqual({
      ...made,
      breaker: { failures: 2, min: "5s", max: "1m", openUntil: null },
    });
    const plain = await rotor.queues.put("limited", { rateLimit: null, breaker: null, strictConcurrency: false });
    expect(plain).toMatchObject({ rateLimit: null, breaker: null, strictConcurrency: false });
    expect(await rotor.queues.create("unlimited")).toMatchObject({ rateLimit: null, breaker: null, retention: {} });
  });

  test("is paused and resumed, and deleted when nothing unfinished is in it", async () => {
    await rotor.queues.put("leaving");
    expect((await rotor.queues.pause("leaving")).pausedAt).not.toBeNull();
    expect((await rotor.queues.resume("leaving")).pausedAt).toBeNull();
    const { id } = await rotor.jobs.enqueue("leaving");
    await expect(rotor.queues.delete("leaving")).rejects.toMatchObject({ status: 409 });
    await rotor.jobs.cancel("leaving", id);
    await rotor.queues.delete("leaving");
    await expect(rotor.queues.get("leaving")).rejects.toMatchObject({ status: 404, code: "not_found" });
  });

  test("that a schedule fires into is not deleted, and takes no schedule along", async () => {
    await rotor.queues.put("fired-into");
    await rotor.schedules.put("daily", { queue: "fired-into", cron: "@daily", timezone: "UTC" });
    const message = expect.stringMatching(/schedule daily fires into/);
    await expect(rotor.queues.delete("fired-into")).rejects.toMatchObject({ status: 409, message });
    expect(await rotor.schedules.get("daily")).toMatchObject({ queue: "fired-into" });
    await rotor.schedules.delete("daily");
    await rotor.queues.delete("fired-into");
  });

  test.each<[object, RegExp]>([
    [{ callback_url: "http://169.254.169.254/" }, /callback_url: .*metadata/],
    [{ callback_url: "file:///etc/passwd" }, /callback_url/],
    [{ headers: { host: "x" } }, /headers: .*host/],
    [{ timeout: 30 }, /timeout: .*"30s"/],
    [{ timeout: "0s" }, /timeout: 0s is too short, at least 1ms is possible/],
    [{ timeout: "13h" }, /too long/],
    [{ concurrency: 0 }, /concurrency/],
    [{ retry: { backoff: ["soon"] } }, /retry\.backoff: .*soon/],
    [{ retry: { backoff: "quadratic" } }, /exponential/],
    [{ retry: { min: "2h" } }, /retry\.min/],
    [{ retry: { retries: 2, max_attempts: 3 } }, /write one/],
    [{ callbackUrl: "https://example.com" }, /unknown key "callbackUrl"/],
    [{ rate_limit: { limit: 0, period: "1s" } }, /rate_limit\.limit/],
    [{ rate_limit: { limit: 1, period: "50ms" } }, /rate_limit\.period/],
    [{ rate_limit: { limit: 1, period: "1s", key: "payload." } }, /rate_limit\.key/],
    [{ rate_limit: { limit: 1, period: "1s", key: "customer" } }, /rate_limit\.key: .*customer/],
    [{ rate_limit: { limit: 1, period: "1s", key: "event.customer" } }, /rate_limit\.key: .*event/],
    [{ breaker: { failures: 0 } }, /breaker\.failures/],
    [{ breaker: { min: "5m", max: "1m" } }, /breaker\.min/],
    [{ retention: { completed: "1s" } }, /retention\.completed/],
    [{ retention: { waiting: "1d" } }, /waiting/],
  ])("with %j is refused with a reason", async (options, message) => {
    const { status, json } = await send("POST", "/v1/queues", { name: "bad", ...options });
    expect([status, json.error.message]).toEqual([422, expect.stringMatching(message)]);
    expect((await send("GET", "/v1/queues/bad")).status).toBe(404);
  });

  test.each(["", " ", "a/b", ".hidden", "é", "x".repeat(129)])("named %j is refused", async (name) => {
    expect((await send("POST", "/v1/queues", { name })).status).toBe(422);
  });
});

describe("concurrency keys", () => {
  test("are there once a job names them or a limit is set, and show how their jobs stand", async () => {
    await rotor.queues.put("keyed", { callbackUrl: CALLBACK });
    await rotor.jobs.enqueueBatch(
      "keyed",
      Array.from({ length: 4 }, () => ({ concurrencyKey: "a/key with: more" })),
    );
    await claimed("callback", "keyed");
    const key = { key: "a/key with: more", limit: 1, active: 1, blocked: 3 };
    expect(await rotor.concurrencyKeys.get(key.key)).toEqual(key);
    expect(await rotor.concurrencyKeys.set(key.key, { limit: 3 })).toEqual({ ...key, limit: 3, blocked: 1 });
    expect(await claimed("callback", "keyed")).toHaveLength(2);
    expect(await rotor.concurrencyKeys.set("b", { limit: 2 })).toEqual({ key: "b", limit: 2, active: 0, blocked: 0 });
    const keys: string[] = [];
    for await (const each of rotor.concurrencyKeys.list({ limit: 1 })) keys.push(each.key);
    expect(keys).toEqual([key.key, "b"]);
    await expect(rotor.concurrencyKeys.get("c")).rejects.toMatchObject({ status: 404 });
    await expect(rotor.concurrencyKeys.set("c", { limit: 0 })).rejects.toMatchObject({ status: 422 });
  });

  test("of one workspace are nothing to another", async () => {
    const other = await api.as("other");
    expect((await other("GET", "/v1/concurrency-keys/b")).status).toBe(404);
    expect((await other("PUT", "/v1/concurrency-keys/b", { limit: 9 })).status).toBe(200);
    expect(await rotor.concurrencyKeys.get("b")).toMatchObject({ limit: 2 });
  });
});

describe("jobs", () => {
  test("are listed in pages, and by state, reason and tag", async () => {
    await rotor.queues.put("listed", { callbackUrl: CALLBACK });
    await rotor.jobs.enqueueBatch(
      "listed",
      Array.from({ length: 7 }, (_, i) => ({ payload: i, tags: [i % 2 ? "odd" : "even"], delay: i === 3 ? "1h" : 0 })),
    );
    const all: unknown[] = [];
    for await (const job of rotor.jobs.list("listed", { limit: 3 })) all.push(job.payload);
    expect(all).toEqual([6, 5, 4, 3, 2, 1, 0]);
    const payloads = async (filter: object) =>
      (await rotor.jobs.list("listed", filter).page()).data.map((job) => job.payload);
    expect(await payloads({ tag: "odd" })).toEqual([5, 3, 1]);
    expect(await payloads({ state: "delayed" })).toEqual([3]);
    expect(await payloads({ state: "queued", limit: 2 })).toEqual([6, 5]);
    expect(await payloads({ state: "completed" })).toEqual([]);
    for (const query of ["state=sleepy", "limit=0", "limit=1001", "limit=x", "cursor=x", "sort=id", "tag=a&tag=b"]) {
      expect((await send("GET", `/v1/queues/listed/jobs?${query}`)).status).toBe(422);
    }
    expect((await send("GET", "/v1/queues/unknown/jobs")).status).toBe(404);
  });

  test("are cancelled once, and not after their end", async () => {
    await rotor.queues.put("cancelled");
    const { id } = await rotor.jobs.enqueue("cancelled", { jobId: "mine" });
    await rotor.jobs.cancel("cancelled", "mine");
    await rotor.jobs.cancel("cancelled", id);
    expect(await rotor.jobs.get("cancelled", id)).toMatchObject({
      state: "cancelled",
      jobId: "mine",
      deliveries: [{ outcome: "cancelled" }],
    });
    await expect(rotor.jobs.retry("cancelled", id)).rejects.toMatchObject({ status: 409 });
  });

  test("that were accepted report back by their capability, once", async () => {
    await rotor.queues.put("async", { callbackUrl: CALLBACK });
    await rotor.jobs.enqueueBatch("async", [{ jobId: "a" }, { jobId: "b" }, { jobId: "c" }]);
    const [a, b, c] = await claimed("callback", "async");
    const report = (
      job: { jobId: string; delivery: number },
      verb: string,
      body?: unknown,
      token = tokenOf(job, "complete"),
    ) => api.anonymous("POST", `/v1/jobs/${job.jobId}/${verb}?token=${token}`, body);
    expect((await report(a!, "heartbeat")).status).toBe(200);
    expect((await report(a!, "complete", { output: { n: 1 } }, tokenOf(b!, "complete"))).status).toBe(401);
    expect((await report(a!, "complete", { output: 1 }, tokenOf(a!, "checkpoint"))).status).toBe(401);
    expect((await report(a!, "complete", '{"output":{"n":1.50}}', tokenOf(a!, "complete"))).status).toBe(415);
    expect((await report(a!, "complete", { output: { n: 1 } })).status).toBe(200);
    expect((await report(a!, "fail", { error: "late" })).status).toBe(409);
    const byBearer = await api.anonymous(
      "POST",
      `/v1/jobs/${b!.jobId}/fail`,
      { error: "no credit", retriable: false },
      { authorization: `Bearer ${tokenOf(b!, "complete")}` },
    );
    expect(byBearer.status).toBe(200);
    expect((await send("POST", `/v1/jobs/${c!.jobId}/complete`)).status).toBe(200);
    expect((await (await api.as("other"))("POST", `/v1/jobs/${c!.jobId}/complete`)).status).toBe(404);
    expect((await api.anonymous("POST", `/v1/jobs/${c!.jobId}/complete`)).status).toBe(401);
    const states = await Promise.all([a, b, c].map((job) => rotor.jobs.get("async", job!.jobId)));
    expect(states).toMatchObject([
      { state: "completed", output: { n: 1 } },
      { state: "failed", error: { message: "no credit" } },
      { state: "completed" },
    ]);
  });
});

test("dead letters are listed, counted, and made to wait again once", async () => {
  await rotor.queues.put("dying", { callbackUrl: CALLBACK });
  await rotor.jobs.enqueueBatch("dying", [{ payload: 1, tags: ["t"] }, { payload: 2 }, { payload: 3 }]);
  for (const job of await claimed("callback", "dying")) {
    const { payload } = await rotor.jobs.get("dying", job.jobId);
    await api.anonymous("POST", `/v1/jobs/${job.jobId}/fail?token=${tokenOf(job, "complete")}`, {
      error: `reason ${payload}`,
      retriable: false,
    });
  }
  const letters = (await rotor.dlq.list({ queue: "dying" }).page()).data;
  expect(letters.map((job) => [job.payload, job.error?.message]).sort()).toEqual([
    [1, "reason 1"],
    [2, "reason 2"],
    [3, "reason 3"],
  ]);
  expect((await rotor.dlq.list({ queue: "dying", tag: "t" }).page()).data).toHaveLength(1);
  expect((await rotor.dlq.list({ queue: "dying", error: "reason 2" }).page()).data).toHaveLength(1);
  expect((await rotor.dlq.list({ queue: "dying", before: new Date(0) }).page()).data).toHaveLength(0);
  expect(await rotor.dlq.replay({ filter: { queue: "dying" }, dryRun: true })).toMatchObject({ replayed: 3 });
  const [first] = letters;
  expect(await rotor.dlq.replay({ ids: [first!.id, first!.id, randomUUID()] })).toMatchObject({
    replayed: 1,
    ids: [first!.id],
  });
  expect(await rotor.dlq.replay({ ids: [first!.id] })).toMatchObject({ replayed: 0, ids: [] });
  expect((await (await api.as("other"))("POST", "/v1/dlq/replay", { ids: [letters[1]!.id] })).json).toMatchObject({
    replayed: 0,
    ids: [],
  });
  expect((await send("POST", "/v1/dlq/replay", { queue: "dying" })).json.replayed).toBe(2);
  expect((await rotor.jobs.list("dying", { state: "waiting" }).page()).data).toHaveLength(3);
  for (const body of [{}, { ids: [], queue: "q" }, { ids: ["x"] }, { queue: "q", filter: {} }])
    expect((await send("POST", "/v1/dlq/replay", body)).status).toBe(422);
});
