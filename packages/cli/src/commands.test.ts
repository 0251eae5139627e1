import { expect, test } from "vitest";
import { type ScriptedApi, startScriptedApi } from "../../sdk/src/testing-kit/scripted-api.js";
import { call } from "./testing-kit/context.js";

/** Calls one command against a server that answers with `json`; what it asked for is in `api.seen`. */
async function callApi(argv: readonly string[], json: unknown = {}, input = "") {
  const api: ScriptedApi = await startScriptedApi();
  api.replies = [{ json }];
  const called = await call(argv, { env: { ROTOR_BASE_URL: api.baseUrl }, input });
  api.close();
  return { ...called, lines: api.lines(), body: api.seen[0]?.body };
}

test("a queue is made with the documented flags", async () => {
  const argv = "queues create enrichment --url http://app/hook --concurrency 5 --retry-attempts 3 --timeout 30s";
  const { code, lines, body } = await callApi(argv.split(" "), { name: "enrichment", concurrency: 5 });
  expect(code).toBe(0);
  expect(lines).toEqual(["POST /v1/queues"]);
  expect(body).toEqual({
    name: "enrichment",
    callback_url: "http://app/hook",
    concurrency: 5,
    retry: { max_attempts: 3 },
    timeout: "30s",
  });
});

const schedule = {
  name: "n",
  queue: "q",
  function: null,
  cron: "0 9 * * *",
  timezone: "Europe/Stockholm",
  overlap: "skip",
  catch_up: "all",
  paused_at: null,
  skipped: { count: 2, last_at: "2026-03-28T08:00:00.000Z" },
  missed: { count: 0, last_at: null },
  next_fires: ["2026-03-28T08:00:00.000Z", "2026-03-29T07:00:00.000Z"],
};

test("a schedule is made with the documented flags, and its next fires are shown as the clocks there show them", async () => {
  const flags = ["--queue", "q", "--name", "n", "--cron", "0 9 * * *", "--timezone", "Europe/Stockholm"];
  const policies = ["--overlap", "skip", "--catch-up", "all"];
  const argv = ["schedules", "create", ...flags, "--job-data", '{"a":1}', ...policies];
  const { code, body, out } = await callApi(argv, schedule);
  expect(code).toBe(0);
  expect(body).toEqual({
    name: "n",
    queue: "q",
    cron: "0 9 * * *",
    timezone: "Europe/Stockholm",
    payload: { a: 1 },
    overlap: "skip",
    catch_up: "all",
  });
  expect(out).toContain("next fires\n  2026-03-28 09:00:00  Europe/Stockholm\n  2026-03-29 09:00:00  Europe/Stockholm");
  expect(out).toMatch(/skipped +2, last 2026-03-28/);
});

test("a schedule is changed, and run now", async () => {
  const changed = await callApi(["schedules", "update", "n", "--cron", "@daily", "--function", "f"], schedule);
  expect(changed.lines).toEqual(["PATCH /v1/schedules/n"]);
  expect(changed.body).toEqual({ cron: "@daily", function: "f" });
  const run = await callApi(["schedules", "run", "n"], { id: "j1", state: "waiting" });
  expect(run.lines).toEqual(["POST /v1/schedules/n/run"]);
  expect(run.out).toBe("Started j1.");
});

test("approvals are listed by status", async () => {
  const { lines, err } = await callApi(["approvals", "list", "--status", "pending"], { data: [], next_cursor: null });
  expect(lines).toEqual(["GET /v1/approvals?status=pending&limit=50"]);
  expect(err).toBe("No such approvals.");
});

test("a webhook is made with the types that it wants, and its secret printed alone", async () => {
  const argv = "webhooks create ops --url http://app/hook --types job.failed,queue.late";
  const { out, err, lines, body } = await callApi(argv.split(" "), { name: "ops", secret: "whsec_x" });
  expect(lines).toEqual(["POST /v1/webhooks"]);
  expect(body).toEqual({ name: "ops", url: "http://app/hook", types: ["job.failed", "queue.late"] });
  expect(out).toBe("whsec_x");
  expect(err).toContain("not shown again");
});

