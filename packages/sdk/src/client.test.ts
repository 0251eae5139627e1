import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Rotor } from "./client.js";
import { runWithStepKey } from "./context.js";
import { RotorApiError, RotorConnectionError, RotorInputError } from "./errors.js";
import { defineEvent } from "./events.js";
import { type ScriptedApi, startScriptedApi } from "./testing-kit/scripted-api.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let api: ScriptedApi;
let rotor: Rotor;

beforeEach(async () => {
  api = await startScriptedApi();
  rotor = new Rotor({ apiKey: "rt_ws_test", baseUrl: api.baseUrl });
});
afterEach(() => api.close());

describe("the address and key", () => {
  test("are the ones given, and every request bears the key", async () => {
    api.replies = [{ json: { status: "ok" } }];
    expect(await new Rotor({ apiKey: " rt_ws_k\n", baseUrl: `${api.baseUrl}/prefix/` }).health()).toEqual({
      status: "ok",
    });
    expect(api.lines()).toEqual(["GET /prefix/healthz"]);
    expect(api.seen[0]!.headers).toMatchObject({ authorization: "Bearer rt_ws_k", accept: "application/json" });
  });

  test("come from the environment when they are needed, not when the client is made", async () => {
    const { ROTOR_API_KEY, ROTOR_BASE_URL } = process.env;
    const late = new Rotor();
    Object.assign(process.env, { ROTOR_API_KEY: "rt_ws_env", ROTOR_BASE_URL: api.baseUrl });
    try {
      await late.health();
      expect(api.seen[0]!.headers.authorization).toBe("Bearer rt_ws_env");
    } finally {
      for (const [name, value] of Object.entries({ ROTOR_API_KEY, ROTOR_BASE_URL })) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  });

  test("may go through a fetch of one's own", async () => {
    const urls: string[] = [];
    const fetcher: typeof fetch = async (input) => {
      urls.push(String(input));
      return Response.json({ status: "mine" });
    };
    expect(await new Rotor({ baseUrl: "https://rotor.test", fetch: fetcher }).health()).toEqual({ status: "mine" });
    expect(urls).toEqual(["https://rotor.test/healthz"]);
  });
});

describe("keys", () => {
  const data = { contact_id: 1, firstName: "Ann", nested_list: [{ deep_key: 1, deepKey: 2 }] };

  test("of the API are snake_case on the wire, those of user data stay as they are", async () => {
    api.replies = [
      { status: 201, json: { id: "j", queue: "q", state: "waiting", duplicate: true, payload_differs: true } },
    ];
    const runAt = new Date("2026-11-23T20:00:00Z");
    const job = {
      payload: data,
      jobId: "j",
      runAt,
      maxAttempts: 3,
      onDuplicate: "reject",
      headers: { "X-Some_Name": "v" },
    } as const;
    const enqueued = await rotor.jobs.enqueue("q", job);
    expect(api.seen[0]!.body).toEqual({
      payload: data,
      job_id: "j",
      run_at: "2026-11-23T20:00:00.000Z",
      max_attempts: 3,
      on_duplicate: "reject",
      headers: { "X-Some_Name": "v" },
    });
    expect(enqueued).toEqual({ id: "j", queue: "q", state: "waiting", duplicate: true, payloadDiffers: true });
  });

  test("of answers are camelCase, those of user data stay as they are, in items of lists too", async () => {
    const run = {
      id: "r",
      created_at: "t",
      event: { id: "e", name: "n", data, ts: 1 },
      output: data,
      error: { name: "E", message: "m" },
      steps: [{ key: "a_b", due_at: null, output: data }],
    };
    const camel = {
      id: "r",
      createdAt: "t",
      event: { id: "e", name: "n", data, ts: 1 },
      output: data,
      error: { name: "E", message: "m" },
      steps: [{ key: "a_b", dueAt: null, output: data }],
    };
    api.replies = [{ json: run }, { json: { data: [run], next_cursor: null } }];
    expect(await rotor.runs.get("r")).toEqual(camel);
    expect(await rotor.runs.list().page()).toEqual({ data: [camel], nextCursor: null });
  });

  test("named __proto__ in an answer stay data", async () => {
    api.replies = [{ text: '{"id":"r","__proto__":{"polluted":true},"output":{"__proto__":1}}' }];
    const run = await rotor.runs.get("r");
    expect((run as { polluted?: unknown }).polluted).toBeUndefined();
  });
});

test("a name that an address would swallow is refused before anything is sent", async () => {
  for (const name of ["", ".", ".."]) await expect(rotor.queues.delete(name)).rejects.toThrow(RotorInputError);
  expect(api.seen).toEqual([]);
});

describe("what is sent", () => {
  test("has an id made by the client, and null for a missing payload or data", async () => {
    api.replies = [{ json: { jobs: [], events: [{ id: "e", runs: [] }], run_id: "r" } }];
    await rotor.jobs.enqueue("q");
    await rotor.jobs.enqueueBatch("q", [{}, {}]);
    await rotor.send({ name: "n" });
    await rotor.runs.start("f");
    const [job, batch, events, run] = api.seen.map(({ body }) => body) as [
      object,
      { jobs: object[] },
      object[],
      object,
    ];
    const id = expect.stringMatching(UUID);
    expect(job).toEqual({ payload: null, job_id: id });
    expect(batch.jobs).toEqual([
      { payload: null, job_id: id },
      { payload: null, job_id: id },
    ]);
    expect(events).toEqual([{ id, name: "n", data: null }]);
    expect(run).toEqual({ id, data: null });
  });

  test("inside a step has the same ids at each attempt of the step", async () => {
    api.replies = [{ json: { events: [{ id: "e", runs: [] }], run_id: "r" } }];
    const attempt = () =>
      runWithStepKey("run1/notify", async () => {
        await Promise.all([rotor.jobs.enqueue("q", { payload: 1 }), rotor.jobs.enqueue("q", { payload: 2 })]);
        await rotor.send([{ name: "a" }, { name: "b", id: "mine" }]);
        await rotor.runs.start("f");
      });
    await attempt();
    const first = api.seen.map(({ body }) => body);
    api.seen = [];
    await attempt();
    const byText = (bodies: unknown[]) => bodies.map((body) => JSON.stringify(body)).sort();
    expect(byText(api.seen.map(({ body }) => body))).toEqual(byText(first));
    expect(first.slice(2)).toEqual([
      [
        { id: "run1/notify/3", name: "a", data: null },
        { id: "mine", name: "b", data: null },
      ],
      { id: "run1/notify/4", data: null },
    ]);
  });

  test("as one event is answered with one result, as several with several, as none without a request", async () => {
    const opened = defineEvent<{ at: string }>("email.opened");
    const one = { id: "e1", runs: ["r1"] };
    const two = { id: "e2", runs: [], warning: "no function listens for email.opend" };
    api.replies = [{ json: { events: [one] } }, { json: { events: [one, two] } }];
    expect(await rotor.send(opened({ at: "now" }))).toEqual(one);
    expect(await rotor.send([opened({ at: "now" }), { name: "email.opend" }])).toEqual([one, two]);
    expect(await rotor.send([])).toEqual([]);
    expect(api.seen).toHaveLength(2);
  });
});

describe("a list", () => {
  test("is gone through page by page, each asked for when it is needed", async () => {
    api.replies = [
      { json: { data: [{ name: "a" }, { name: "b" }], next_cursor: "c/1" } },
      { json: { data: [{ name: "c" }], next_cursor: null } },
    ];
    const names: string[] = [];
    for await (const { name } of rotor.queues.list({ limit: 2 })) {
      names.push(name);
      if (name === "a") expect(api.seen).toHaveLength(1);
    }
    expect(names).toEqual(["a", "b", "c"]);
    expect(api.lines()).toEqual(["GET /v1/queues?limit=2", "GET /v1/queues?limit=2&cursor=c%2F1"]);
  });
});

describe("an error of the server", () => {
  test("has the server's message, code and details", async () => {
    const details = { job_id: "j", maxAttempts: 1 };
    api.replies = [{ status: 409, json: { error: { code: "conflict", message: "Queue q exists: use PUT", details } } }];
    const error = await rotor.queues.create("q").catch((thrown) => thrown);
    expect(error).toBeInstanceOf(RotorApiError);
    expect(error).toMatchObject({ status: 409, code: "conflict", message: "Queue q exists: use PUT", details });
    expect(api.seen).toHaveLength(1);
  });

  test.each([
    [404, "<h1>nginx</h1>", /GET \/v1\/queues\/q was answered with 404 .*<h1>nginx/],
    [200, "<!doctype html>", /answered with 200 by something that is not Rotor's API/],
    [500, "", /an empty body/],
    [500, "null", /500/],
  ])("that something else answered (%i %j) says so", async (status, text, message) => {
    api.replies = [{ status, text }];
    await expect(rotor.queues.get("q")).rejects.toThrow(message);
    await expect(rotor.queues.get("q")).rejects.toMatchObject({ code: `http_${status}` });
  });
});

describe("a call", () => {
  test("that is harmless to repeat is tried three times, with the same id", async () => {
    api.replies = ["cut", { status: 503 }, { json: { id: "j" } }];
    expect(await rotor.jobs.enqueue("q")).toEqual({ id: "j" });
    expect(api.seen).toHaveLength(3);
    expect(new Set(api.seen.map(({ body }) => JSON.stringify(body))).size).toBe(1);
  });

  test("gives up after the third try", async () => {
    api.replies = [{ status: 502, text: "bad gateway" }];
    await expect(rotor.send({ name: "n" })).rejects.toMatchObject({ name: "RotorApiError", status: 502 });
    expect(api.seen).toHaveLength(3);
    api.seen = [];
    api.replies = ["cut"];
    await expect(rotor.queues.get("q")).rejects.toBeInstanceOf(RotorConnectionError);
    expect(api.seen.length).toBeGreaterThanOrEqual(3);
  });

  test("that could do harm twice is made once", async () => {
    for (const reply of ["cut", { status: 503 }] as const) {
      api.seen = [];
      api.replies = [reply];
      await expect(rotor.schedules.run("s")).rejects.toThrow();
      expect(api.seen).toHaveLength(1);
    }
  });

  test("that deletes takes a 404 at its second try for its own doing, and at its first for an error", async () => {
    api.replies = [{ status: 504 }, { status: 404, json: { error: { code: "not_found", message: "no such queue" } } }];
    await expect(rotor.queues.delete("q")).resolves.toBeUndefined();
    await expect(rotor.queues.delete("q")).rejects.toMatchObject({ status: 404 });
  });

  test("ends with the signal's reason, while it waits for an answer and between tries", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    api.replies = ["hang"];
    const waiting = rotor.queues.get("q", { signal: controller.signal });
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);

    const between = new AbortController();
    const fetcher: typeof fetch = async () => {
      queueMicrotask(() => between.abort(reason));
      return new Response("", { status: 503 });
    };
    await expect(
      new Rotor({ baseUrl: api.baseUrl, fetch: fetcher }).queues.get("q", { signal: between.signal }),
    ).rejects.toBe(reason);
  });
});

