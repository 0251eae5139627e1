/** Functions, runs and checkpoints through the SDK's client. What is sent is taken; what is answered is what it says that it is. */
import type { Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { manifestOf, type Send, type TestApi } from "./testing-kit/api.js";
import { APP, type ClientApi, clientApi, tokenOf } from "./testing-kit/client.js";

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
      status: 424,
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

  test("shows the attempts of a step that failed before, the newest twenty", async () => {
    const { runId } = await rotor.runs.start("plain");
    const job = (await claimed("function", "plain")).find((each) => each.jobId === runId)!;
    const report = async (attempt: number, more: object) => {
      const reports = [{ kind: "run", key: "flaky", attempt, duration_ms: attempt, ...more }];
      const body = { version: 1, runs: [{ token: tokenOf(job), reports, known_seq: 0 }] };
      expect((await api.anonymous("POST", "/v1/checkpoints", body)).json.runs[0].verdict).toBe("go");
    };
    const failing = (attempt: number, error: object) => report(attempt, { outcome: "retry", error, delay_ms: 1 });
    await failing(1, { name: "TypeError", message: "a NUL \u0000", stack: "at a", code: "E1" });
    expect((await rotor.runs.get(runId)).steps).toMatchObject([{ state: "waiting", attempt: 1, failures: [{}] }]);
    await failing(2, { name: "Error", message: "two", stack: "x".repeat(20_000) });
    // A repetition, and one that came too late.
    await failing(2, { name: "Error", message: "again" });
    await failing(1, { name: "Error", message: "late" });
    await report(3, { outcome: "completed", output: "done" });
    const [step] = (await rotor.runs.get(runId)).steps!;
    expect(step).toMatchObject({ state: "completed", attempt: 3, output: "done", error: null });
    expect(step!.failures).toEqual([
      {
        attempt: 1,
        at: expect.stringMatching(/^\d{4}-.*Z$/),
        durationMs: 1,
        error: { name: "TypeError", message: "a NUL \u0000", stack: "at a", code: "E1" },
      },
      { attempt: 2, at: expect.any(String), durationMs: 2, error: { name: "Error", message: "two" } },
    ]);

    const many = (await rotor.runs.start("plain")).runId;
    const other = (await claimed("function", "plain")).find((each) => each.jobId === many)!;
    for (let attempt = 1; attempt <= 22; attempt++) {
      const error = { name: "Error", message: `${attempt}` };
      const reports = [{ kind: "run", key: "f", attempt, duration_ms: 0, outcome: "retry", error, delay_ms: 1 }];
      const runs = [{ token: tokenOf(other), reports, known_seq: 0 }];
      await api.anonymous("POST", "/v1/checkpoints", { version: 1, runs });
    }
    const attempts = (await rotor.runs.get(many)).steps![0]!.failures.map(({ attempt }) => attempt);
    expect(attempts).toEqual(Array.from({ length: 20 }, (_, n) => n + 3));
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
    await expect(rotor.runs.replay(runId, { fromStep: "unknown" })).rejects.toMatchObject({ status: 422 });
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