test("a job is enqueued with its id and delay, its payload read from standard input", async () => {
  const enqueued = { id: "j1", queue: "q", state: "waiting", duplicate: false };
  const argv = ["jobs", "enqueue", "q", "-", "--id", "j1", "--delay", "30s", "--tag", "a", "--tag", "b"];
  const { out, body } = await callApi(argv, enqueued, '{"contactId":"c1"}');
  expect(body).toEqual({ payload: { contactId: "c1" }, job_id: "j1", delay: "30s", tags: ["a", "b"] });
  expect(out).toContain("Enqueued j1 (waiting)");
});

test("--json prints what the API answered, in camelCase", async () => {
  const page = { data: [{ id: "r1", function: "f", created_at: "2026-11-23T20:00:00Z" }], next_cursor: "c" };
  const { out } = await callApi(["runs", "list", "--json"], page);
  expect(JSON.parse(out)).toEqual({
    data: [{ id: "r1", function: "f", createdAt: "2026-11-23T20:00:00Z" }],
    nextCursor: "c",
  });
});

test("every command has --json", async () => {
  const { out } = await call(["--help"]);
  const commands = [...out.split("Commands:")[1]!.matchAll(/^ {2}([\w-]+)/gm)].map(([, name]) => name!);
  for (const name of commands.filter((each) => each !== "help")) {
    const { out: help } = await call([name, "--help"]);
    const leaves = [...(help.split("Commands:")[1] ?? "").matchAll(/^ {2}([\w-]+)/gm)].map(([, leaf]) => leaf!);
    const paths = leaves.length === 0 ? [[name]] : leaves.filter((leaf) => leaf !== "help").map((leaf) => [name, leaf]);
    for (const path of paths) expect((await call([...path, "--help"])).out, path.join(" ")).toContain("--json");
  }
});

test.each([
  { argv: ["queus", "list"], hint: "Did you mean queues?" },
  { argv: ["queues", "crate", "q"], hint: "Did you mean create?" },
  { argv: ["queues", "create", "q", "--concurency", "5"], hint: "Did you mean --concurrency?" },
  { argv: ["queues", "create", "q", "--concurrency", "five"], hint: "whole number" },
  { argv: ["queues", "create", "q", "--timeout", "30"], hint: "30s" },
  { argv: ["queues", "update", "q"], hint: "Say what to change" },
  { argv: ["queues", "update", "q", "--rate-limit", "10"], hint: "10/1s" },
  { argv: ["queues", "update", "q", "--rate-limit", "10/soon"], hint: "30s" },
  { argv: ["queues", "update", "q", "--rate-key", "payload.a"], hint: "--rate-limit" },
  { argv: ["queues", "update", "q", "--no-rate-limit", "--rate-key", "payload.a"], hint: "say both" },
  { argv: ["queues", "update", "q", "--backoff", "quadratic"], hint: "exponential" },
  { argv: ["queues", "update", "q", "--factor", "0.5"], hint: "1 to 100" },
  { argv: ["queues", "update", "q", "--retention", "waiting=7d"], hint: "completed=7d" },
  { argv: ["queues", "update", "q", "--no-breaker", "--breaker-failures", "3"], hint: "either --no-breaker" },
  { argv: ["jobs", "update", "q", "j"], hint: "Say what to change" },
  { argv: ["jobs", "update", "q", "j", "--run-at", "soon"], hint: "2026-11-23T20:00:00Z" },
  { argv: ["jobs", "enqueue", "q", "--on-duplicate", "keep"], hint: "ignore, replace, reject" },
  { argv: ["concurrency-keys", "set", "k"], hint: "--limit" },
  { argv: ["schedules", "create", "--name", "n", "--cron", "@daily"], hint: "--timezone" },
  { argv: ["schedules", "update", "n"], hint: "Say what to change" },
  { argv: ["schedules", "update", "n", "--overlap", "never"], hint: "allow, skip" },
  { argv: ["schedules", "update", "n", "--queue", "q", "--function", "f"], hint: "either --queue" },
  { argv: ["jobs", "list", "q", "--state", "fialed"], hint: "failed" },
  { argv: ["jobs", "enqueue", "q", "{a:1}"], hint: "must be JSON" },
  { argv: ["send", "n", '{"id":12345678901234567890}'], hint: "write it as a string" },
  { argv: ["dlq", "replay"], hint: "--all" },
  { argv: ["dlq", "replay", "j1", "--queue", "q"], hint: "either ids or a filter" },
  { argv: ["dlq", "replay", "--all", "--rate", "fast"], hint: "10/s" },
  { argv: ["dlq", "purge", "--all"], hint: "--yes" },
  { argv: ["runs", "cancel"], hint: "--all" },
  { argv: ["runs", "replay", "r1", "--function", "f"], hint: "either ids or a filter" },
  { argv: ["runs", "cancel", "r1", "r2", "--children"], hint: "one run" },
  { argv: ["runs", "replay", "--function", "f", "--from-step", "s"], hint: "one run" },
  { argv: ["runs", "cancel", "--created-after", "soon"], hint: "2026-11-23T20:00:00Z" },
  { argv: ["queues", "drain", "q"], hint: "--yes" },
  { argv: ["workspaces", "delete", "w", "--cancel"], hint: "--yes" },
  { argv: ["adopt"], hint: "--release" },
  { argv: ["adopt", "--release", "--cancel-all"], hint: "--release" },
  { argv: ["keys", "create", "--scopes", "read,wirte"], hint: "Choose from read, write" },
  { argv: ["keys", "rotate", "k1", "--queue", "q"], hint: "Say either" },
  { argv: ["dev", "-u", "localhost"], hint: "not an address" },
  { argv: [], hint: "Usage: rotor" },
])("called wrongly as `rotor $argv`, it says what to write and exits with 2", async ({ argv, hint }) => {
  const { code, err } = await call(argv);
  expect(err).toContain(hint);
  expect(code).toBe(2);
});

