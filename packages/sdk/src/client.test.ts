import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Rotor } from "./client.js";
import { runWithStepKey } from "./context.js";
import { RotorApiError, RotorConnectionError, RotorInputError } from "./errors.js";
import { defineEvent } from "./events.js";

type Seen = { method: string; url: string; headers: IncomingHttpHeaders; body: unknown };
type Reply = { status?: number; json?: unknown; text?: string } | "cut" | "hang";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let seen: Seen[] = [];
let replies: Reply[] = [];
let close = () => {};
let baseUrl = "";
let rotor = new Rotor();

// Answers with the replies in turn; the last one for ever.
async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  const { method = "", url = "", headers } = request;
  seen.push({ method, url, headers, body: text === "" ? undefined : JSON.parse(text) });
  const reply = replies.length > 1 ? replies.shift()! : replies[0]!;
  if (reply === "cut") request.socket.destroy();
  else if (reply !== "hang")
    response.writeHead(reply.status ?? 200).end(reply.text ?? JSON.stringify(reply.json ?? {}));
}

beforeEach(async () => {
  seen = [];
  replies = [{}];
  const server = createServer(handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  rotor = new Rotor({ apiKey: "rt_ws_test", baseUrl });
  close = () => {
    server.closeAllConnections();
    server.close();
  };
});
afterEach(() => close());

const lines = () => seen.map(({ method, url }) => `${method} ${url}`);

describe("the address and key", () => {
  test("are the ones given, and every request bears the key", async () => {
    replies = [{ json: { status: "ok" } }];
    expect(await new Rotor({ apiKey: " rt_ws_k\n", baseUrl: `${baseUrl}/prefix/` }).health()).toEqual({ status: "ok" });
    expect(lines()).toEqual(["GET /prefix/healthz"]);
    expect(seen[0]!.headers).toMatchObject({ authorization: "Bearer rt_ws_k", accept: "application/json" });
  });

  test("come from the environment when they are needed, not when the client is made", async () => {
    const { ROTOR_API_KEY, ROTOR_BASE_URL } = process.env;
    const late = new Rotor();
    Object.assign(process.env, { ROTOR_API_KEY: "rt_ws_env", ROTOR_BASE_URL: baseUrl });
    try {
      await late.health();
      expect(seen[0]!.headers.authorization).toBe("Bearer rt_ws_env");
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
    replies = [
      { status: 201, json: { id: "j", queue: "q", state: "waiting", duplicate: true, payload_differs: true } },
    ];
    const runAt = new Date("2026-11-23T20:00:00Z");
    const job = {
      payload: data,
      jobId: "j",
      runAt,
      maxAttempts: 3,
      onDuplicate: "replace",
      headers: { "X-Some_Name": "v" },
    } as const;
    const enqueued = await rotor.jobs.enqueue("q", job);
    expect(seen[0]!.body).toEqual({
      payload: data,
      job_id: "j",
      run_at: "2026-11-23T20:00:00.000Z",
      max_attempts: 3,
      on_duplicate: "replace",
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
    replies = [{ json: run }, { json: { data: [run], next_cursor: null } }];
    expect(await rotor.runs.get("r")).toEqual(camel);
    expect(await rotor.runs.list().page()).toEqual({ data: [camel], nextCursor: null });
  });

  test("named __proto__ in an answer stay data", async () => {
    replies = [{ text: '{"id":"r","__proto__":{"polluted":true},"output":{"__proto__":1}}' }];
    const run = await rotor.runs.get("r");
    expect((run as { polluted?: unknown }).polluted).toBeUndefined();
  });
});

test("every call has the route that the API documents", async () => {
  replies = [{ json: { data: [], jobs: [], events: [{ id: "e", runs: [] }], run_id: "r", state: "completed" } }];
  const schedule = { queue: "q", cron: "@daily", timezone: "UTC" } as const;
  await rotor.queues.create("q", { callbackUrl: "http://x/", concurrency: 2 });
  await rotor.queues.put("q");
  await rotor.queues.update("q", { timeout: "5s" });
  await rotor.queues.get("a/b c");
  await rotor.queues.list({ limit: 5 }).page();
  await rotor.queues.delete("q");
  await rotor.queues.pause("q");
  await rotor.queues.resume("q");
  await rotor.jobs.enqueueBatch("q", [{ payload: 1 }, {}]);
  await rotor.jobs.get("q", "j");
  await rotor.jobs.list("q", { state: "failed", tag: "t" }).page("c1");
  await rotor.jobs.cancel("q", "j");
  await rotor.jobs.retry("q", "j");
  await rotor.dlq.list({ queue: "q", after: new Date(0) }).page();
  await rotor.dlq.replay({ filter: { queue: "q" }, dryRun: true });
  await rotor.schedules.create("s", schedule);
  await rotor.schedules.put("s", schedule);
  await rotor.schedules.get("s");
  await rotor.schedules.list().page();
  await rotor.schedules.delete("s");
  await rotor.schedules.run("s");
  await rotor.schedules.pause("s");
  await rotor.schedules.resume("s");
  await rotor.functions.sync({ url: "http://app/api/rotor", move: true });
  await rotor.functions.list().page();
  await rotor.functions.get("f");
  await rotor.functions.delete("f");
  await rotor.runs.start("f", { a: 1 }, { id: "r", delay: "1h" });
  await rotor.runs.get("r");
  await rotor.runs.list({ function: "f", state: "sleeping" }).page();
  await rotor.runs.result("r", { timeout: "1h" });
  await rotor.runs.cancel("r");
  await rotor.runs.replay("r", { fromStep: "s" });
  await rotor.runs.resume("r");
  await rotor.events.list({ name: "n" }).page();
  await rotor.events.get("e");
  await rotor.send({ name: "n", data: 1 });
  await rotor.signals.complete("run/step", { ok: true }, { bufferFor: "1h" });
  await rotor.approvals.list({ status: "pending" }).page();
  await rotor.approvals.approve("a", { reason: "fine" });
  await rotor.approvals.reject("a");
  await rotor.keys.create({ expiresIn: "90d" });
  await rotor.keys.list().page();
  await rotor.keys.revoke("k");
  await rotor.workspaces.create("w");
  await rotor.workspaces.list().page();
  expect(lines()).toEqual([
    "POST /v1/queues",
    "PUT /v1/queues/q",
    "PATCH /v1/queues/q",
    "GET /v1/queues/a%2Fb%20c",
    "GET /v1/queues?limit=5",
    "DELETE /v1/queues/q",
    "POST /v1/queues/q/pause",
    "POST /v1/queues/q/resume",
    "POST /v1/queues/q/jobs/batch",
    "GET /v1/queues/q/jobs/j",
    "GET /v1/queues/q/jobs?state=failed&tag=t&cursor=c1",
    "DELETE /v1/queues/q/jobs/j",
    "POST /v1/queues/q/jobs/j/retry",
    "GET /v1/dlq?queue=q&after=1970-01-01T00%3A00%3A00.000Z",
    "POST /v1/dlq/replay",
    "POST /v1/schedules",
    "PUT /v1/schedules/s",
    "GET /v1/schedules/s",
    "GET /v1/schedules",
    "DELETE /v1/schedules/s",
    "POST /v1/schedules/s/run",
    "POST /v1/schedules/s/pause",
    "POST /v1/schedules/s/resume",
    "POST /v1/functions/sync",
    "GET /v1/functions",
    "GET /v1/functions/f",
    "DELETE /v1/functions/f",
    "POST /v1/functions/f/runs",
    "GET /v1/runs/r",
    "GET /v1/runs?function=f&state=sleeping",
    "GET /v1/runs/r/result?wait=30s",
    "POST /v1/runs/r/cancel",
    "POST /v1/runs/r/replay",
    "POST /v1/runs/r/resume",
    "GET /v1/events?name=n",
    "GET /v1/events/e",
    "POST /v1/events",
    "POST /v1/signals/run%2Fstep/complete",
    "GET /v1/approvals?status=pending",
    "POST /v1/approvals/a/approve",
    "POST /v1/approvals/a/reject",
    "POST /v1/keys",
    "GET /v1/keys",
    "DELETE /v1/keys/k",
    "POST /v1/workspaces",
    "GET /v1/workspaces",
  ]);
  const bodies = new Map(seen.map(({ method, url, body }) => [`${method} ${url}`, body]));
  expect(bodies.get("POST /v1/queues")).toEqual({ name: "q", callback_url: "http://x/", concurrency: 2 });
  expect(bodies.get("POST /v1/functions/f/runs")).toEqual({ id: "r", data: { a: 1 }, delay: "1h" });
  expect(bodies.get("POST /v1/signals/run%2Fstep/complete")).toEqual({ data: { ok: true }, buffer_for: "1h" });
  expect(bodies.get("POST /v1/dlq/replay")).toEqual({ filter: { queue: "q" }, dry_run: true });
  expect(bodies.get("POST /v1/runs/r/replay")).toEqual({ from_step: "s" });
});

test("a name that an address would swallow is refused before anything is sent", async () => {
  for (const name of ["", ".", ".."]) await expect(rotor.queues.delete(name)).rejects.toThrow(RotorInputError);
  expect(seen).toEqual([]);
});

describe("what is sent", () => {
  test("has an id made by the client, and null for a missing payload or data", async () => {
    replies = [{ json: { jobs: [], events: [{ id: "e", runs: [] }], run_id: "r" } }];
    await rotor.jobs.enqueue("q");
    await rotor.jobs.enqueueBatch("q", [{}, {}]);
    await rotor.send({ name: "n" });
    await rotor.runs.start("f");
    const [job, batch, events, run] = seen.map(({ body }) => body) as [object, { jobs: object[] }, object[], object];
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
    replies = [{ json: { events: [{ id: "e", runs: [] }], run_id: "r" } }];
    const attempt = () =>
      runWithStepKey("run1/notify", async () => {
        await Promise.all([rotor.jobs.enqueue("q", { payload: 1 }), rotor.jobs.enqueue("q", { payload: 2 })]);
        await rotor.send([{ name: "a" }, { name: "b", id: "mine" }]);
        await rotor.runs.start("f");
      });
    await attempt();
    const first = seen.map(({ body }) => body);
    seen = [];
    await attempt();
    const byText = (bodies: unknown[]) => bodies.map((body) => JSON.stringify(body)).sort();
    expect(byText(seen.map(({ body }) => body))).toEqual(byText(first));
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
    replies = [{ json: { events: [one] } }, { json: { events: [one, two] } }];
    expect(await rotor.send(opened({ at: "now" }))).toEqual(one);
    expect(await rotor.send([opened({ at: "now" }), { name: "email.opend" }])).toEqual([one, two]);
    expect(await rotor.send([])).toEqual([]);
    expect(seen).toHaveLength(2);
  });
});

describe("a list", () => {
  test("is gone through page by page, each asked for when it is needed", async () => {
    replies = [
      { json: { data: [{ name: "a" }, { name: "b" }], next_cursor: "c/1" } },
      { json: { data: [{ name: "c" }], next_cursor: null } },
    ];
    const names: string[] = [];
    for await (const { name } of rotor.queues.list({ limit: 2 })) {
      names.push(name);
      if (name === "a") expect(seen).toHaveLength(1);
    }
    expect(names).toEqual(["a", "b", "c"]);
    expect(lines()).toEqual(["GET /v1/queues?limit=2", "GET /v1/queues?limit=2&cursor=c%2F1"]);
  });
});

describe("an error of the server", () => {
  test("has the server's message, code and details", async () => {
    const details = { job_id: "j", maxAttempts: 1 };
    replies = [{ status: 409, json: { error: { code: "conflict", message: "Queue q exists: use PUT", details } } }];
    const error = await rotor.queues.create("q").catch((thrown) => thrown);
    expect(error).toBeInstanceOf(RotorApiError);
    expect(error).toMatchObject({ status: 409, code: "conflict", message: "Queue q exists: use PUT", details });
    expect(seen).toHaveLength(1);
  });

  test.each([
    [404, "<h1>nginx</h1>", /GET \/v1\/queues\/q was answered with 404 .*<h1>nginx/],
    [200, "<!doctype html>", /answered with 200 by something that is not Rotor's API/],
    [500, "", /an empty body/],
    [500, "null", /500/],
  ])("that something else answered (%i %j) says so", async (status, text, message) => {
    replies = [{ status, text }];
    await expect(rotor.queues.get("q")).rejects.toThrow(message);
    await expect(rotor.queues.get("q")).rejects.toMatchObject({ code: `http_${status}` });
  });
});

describe("a call", () => {
  test("that is harmless to repeat is tried three times, with the same id", async () => {
    replies = ["cut", { status: 503 }, { json: { id: "j" } }];
    expect(await rotor.jobs.enqueue("q")).toEqual({ id: "j" });
    expect(seen).toHaveLength(3);
    expect(new Set(seen.map(({ body }) => JSON.stringify(body))).size).toBe(1);
  });

  test("gives up after the third try", async () => {
    replies = [{ status: 502, text: "bad gateway" }];
    await expect(rotor.send({ name: "n" })).rejects.toMatchObject({ name: "RotorApiError", status: 502 });
    expect(seen).toHaveLength(3);
    seen = [];
    replies = ["cut"];
    await expect(rotor.queues.get("q")).rejects.toBeInstanceOf(RotorConnectionError);
    expect(seen.length).toBeGreaterThanOrEqual(3);
  });

  test("that could do harm twice is made once", async () => {
    for (const reply of ["cut", { status: 503 }] as const) {
      seen = [];
      replies = [reply];
      await expect(rotor.schedules.run("s")).rejects.toThrow();
      expect(seen).toHaveLength(1);
    }
  });

  test("that deletes takes a 404 at its second try for its own doing, and at its first for an error", async () => {
    replies = [{ status: 504 }, { status: 404, json: { error: { code: "not_found", message: "no such queue" } } }];
    await expect(rotor.queues.delete("q")).resolves.toBeUndefined();
    await expect(rotor.queues.delete("q")).rejects.toMatchObject({ status: 404 });
  });

  test("ends with the signal's reason, while it waits for an answer and between tries", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    replies = ["hang"];
    const waiting = rotor.queues.get("q", { signal: controller.signal });
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);

    const between = new AbortController();
    const fetcher: typeof fetch = async () => {
      queueMicrotask(() => between.abort(reason));
      return new Response("", { status: 503 });
    };
    await expect(new Rotor({ baseUrl, fetch: fetcher }).queues.get("q", { signal: between.signal })).rejects.toBe(
      reason,
    );
  });
});

describe("the result of a run", () => {
  test("is what it returned, after as many requests as it takes", async () => {
    replies = [{ json: { state: "waiting" } }, { json: { state: "completed", output: { sent_to: 3 } } }];
    expect(await rotor.runs.result("r")).toEqual({ sent_to: 3 });
    expect(lines()).toEqual(["GET /v1/runs/r/result?wait=30s", "GET /v1/runs/r/result?wait=30s"]);
  });

  test("is an error when it failed, was cancelled or takes too long", async () => {
    replies = [{ json: { state: "failed", error: { name: "TypeError", message: "x is undefined" } } }];
    const error = await rotor.runs.result("r").catch((thrown) => thrown);
    expect(error).toMatchObject({ name: "WorkflowFailedError", message: "Run r failed: x is undefined" });
    expect(error.cause).toMatchObject({ name: "TypeError" });
    replies = [{ json: { state: "cancelled" } }];
    await expect(rotor.runs.result("r")).rejects.toMatchObject({ name: "WorkflowCancelledError" });
    replies = [{ json: { state: "active" } }];
    await expect(rotor.runs.result("r", { timeout: "0s" })).rejects.toMatchObject({ name: "WorkflowTimeoutError" });
  });
});
