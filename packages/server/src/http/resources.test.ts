/** Every resource through the SDK's client: what it sends is taken, and what is answered is what it says that it is. */

import { randomUUID } from "node:crypto";
import { Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeToken } from "../core/token.js";
import { claim } from "../store/claim.js";
import { getQueue } from "../store/queues.js";
import { readSetting } from "../store/workspaces.js";
import { createApiKey, SCOPES } from "./auth.js";
import { manifestOf, type Send, type TestApi, TOKEN_SECRET, testApi } from "./testing-kit/api.js";

let api: TestApi;
let send: Send;
let rotor: Rotor;

const APP = "http://127.0.0.1:9999/api/rotor";

beforeAll(async () => {
  api = await testApi();
  send = await api.as("default");
  const { key } = await createApiKey(api.database.db, "default", "sdk", SCOPES);
  const fetcher: typeof fetch = async (url, init) => api.app.request(url as string, init);
  rotor = new Rotor({ apiKey: key, baseUrl: "http://rotor.test", fetch: fetcher });
  api.apps.set(
    APP,
    manifestOf("default", [{ id: "outreach", event: "contact.added", cron: "0 9 * * *" }, { id: "plain" }]),
  );
  await rotor.functions.sync({ url: APP });
});
afterAll(() => api.close());

/** Claims what is due of a function or queue, as a node would. */
async function claimed(kind: "callback" | "function", name: string): Promise<{ jobId: string; delivery: number }[]> {
  const queue = await getQueue(api.database.db, "default", kind, name);
  return claim(api.database.db, randomUUID(), [queue!.id], 100);
}

const tokenOf = (job: { jobId: string; delivery: number }, purpose: "checkpoint" | "complete" = "checkpoint") =>
  makeToken(TOKEN_SECRET, purpose, job);