test("help and version are no failures", async () => {
  expect((await call(["--help"])).code).toBe(0);
  expect(await call(["--version"])).toMatchObject({ code: 0, out: "0.1.0" });
});

test("an error of the API is its message and exit code 1", async () => {
  const api = await startScriptedApi();
  api.replies = [{ status: 404, json: { error: { code: "not_found", message: "There is no queue \u001b[2Jq." } } }];
  const called = await call(["queues", "get", "q"], { env: { ROTOR_BASE_URL: api.baseUrl } });
  api.close();
  expect(called).toEqual({ code: 1, out: "", err: "There is no queue [2Jq." });
});

test("a server that is not there is told with what to do", async () => {
  const api = await startScriptedApi();
  api.close();
  const { code, err } = await call(["queues", "list"], { env: { ROTOR_BASE_URL: api.baseUrl } });
  expect(err).toBe(`No Rotor answers at ${api.baseUrl}. Start one with \`rotor dev\`, or set ROTOR_BASE_URL.`);
  expect(code).toBe(1);
});

test("a start without a store says which settings name one", async () => {
  const { code, err } = await call(["start"]);
  expect(err).toContain("DATABASE_URL");
  expect(code).toBe(1);
});

test("a key is asked of the server, where one answers, and printed alone", async () => {
  const made = { id: "k", key: "rt_ws_default_secret", name: "cli", scopes: ["read", "write"] };
  const { out, err, body } = await callApi(["keys", "create", "--scopes", "read,write"], made);
  expect(out).toBe("rt_ws_default_secret");
  expect(err).toContain("not shown again");
  expect(body).toEqual({ name: "cli", scopes: ["read", "write"] });
});

test("a secret is read from standard input, without its line end, or given as an option", async () => {
  const secret = { name: "TOKEN", created_at: "2026-11-23T20:00:00Z", updated_at: "2026-11-23T20:00:00Z" };
  const { out, lines, body } = await callApi(["secrets", "set", "TOKEN"], secret, "a-secret-value\n");
  expect([out, lines, body]).toEqual(["Set TOKEN.", ["PUT /v1/secrets/TOKEN"], { value: "a-secret-value" }]);
  expect((await callApi(["secrets", "set", "TOKEN", "--value", "other-value"], secret)).body).toEqual({
    value: "other-value",
  });
  expect(await callApi(["secrets", "set", "TOKEN"], secret, "")).toMatchObject({ code: 2, lines: [] });
});