test("an invocation is one request, and asks on where the run takes longer than the server waits", async () => {
  api.replies = [
    { json: { run_id: "r", state: "active", run: { state: "active" } } },
    { json: { state: "completed", output: { sent_to: 3 } } },
  ];
  expect(await rotor.runs.invoke("f", { a_b: 1 }, { id: "i", timeout: "2m" })).toEqual({
    runId: "r",
    result: { sent_to: 3 },
  });
  expect(api.lines()).toEqual(["POST /v1/functions/f/runs", "GET /v1/runs/r/result?wait=30s"]);
  expect(api.seen[0]!.body).toEqual({ id: "i", data: { a_b: 1 }, wait: "30s" });
  api.replies = [{ json: { run_id: "r", skipped: true } }];
  await expect(rotor.runs.invoke("f")).rejects.toMatchObject({ name: "WorkflowSkippedError" });
});

describe("while the server is away for a while", () => {
  test("a wait for a result goes on", async () => {
    api.replies = ["cut", "cut", { status: 503 }, { status: 503 }, { json: { state: "completed", output: 1 } }];
    expect(await rotor.runs.result("r")).toBe(1);
    expect(api.seen).toHaveLength(5);
  });

  test("an invocation starts no second run", async () => {
    api.replies = [...Array(4).fill("cut"), { json: { run_id: "r", run: { state: "completed", output: 1 } } }];
    expect(await rotor.runs.invoke("f")).toEqual({ runId: "r", result: 1 });
    expect(new Set(api.seen.map(({ body }) => (body as { id: string }).id)).size).toBe(1);
  });

  test("until the time is over, and the error says that it may have been carried out", async () => {
    api.replies = ["cut"];
    const error = await rotor.runs.invoke("f", {}, { timeout: "1s" }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "RotorConnectionError", reason: "lost" });
  });

  test("one that never was there is not waited for", async () => {
    const nowhere = new Rotor({ baseUrl: "http://127.0.0.1:9" });
    await expect(nowhere.runs.invoke("f")).rejects.toMatchObject({ reason: "unreachable" });
  });
});

describe("the result of a run", () => {
  test("is what it returned, after as many requests as it takes", async () => {
    api.replies = [{ json: { state: "waiting" } }, { json: { state: "completed", output: { sent_to: 3 } } }];
    expect(await rotor.runs.result("r")).toEqual({ sent_to: 3 });
    expect(api.lines()).toEqual(["GET /v1/runs/r/result?wait=30s", "GET /v1/runs/r/result?wait=30s"]);
  });

  test("is an error when it failed, was cancelled or takes too long", async () => {
    api.replies = [{ json: { state: "failed", error: { name: "TypeError", message: "x is undefined" } } }];
    const error = await rotor.runs.result("r").catch((thrown) => thrown);
    expect(error).toMatchObject({ name: "WorkflowFailedError", message: "Run r failed: x is undefined" });
    expect(error.cause).toMatchObject({ name: "TypeError" });
    api.replies = [{ json: { state: "cancelled" } }];
    await expect(rotor.runs.result("r")).rejects.toMatchObject({ name: "WorkflowCancelledError" });
    api.replies = [{ json: { state: "active" } }];
    await expect(rotor.runs.result("r", { timeout: "0s" })).rejects.toMatchObject({ name: "WorkflowTimeoutError" });
  });
});