describe("a queue", () => {
  test("is made once, changed, and keeps what is not named", async () => {
    const made = await rotor.queues.create("enrichment", {
      callbackUrl: "http://127.0.0.1:9999/",
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

  test.each<[object, RegExp]>([
    [{ callback_url: "http://169.254.169.254/" }, /callback_url: .*metadata/],
    [{ callback_url: "file:///etc/passwd" }, /callback_url/],
    [{ headers: { host: "x" } }, /headers: .*host/],
    [{ timeout: 30 }, /timeout: .*"30s"/],
    [{ timeout: "0s" }, /timeout/],
    [{ timeout: "13h" }, /too long/],
    [{ concurrency: 0 }, /concurrency/],
    [{ retry: { backoff: ["soon"] } }, /retry\.backoff: .*soon/],
    [{ retry: { backoff: "quadratic" } }, /exponential/],
    [{ retry: { min: "2h" } }, /retry\.min/],
    [{ retry: { retries: 2, max_attempts: 3 } }, /write one/],
    [{ callbackUrl: "https://example.com" }, /unknown key "callbackUrl"/],
  ])("with %j is refused with a reason", async (options, message) => {
    const { status, json } = await send("POST", "/v1/queues", { name: "bad", ...options });
    expect([status, json.error.message]).toEqual([422, expect.stringMatching(message)]);
    expect((await send("GET", "/v1/queues/bad")).status).toBe(404);
  });

  test.each(["", " ", "a/b", ".hidden", "é", "x".repeat(129)])("named %j is refused", async (name) => {
    expect((await send("POST", "/v1/queues", { name })).status).toBe(422);
  });
});

describe("jobs", () => {
  test("are listed in pages, and by state, reason and tag", async () => {
    await rotor.queues.put("listed", { callbackUrl: "http://127.0.0.1:9999/" });
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
    await rotor.queues.put("async", { callbackUrl: "http://127.0.0.1:9999/" });
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
  await rotor.queues.put("dying", { callbackUrl: "http://127.0.0.1:9999/" });
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
  expect(await rotor.dlq.replay({ ids: [first!.id, first!.id, randomUUID()] })).toEqual({
    replayed: 1,
    ids: [first!.id],
  });
  expect(await rotor.dlq.replay({ ids: [first!.id] })).toEqual({ replayed: 0, ids: [] });
  expect((await (await api.as("other"))("POST", "/v1/dlq/replay", { ids: [letters[1]!.id] })).json).toEqual({
    replayed: 0,
    ids: [],
  });
  expect((await send("POST", "/v1/dlq/replay", { queue: "dying" })).json.replayed).toBe(2);
  expect((await rotor.jobs.list("dying", { state: "waiting" }).page()).data).toHaveLength(3);
  for (const body of [{}, { ids: [], queue: "q" }, { ids: ["x"] }, { queue: "q", filter: {} }])
    expect((await send("POST", "/v1/dlq/replay", body)).status).toBe(422);
});

describe("a schedule", () => {
  test("is made, changed, paused, fired and deleted, and says when it fires next", async () => {
    await rotor.queues.put("clocked", { callbackUrl: "http://127.0.0.1:9999/" });
    const made = await rotor.schedules.create("nightly", {
      queue: "clocked",
      cron: "0 3 * * *",
      timezone: "UTC",
      payload: { n: 1 },
    });
    expect(made).toMatchObject({ queue: "clocked", function: null, payload: { n: 1 }, owned: false });
    expect(made.nextFires).toHaveLength(5);
    expect(made.nextFires.every((fire) => fire.endsWith("T03:00:00.000Z"))).toBe(true);
    await expect(
      rotor.schedules.create("nightly", { queue: "clocked", cron: "@daily", timezone: "UTC" }),
    ).rejects.toMatchObject({ status: 409 });
    expect(
      await rotor.schedules.put("nightly", { function: "plain", cron: "@hourly", timezone: "Europe/Stockholm" }),
    ).toMatchObject({ queue: null, function: "plain", payload: null });
    expect((await send("PATCH", "/v1/schedules/nightly", { queue: "clocked", payload: [1] })).json).toMatchObject({
      queue: "clocked",
      cron: "@hourly",
      payload: [1],
    });
    const { id } = await rotor.schedules.run("nightly");
    expect(await rotor.jobs.get("clocked", id)).toMatchObject({ payload: [1], jobId: null });
    expect(await rotor.schedules.pause("nightly")).toMatchObject({ pausedAt: expect.any(String), nextFires: [] });
    expect((await rotor.schedules.resume("nightly")).nextFires).toHaveLength(5);
    await rotor.schedules.delete("nightly");
    await expect(rotor.schedules.get("nightly")).rejects.toMatchObject({ status: 404 });
  });

  test("that a function's trigger made goes with it", async () => {
    const [owned] = (await rotor.schedules.list().page()).data;
    expect(owned).toMatchObject({ name: "rotor:outreach", function: "outreach", owned: true });
    await expect(rotor.schedules.delete("rotor:outreach")).rejects.toMatchObject({ status: 409 });
    expect((await send("PATCH", "/v1/schedules/rotor:outreach", { cron: "@daily" })).status).toBe(409);
  });

  test.each<[string, string]>([
    ["* * * *", "UTC"],
    ["* * * * * * *", "UTC"],
    ["60 * * * *", "UTC"],
    ["*/0 * * * *", "UTC"],
    ["0 0 30 2 *", "UTC"],
    ["", "UTC"],
    ["@never", "UTC"],
    [`0 9 * * ${"1,".repeat(200)}1`, "UTC"],
    ["0 9 * * *", ""],
    ["0 9 * * *", "+05:30"],
    ["0 9 * * *", "Mars/Base"],
    ["0 9 * * *", "../../etc/passwd"],
  ])("of %j in %j is refused, and not there", async (cron, timezone) => {
    await rotor.queues.put("clocked");
    expect((await send("POST", "/v1/schedules", { name: "bad", queue: "clocked", cron, timezone })).status).toBe(422);
    expect((await send("GET", "/v1/schedules/bad")).status).toBe(404);
  });

  test("with no target, two, or an unknown one is refused", async () => {
    const cron = { name: "bad", cron: "@daily", timezone: "UTC" };
    for (const target of [
      {},
      { queue: "clocked", function: "plain" },
      { queue: "unknown" },
      { function: "unknown" },
      { queue: "clocked", overlap: "skip" },
    ]) {
      expect((await send("POST", "/v1/schedules", { ...cron, ...target })).status).toBe(422);
    }
  });
});

describe("functions", () => {
  test("are those of their app, with their triggers", async () => {
    const { data } = await rotor.functions.list().page();
    expect(data).toMatchObject([
      {
        id: "outreach",
        app: "default",
        serveUrl: APP,
        triggers: [{ event: "contact.added" }, { cron: "0 9 * * *", timezone: "UTC" }],
        maxAttempts: 4,
        pausedAt: null,
      },
      { id: "plain", triggers: [] },
    ]);
    expect(await rotor.functions.get("plain")).toEqual(data[1]);
    expect((await rotor.functions.pause("plain")).pausedAt).not.toBeNull();
    expect((await rotor.functions.resume("plain")).pausedAt).toBeNull();
  });

  test("are read from an address that deliveries may reach, which one app has", async () => {
    const elsewhere = "http://127.0.0.1:9998/api/rotor";
    api.apps.set(elsewhere, manifestOf("default", [{ id: "plain" }]));
    await expect(rotor.functions.sync({ url: elsewhere })).rejects.toMatchObject({ status: 409, code: "conflict" });
    await expect(rotor.functions.sync({ url: "http://127.0.0.1:9997/" })).rejects.toMatchObject({
      status: 502,
      code: "app_unreachable",
    });
    await expect(rotor.functions.sync({ url: "http://10.0.0.1/" })).rejects.toMatchObject({
      status: 422,
      message: expect.stringContaining("ROTOR_ALLOW_PRIVATE_URLS"),
    });
    expect(await rotor.functions.sync({ url: APP })).toMatchObject({
      app: "default",
      serveUrl: APP,
      added: [],
      removed: [],
      functions: [{ id: "outreach" }, { id: "plain" }],
    });
  });

  test("are registered one by one as published, too", async () => {
    const url = "http://127.0.0.1:9996/api/rotor";
    api.apps.set(url, manifestOf("second", [{ id: "single", event: "a.b" }]));
    const body = { id: "single", serve_url: url, trigger_type: "event", trigger_event: "a.b" };
    const { status, json } = await send("POST", "/v1/functions", body);
    expect([status, json]).toEqual([
      201,
      expect.objectContaining({ id: "single", serve_url: url, triggers: [{ event: "a.b" }] }),
    ]);
    expect(json.warning).toBeUndefined();
    expect((await send("POST", "/v1/functions", { ...body, trigger_event: "c.d" })).json.warning).toMatch(/c\.d/);
    expect((await send("POST", "/v1/functions", { ...body, id: "missing" })).status).toBe(422);
    await rotor.functions.delete("single");
    await expect(rotor.functions.get("single")).rejects.toMatchObject({ status: 404 });
  });
});

describe("a run", () => {
  test("is started once an id, with its data as it was written", async () => {
    const { runId } = await rotor.runs.start("plain", { a: 1 }, { id: "once" });
    expect(await rotor.runs.start("plain", { a: 2 }, { id: "once" })).toEqual({ runId });
    const run = await rotor.runs.get(runId);
    expect(run).toMatchObject({
      function: "plain",
      state: "waiting",
      reason: "queued",
      event: { id: "once", name: "rotor/run.started", data: { a: 1 } },
      steps: [],
      replayOf: null,
    });
    expect(Math.abs(run.event.ts - Date.now())).toBeLessThan(60_000);
    await expect(rotor.runs.start("unknown")).rejects.toMatchObject({ status: 404 });
    expect((await rotor.runs.cancel(runId)).state).toBe("cancelled");
    expect((await rotor.runs.cancel(runId)).state).toBe("cancelled");
    await expect(rotor.runs.resume(runId)).rejects.toMatchObject({ status: 409 });
    await expect(rotor.runs.retry(runId)).rejects.toMatchObject({ status: 409 });
    await expect(rotor.runs.result(runId)).rejects.toMatchObject({ name: "WorkflowCancelledError" });
  });

  test("is checkpointed, awaited, listed and replayed from a step", async () => {
    const { runId } = await rotor.runs.start("plain", { a: 1 });
    const job = (await claimed("function", "plain")).find((each) => each.jobId === runId)!;
    const step = (key: string, output: unknown) => ({
      kind: "run",
      key,
      attempt: 1,
      outcome: "completed",
      output,
      duration_ms: 3,
    });
    const reports = [
      step("one", { first_name: "Ann\u0000" }),
      step("two", [2]),
      { kind: "sleep", key: "nap", delay_ms: 60_000 },
    ];
    const reply = await api.anonymous("POST", "/v1/checkpoints", {
      version: 1,
      runs: [{ token: tokenOf(job), reports, known_seq: 0 }],
    });
    expect([
      reply.status,
      reply.json.runs[0].verdict,
      reply.json.runs[0].steps.map((each: { key: string }) => each.key),
    ]).toEqual([200, "go", ["one", "two", "nap"]]);
    const run = await rotor.runs.get(runId);
    expect(run.steps).toMatchObject([
      {
        key: "one",
        kind: "run",
        state: "completed",
        attempt: 1,
        durationMs: 3,
        output: { first_name: "Ann\u0000" },
        error: null,
      },
      { key: "two", output: [2] },
      { key: "nap", state: "waiting", dueAt: expect.any(String) },
    ]);
    expect((await send("GET", `/v1/runs/${runId}/steps`)).json.data).toHaveLength(3);

    const result = send("GET", `/v1/runs/${runId}/result?wait=60s`);
    await api.waited();
    await api.engine.settleAccepted(runId, job.delivery, { kind: "done", output: '{"sent_to":3}' });
    api.finish();
    expect((await result).json).toMatchObject({ state: "completed", output: { sent_to: 3 } });
    expect(await rotor.runs.result(runId)).toEqual({ sent_to: 3 });
    expect((await send("GET", `/v1/runs/${runId}/result?wait=61s`)).status).toBe(422);

    const replayed = await rotor.runs.replay(runId, { fromStep: "two", input: { b: 1 } });
    expect(await rotor.runs.get(replayed.runId)).toMatchObject({
      replayOf: runId,
      event: { data: { b: 1 } },
      steps: [{ key: "one" }],
    });
    for (const fromStep of ["nap", "unknown"])
      await expect(rotor.runs.replay(runId, { fromStep })).rejects.toMatchObject({ status: 422 });
    const ids = async (filter: object) => (await rotor.runs.list(filter).page()).data.map((each) => each.id);
    expect(await ids({ function: "plain", state: "completed" })).toEqual([runId]);
    expect(await ids({ event: "rotor/run.started", limit: 1 })).toEqual([replayed.runId]);
    expect(await ids({ event: "unknown" })).toEqual([]);
  });

  test("is told that it is over by each late checkpoint, and the others stand", async () => {
    const [one, two] = [await rotor.runs.start("plain"), await rotor.runs.start("plain")];
    const jobs = await claimed("function", "plain");
    const [first, second] = [one, two].map(({ runId }) => jobs.find((job) => job.jobId === runId)!);
    const post = (...runs: unknown[]) => api.anonymous("POST", "/v1/checkpoints", { version: 1, runs });
    const late = { token: tokenOf({ ...first!, delivery: first!.delivery + 1 }), reports: [], known_seq: 0 };
    const good = { token: tokenOf(second!), reports: [], known_seq: 0 };
    const verdicts = async (...runs: unknown[]) => {
      const { status, json } = await post(...runs);
      return [status, ...json.runs.map((run: { verdict: string }) => run.verdict)];
    };
    expect(await verdicts(late, good, { ...good, token: "no" }, null)).toEqual([200, "stale", "go", "stale", "stale"]);
    expect(await verdicts(late, { ...late, token: tokenOf(first!, "complete") })).toEqual([409, "stale", "stale"]);
    await rotor.runs.cancel(one.runId);
    expect(await verdicts({ token: tokenOf(first!), reports: [], known_seq: 0 })).toEqual([200, "cancelled"]);
  });

  test("with a report that cannot be stored is told so, alone", async () => {
    const { runId } = await rotor.runs.start("plain");
    const job = (await claimed("function", "plain")).find((each) => each.jobId === runId)!;
    const post = async (report: object) =>
      (
        await api.anonymous("POST", "/v1/checkpoints", {
          version: 1,
          runs: [{ token: tokenOf(job), reports: [report], known_seq: 0 }],
        })
      ).json.runs[0];
    for (const report of [
      { kind: "teleport", key: "a" },
      { kind: "sleep", key: "a", delay_ms: -1 },
      { kind: "sleep", key: "a\u0000", delay_ms: 1 },
    ]) {
      expect(await post(report)).toMatchObject({
        verdict: "invalid",
        steps: [],
        error: { name: "InvalidReportError" },
      });
    }
    expect(await post({ kind: "sleep", key: "a", delay_ms: 1 })).toMatchObject({ verdict: "go" });
    for (const body of [{ version: 2, runs: [] }, { version: 1 }, { version: 1, runs: {} }])
      expect((await api.anonymous("POST", "/v1/checkpoints", body)).status).toBe(422);
  });

  test("has its earlier steps read in pages, by its delivery's token", async () => {
    const { runId } = await rotor.runs.start("plain");
    const job = (await claimed("function", "plain")).find((each) => each.jobId === runId)!;
    const big = "x".repeat(600_000);
    const reports = ["a", "b", "c"].map((key) => ({
      kind: "run",
      key,
      attempt: 1,
      outcome: "completed",
      output: big,
      duration_ms: 1,
    }));
    await api.anonymous("POST", "/v1/checkpoints", {
      version: 1,
      runs: [{ token: tokenOf(job), reports, known_seq: 0 }],
    });
    const page = (cursor: string, token = tokenOf(job)) =>
      api.anonymous("GET", `/v1/checkpoints/steps?cursor=${cursor}`, undefined, { authorization: `Bearer ${token}` });
    const keys: string[] = [];
    for (let cursor: string | null = "999999999999999"; cursor !== null; ) {
      const { json } = await page(cursor);
      keys.push(...json.steps.map((step: { key: string }) => step.key));
      cursor = json.more;
    }
    expect(keys).toEqual(["c", "b", "a"]);
    expect((await page("1", "wrong")).status).toBe(401);
    expect((await page("-1")).status).toBe(422);
    expect((await send("GET", "/v1/checkpoints/steps?cursor=1")).status).toBe(401);
  });
});

describe("an event", () => {
  test("starts runs, is found again, and is published once an id", async () => {
    const data = { contactId: "c1", snake_case: 1 };
    const sent = await rotor.send({ name: "contact.added", data, id: "e/1" });
    expect(sent).toEqual({ id: "e/1", runs: [expect.any(String)], duplicate: false });
    expect(await rotor.send({ name: "contact.added", data, id: "e/1" })).toEqual({ ...sent, duplicate: true });
    expect(await rotor.events.get("e/1")).toMatchObject({
      id: "e/1",
      name: "contact.added",
      data,
      started: sent.runs,
      resumed: [],
    });
    expect(await rotor.runs.get(sent.runs[0]!)).toMatchObject({ function: "outreach", event: { id: "e/1", data } });
    expect((await rotor.events.list({ name: "contact.added" }).page()).data).toHaveLength(1);
  });

  test("keeps the text of its data in the run that it starts", async () => {
    const text = '[ {"name":"contact.added", "data" : {"n":1234567890123456789.0}}, {"name":"contact.added"}]';
    const { json } = await send("POST", "/v1/events", text, { "content-type": "application/json" });
    const bodies = await api.database.db.query<{ body: string }>(
      {
        name: "test.events",
        text: "select convert_from(body, 'UTF8') as body from rotor.payloads where job_id = any($1::uuid[]) order by job_id",
      },
      [json.events.flatMap((event: { runs: string[] }) => event.runs)],
    );
    expect(bodies.map(({ body }) => /"data":(.*),"ts"/.exec(body)?.[1])).toEqual([
      '{"n":1234567890123456789.0}',
      "null",
    ]);
  });

  test("that nobody listens for comes with the nearest name", async () => {
    expect((await rotor.send({ name: "contact.aded" })).warning).toMatch(
      /No function listens for "contact.aded".*Did you mean "contact.added"\?/,
    );
    expect((await rotor.send([{ name: "something.else" }]))[0]!.warning).not.toMatch(/Did you mean/);
    expect(await rotor.send([])).toEqual([]);
  });

  test.each<[unknown, RegExp]>([
    [{}, /name/],
    [{ name: "" }, /name/],
    [{ name: "rotor/run.started" }, /Rotor's own/],
    [{ name: "x".repeat(129) }, /name/],
    [{ name: "a", ts: -1 }, /ts/],
    [{ name: "a", ts: 1_790_000_000 }, /seconds/],
    [{ name: "a", ts: 8_640_000_000_000_000 }, /9999/],
    [{ name: "a", id: "" }, /id/],
    [{ name: "a", id: "rotor:step:x" }, /Rotor's own/],
    [{ name: "a", payload: 1 }, /unknown key "payload"/],
    [{ name: "a", data: "\u0000" }, /u0000/],
    [[{ name: "a" }, { name: "" }], /1\.name/],
    [Array.from({ length: 1_001 }, () => ({ name: "a" })), /1000/],
    [null, /object/],
  ])("like %j is refused, and not there", async (body, message) => {
    const { status, json } = await send("POST", "/v1/events", body);
    expect([status, json.error.message]).toEqual([422, expect.stringMatching(message)]);
    expect((await rotor.events.list({ name: "a" }).page()).data).toEqual([]);
  });
});

test("a signal ends the wait for it, with its data as it was written, once", async () => {
  const { runId } = await rotor.runs.start("plain");
  const job = (await claimed("function", "plain")).find((each) => each.jobId === runId)!;
  const signal = `${runId}/approve it`;
  await api.anonymous("POST", "/v1/checkpoints", {
    version: 1,
    runs: [{ token: tokenOf(job), reports: [{ kind: "signal", key: "w", signal, timeout_ms: 60_000 }], known_seq: 0 }],
  });
  const other = await api.as("other");
  expect((await other("POST", `/v1/signals/${encodeURIComponent(signal)}/complete`, { data: 0 })).status).toBe(404);
  const answers = await Promise.allSettled([1, 2, 3].map((n) => rotor.signals.complete(signal, { n })));
  expect(answers.filter((answer) => answer.status === "fulfilled")).toEqual([
    { status: "fulfilled", value: { runId } },
  ]);
  await expect(rotor.signals.complete(signal)).rejects.toMatchObject({ status: 404 });
  expect((await rotor.runs.get(runId)).steps).toMatchObject([
    { key: "w", state: "completed", output: { n: expect.any(Number) } },
  ]);
  expect((await send("POST", `/v1/signals/${"x".repeat(500)}/complete`, {})).status).toBe(404);
  expect((await send("POST", "/v1/signals/x/complete", { data: 1, buffer_for: "1h" })).status).toBe(422);
});

test("an approval is listed, decided once, and its job goes where it was decided", async () => {
  await rotor.queues.put("asked", { callbackUrl: "http://127.0.0.1:9999/", approvalRequired: true });
  const [one, two] = await rotor.jobs.enqueueBatch("asked", [{ payload: { a_b: 1 } }, { payload: 2 }]);
  const pending = (await rotor.approvals.list().page()).data;
  expect(pending).toMatchObject([
    { id: two!.id, status: "pending" },
    { id: one!.id, jobId: one!.id, queue: "asked", payload: { a_b: 1 }, expiresAt: expect.any(String) },
  ]);
  expect(await rotor.approvals.approve(one!.id)).toMatchObject({ id: one!.id, status: "approved" });
  expect(await rotor.approvals.reject(two!.id, { reason: "too dear" })).toMatchObject({ status: "rejected" });
  for (const { id } of [one!, two!]) await expect(rotor.approvals.approve(id)).rejects.toMatchObject({ status: 409 });
  expect(await rotor.jobs.get("asked", two!.id)).toMatchObject({
    state: "failed",
    error: { name: "RejectedError", message: "too dear" },
  });
  expect((await rotor.approvals.list({ status: "rejected" }).page()).data).toMatchObject([{ id: two!.id }]);
  expect(await rotor.dlq.replay({ filter: { queue: "asked" } })).toMatchObject({ replayed: 0 });
  expect((await rotor.jobs.retry("asked", two!.id)).state).toBe("pending_approval");
});

test("keys are made, shown once, listed and revoked", async () => {
  const made = await rotor.keys.create({ name: "ci", scopes: ["read", "read"], expiresIn: "90d" });
  expect(made).toMatchObject({
    key: expect.stringMatching(/^rt_ws_default_[\w-]{43}$/),
    scopes: ["read"],
    expiresAt: expect.any(String),
    revokedAt: null,
  });
  const { key: _, ...row } = made;
  expect((await rotor.keys.list().page()).data).toContainEqual(row);
  await rotor.keys.revoke(made.id);
  expect((await rotor.keys.list().page()).data.find(({ id }) => id === made.id)?.revokedAt).not.toBeNull();
  await expect(rotor.keys.revoke(randomUUID())).rejects.toMatchObject({ status: 404 });
  for (const body of [{ scopes: [] }, { scopes: ["root"] }, { expires_in: 90 }, { expires_in: "0s" }, { role: "x" }])
    expect((await send("POST", "/v1/keys", body)).status).toBe(422);
});

test("a workspace is made once, with a key that opens it and nothing else", async () => {
  const made = await rotor.workspaces.create("staging", { name: "Staging" });
  const there = (path: string) => api.anonymous("GET", path, undefined, { authorization: `Bearer ${made.key}` });
  expect((await there("/v1/queues")).json.data).toEqual([]);
  expect((await there("/v1/workspaces")).status).toBe(403);
  await expect(rotor.workspaces.create("staging")).rejects.toMatchObject({ status: 409 });
  expect((await rotor.workspaces.list().page()).data).toContainEqual({
    id: "staging",
    name: "Staging",
    createdAt: made.createdAt,
  });
  for (const id of ["", "A", "a_b", "-a", "x".repeat(41)])
    expect((await send("POST", "/v1/workspaces", { id })).status).toBe(422);
});

test("the stream tells what happens in the key's workspace, until its reader leaves", async () => {
  const { key } = await createApiKey(api.database.db, "default", "stream", ["read"]);
  const response = await api.app.request("/v1/stream", { headers: { authorization: `Bearer ${key}` } });
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
  const reader = response.body!.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe(": \n\n");
  const at = new Date().toISOString();
  api.feed({ workspace: "other", at, type: "event", secret: 1 });
  api.feed({ workspace: "default", at, type: "step", key: "a" });
  const { value } = await reader.read();
  expect(new TextDecoder().decode(value)).toBe(
    `event: step\ndata: ${JSON.stringify({ at, type: "step", key: "a" })}\n\n`,
  );
  await reader.cancel();
  api.feed({ workspace: "default", at, type: "step" });
});

test("none of all this was a fault of the server's", async () => {
  expect(api.logged).toEqual([]);
  expect(await readSetting(api.database.db, "nothing")).toBeUndefined();
});