test("a rotated key is printed alone: what signs, a queue's secret, or an API key", async () => {
  const signing = { secret: "whsec_new", queue: null };
  const workspace = await callApi(["keys", "rotate"], signing);
  expect([workspace.out, workspace.lines]).toEqual(["whsec_new", ["POST /v1/keys/rotate-signing"]]);
  expect(workspace.err).toContain("goes on for 24h");
  const queue = await callApi(["keys", "rotate", "--queue", "q", "--overlap", "0s"], signing);
  expect(queue.body).toEqual({ queue: "q", overlap: "0s" });
  const api = await callApi(["keys", "rotate", "k1"], { id: "k2", key: "rt_ws_default_new" });
  expect([api.out, api.lines]).toEqual(["rt_ws_default_new", ["POST /v1/keys/k1/rotate"]]);
});

test("a run is cancelled, with its children too, retried, and replayed", async () => {
  const cancelled = await callApi(["runs", "cancel", "r1", "--children"], {
    state: "cancelled",
    children_cancelled: 2,
  });
  expect([cancelled.lines, cancelled.body]).toEqual([["POST /v1/runs/r1/cancel"], { children: true }]);
  expect(cancelled.out).toBe("Cancelled r1, and 2 below it.");
  expect((await callApi(["runs", "cancel", "r1"])).out).toBe("Cancelled r1.");
  const waited = await callApi(["runs", "start", "f", "[1]", "--wait", "--timeout", "10s"], {
    run_id: "r1",
    run: { state: "completed", output: { sent: 3 } },
  });
  expect(JSON.parse(waited.out)).toEqual({ sent: 3 });
  expect(waited.body).toMatchObject({ data: [1], wait: expect.stringMatching(/^(10s|9\.\d+s|\d{4}ms)$/) });
  expect((await callApi(["runs", "retry", "r1"])).lines).toEqual(["POST /v1/runs/r1/retry"]);
  const replayed = await callApi(["runs", "replay", "r1", "--from-step", "s", "--input", "[1]"], { run_id: "r2" });
  expect([replayed.lines, replayed.body]).toEqual([["POST /v1/runs/r1/replay"], { from_step: "s", input: [1] }]);
});

test("runs are cancelled and replayed by filter, or only counted", async () => {
  const flags = ["--function", "f", "--state", "sleeping", "--created-before", "2026-11-23", "--dry-run"];
  const counted = await callApi(["runs", "cancel", ...flags], { cancelled: 3, next_cursor: null });
  expect(counted.lines).toEqual(["POST /v1/runs/cancel"]);
  const filter = { function: "f", state: "sleeping", created_before: "2026-11-23T00:00:00.000Z" };
  expect(counted.body).toEqual({ filter, dry_run: true });
  expect(counted.out).toBe("3 runs would be cancelled.");
  const all = await callApi(["runs", "replay", "--all"], { replayed: 1, next_cursor: null });
  expect([all.lines, all.body]).toEqual([["POST /v1/runs/replay"], { filter: {}, confirm: true }]);
  expect(all.out).toBe("Replayed 1 run.");
  expect((await callApi(["runs", "cancel", "r1", "r2"], { cancelled: 2 })).body).toEqual({ ids: ["r1", "r2"] });
});

test("an ask about many that takes its time says how far it is", async () => {
  const api = await startScriptedApi();
  api.replies = [
    { json: { cancelled: 1_500, before: "2026-11-23T00:00:00.000Z", next_cursor: "c" } },
    { json: { cancelled: 2, before: "2026-11-23T00:00:00.000Z", next_cursor: null } },
  ];
  const { out, err } = await call(["runs", "cancel", "--tag", "t"], { env: { ROTOR_BASE_URL: api.baseUrl } });
  api.close();
  expect([out, err]).toEqual(["Cancelled 1502 runs.", "1,500 so far …"]);
  expect(api.seen.map(({ body }) => body)).toEqual([
    { filter: { tag: "t" } },
    { filter: { tag: "t" }, before: "2026-11-23T00:00:00.000Z", cursor: "c" },
  ]);
});

test("dead letters are replayed by filter, or only counted", async () => {
  const argv = ["dlq", "replay", "--queue", "q", "--dry-run"];
  const { out, body } = await callApi(argv, { replayed: 3, next_cursor: null });
  expect(body).toEqual({ filter: { queue: "q" }, dry_run: true });
  expect(out).toBe("3 jobs would be replayed.");
});

test("dead letters are replayed at a rate, and by the time they failed", async () => {
  const argv = ["dlq", "replay", "--after", "2026-11-23", "--rate", "10/s", "--include-rejected"];
  const { out, body } = await callApi(argv, { replayed: 1, next_cursor: null });
  expect(body).toEqual({ filter: { after: "2026-11-23T00:00:00.000Z" }, rate: "10/s", include_rejected: true });
  expect(out).toBe("Replayed 1 job.");
});

test("dead letters are purged, and a queue drained, only with a yes", async () => {
  const purge = await callApi(["dlq", "purge", "--all", "--yes"], { purged: 2, kept: 1, next_cursor: null });
  expect(purge.lines).toEqual(["DELETE /v1/dlq"]);
  expect(purge.body).toEqual({ filter: {}, confirm: true });
  expect(purge.out).toContain("Removed 2 jobs.");
  const drain = await callApi(["queues", "drain", "q", "--yes"], { cancelled: 2, next_cursor: null });
  expect(drain.lines).toEqual(["POST /v1/queues/q/drain"]);
  expect(drain.body).toEqual({ confirm: true });
  expect(drain.out).toBe("Cancelled 2 jobs.");
});

test("a job is shown with its attempts, and the last one's call as HTTP writes it", async () => {
  const delivery = {
    delivery: 2,
    attempt: 2,
    outcome: "retry",
    status: 503,
    ended_at: "2026-11-24T00:00:00.000Z",
    duration_ms: 12,
    error: { name: "HttpError", message: "The endpoint answered 503" },
    request: { url: "https://e.com/jobs", headers: { "x-rotor-signature": "…", "x-evil": "a\u001b[31m" } },
    response: { headers: { "retry-after": "5" } },
    timing: { queue_ms: 1.5, connect_ms: 0.1, wait_ms: 9 },
  };
  const { out } = await callApi(["jobs", "get", "q", "j"], { id: "j", state: "waiting", deliveries: [delivery] });
  expect(out).toContain(
    [
      "Delivery 2: POST https://e.com/jobs",
      "  x-rotor-signature: …",
      "  x-evil: a[31m",
      "Answer:",
      "  503",
      "  retry-after: 5",
      "Time: queue 1.5 ms, connect 0.1 ms, wait 9 ms",
    ].join("\n"),
  );
  const unanswered = { ...delivery, status: null, response: undefined };
  const silent = await callApi(["jobs", "get", "q", "j"], { id: "j", deliveries: [unanswered] });
  expect(silent.out).toContain("Answer:\n  no answer came");
});

test("a run is shown with each attempt of its steps", async () => {
  const step = {
    kind: "run",
    asked_at: null,
    due_at: null,
    ended_at: null,
    duration_ms: 1,
    wait: null,
    event_id: null,
  };
  const failure = (attempt: number, message: string) => ({
    attempt,
    at: "2026-11-23T20:00:00.123Z",
    duration_ms: 1,
    error: { name: "Error", message },
  });
  const steps = [
    { ...step, key: "load", state: "completed", attempt: 1, output: "x", error: null, failures: [] },
    {
      ...step,
      key: "charge",
      state: "waiting",
      attempt: 2,
      error: { name: "Error", message: "the bank is away" },
      failures: [failure(1, "no card"), failure(2, "the bank is away")],
    },
  ];
  const { out } = await callApi(["runs", "get", "r1"], { id: "r1", state: "waiting", steps });
  const log = out
    .split("\n\n")[1]!
    .split("\n")
    .map((line) => line.split(/ {2,}/).filter((_, n) => n !== 4 && n !== 5));
  expect(log).toEqual([
    ["STEP", "KIND", "STATE", "ATTEMPT", "RESULT"],
    ["load", "run", "completed", "1", "x"],
    ["charge", "run", "retried", "1", "no card"],
    ["charge", "run", "waiting", "2", "the bank is away"],
  ]);
});
