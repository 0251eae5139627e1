import { expect, test } from "vitest";
import { startScriptedApi } from "../../sdk/src/testing-kit/scripted-api.js";
import { whyLines } from "./commands/why.js";
import { call } from "./testing-kit/context.js";

/** Calls one command against a server that answers with `json`; answers what it printed and what it asked for. */
async function callApi(argv: readonly string[], json: unknown = {}) {
  const api = await startScriptedApi();
  api.replies = [{ json }];
  const called = await call(argv, { env: { ROTOR_BASE_URL: api.baseUrl } });
  api.close();
  return { ...called, lines: api.lines(), body: api.seen[0]?.body };
}

test("a queue is given all that a queue may be given", async () => {
  const flags = [
    ["--callback-url", "http://app/hook"],
    ["--header", "X-A: 1"],
    ["--header", "X-B: 2"],
    ["--concurrency", "5"],
    ["--strict-concurrency"],
    ["--rate-limit", "10/1s"],
    ["--rate-key", "payload.customer"],
    ["--retry-attempts", "4"],
    ["--backoff", "5s,1m"],
    ["--min", "1s"],
    ["--max", "10m"],
    ["--factor", "1.5"],
    ["--jitter", "none"],
    ["--timeout", "30s"],
    ["--async-timeout", "2h"],
    ["--breaker-failures", "3"],
    ["--approval-required"],
    ["--approval-timeout", "1d"],
    ["--retention", "completed=7d,failed=30d"],
  ];
  const { code, lines, body } = await callApi(["queues", "update", "q", ...flags.flat()]);
  expect([code, lines]).toEqual([0, ["PATCH /v1/queues/q"]]);
  expect(body).toEqual({
    callback_url: "http://app/hook",
    headers: { "X-A": "1", "X-B": "2" },
    concurrency: 5,
    strict_concurrency: true,
    rate_limit: { limit: 10, period: "1s", key: "payload.customer" },
    retry: { max_attempts: 4, backoff: ["5s", "1m"], min: "1s", max: "10m", factor: 1.5, jitter: "none" },
    timeout: "30s",
    async_timeout: "2h",
    breaker: { failures: 3 },
    approval_required: true,
    approval_timeout: "1d",
    retention: { completed: "7d", failed: "30d" },
  });
});

test.each<[string, unknown]>([
  ["--rate-limit 100/m", { rate_limit: { limit: 100, period: "1m" } }],
  ["--no-rate-limit", { rate_limit: null }],
  ["--breaker", { breaker: {} }],
  ["--no-breaker", { breaker: null }],
  ["--no-strict-concurrency --no-approval-required", { strict_concurrency: false, approval_required: false }],
  ["--backoff linear", { retry: { backoff: "linear" } }],
  ["--concurrency 5", { concurrency: 5 }],
])("queues update with %s changes that alone", async (flags, body) => {
  expect((await callApi(["queues", "update", "q", ...flags.split(" ")])).body).toEqual(body);
});

test("a job is enqueued under a key, in the place of one that waits", async () => {
  const flags = "--id j --concurrency-key acme --key-order strict --on-duplicate replace --header X-A:1 --priority -5";
  const answer = { id: "j1", queue: "q", state: "waiting", duplicate: true, replaced: true };
  const { out, body } = await callApi(["jobs", "enqueue", "q", "1", ...flags.split(" ")], answer);
  expect(body).toEqual({
    payload: 1,
    job_id: "j",
    concurrency_key: "acme",
    key_order: "strict",
    on_duplicate: "replace",
    headers: { "X-A": "1" },
    priority: -5,
  });
  expect(out).toContain("Replaced j1 (waiting).");
});

test("a job that waits is changed", async () => {
  const flags = ["--delay", "0s", "--payload", '{"a":1}', "--priority", "5", "--no-concurrency-key"];
  const { lines, body, out } = await callApi(["jobs", "update", "q", "j", ...flags], { id: "j", state: "waiting" });
  expect(lines).toEqual(["PATCH /v1/queues/q/jobs/j"]);
  expect(body).toEqual({ payload: { a: 1 }, delay: "0s", priority: 5, concurrency_key: null });
  expect(out).toMatch(/state +waiting/);
  const key = await callApi(["jobs", "update", "q", "j", "--concurrency-key", "acme", "--run-at", "2026-11-23T20:00Z"]);
  expect(key.body).toEqual({ concurrency_key: "acme", run_at: "2026-11-23T20:00:00.000Z" });
});

test("a concurrency key is listed, shown, and given a limit", async () => {
  const acme = { key: "acme", limit: 3, active: 2, blocked: 40 };
  const listed = await callApi(["concurrency-keys", "list"], { data: [acme], next_cursor: null });
  expect(listed.out).toMatch(/KEY +LIMIT +ACTIVE +BLOCKED\nacme +3 +2 +40/);
  expect((await callApi(["concurrency-keys", "get", "acme"], acme)).out).toMatch(/blocked +40/);
  const set = await callApi(["concurrency-keys", "set", "acme", "--limit", "3"], acme);
  expect([set.lines, set.body]).toEqual([["PUT /v1/concurrency-keys/acme"], { limit: 3 }]);
  expect(set.out).toBe("Up to 3 of acme may be active at a time.");
});

const why = {
  id: "j",
  state: "waiting",
  reason: "key_blocked",
  since: "2026-11-23T20:00:00.000Z",
  until: null,
  sentence: "Of its concurrency key acme one job may be active at a time, and h of q has it.",
  blocked_by: [{ id: "h", queue: "q", until: "2026-11-23T20:05:00.000Z" }],
  unblock: ["rotor concurrency-keys set --limit <n> acme", "rotor jobs cancel q h"],
  near_misses: [],
};

test("why says what a job waits for, who blocks it, and each command on a line of its own", async () => {
  const { code, lines, out } = await callApi(["why", "j"], why);
  expect([code, lines]).toEqual([0, ["GET /v1/jobs/j/why"]]);
  expect(out).toMatch(/^Of its concurrency key acme .*\nsince {2}2026-11-2\d \d\d:00:00, /);
  expect(out).not.toContain("until ");
  expect(out).toMatch(/BLOCKED BY +QUEUE +UNTIL\nh +q +2026-11-2\d/);
  expect(out.endsWith("To unblock it:\n  rotor concurrency-keys set --limit <n> acme\n  rotor jobs cancel q h")).toBe(
    true,
  );
  expect(JSON.parse((await callApi(["why", "j", "--json"], why)).out)).toMatchObject({
    reason: "key_blocked",
    blockedBy: [{ id: "h" }],
    nearMisses: [],
  });
});

test("why shows the events that came near, and says since and until when from now", () => {
  const at = Date.parse("2026-11-23T20:00:00.000Z");
  const lines = whyLines(
    {
      id: "r",
      state: "waiting",
      reason: "event",
      since: "2026-11-23T17:59:00.000Z",
      until: "2026-11-23T20:00:41.000Z",
      sentence: "It waits in w for the event email.opened.",
      blockedBy: [],
      unblock: ["rotor send email.opened '{…}'"],
      nearMisses: [
        {
          eventId: "e1",
          receivedAt: "2026-11-23T19:59:00.000Z",
          part: "opened",
          differences: [
            { path: "contactId", wanted: "c1", found: "c2" },
            { path: "n", wanted: 1, found: null },
          ],
        },
      ],
    },
    at,
  );
  expect(lines).toMatch(/since .*, 2 hours ago\nuntil .*, in 41 seconds\n/);
  expect(lines).toMatch(/EVENT +RECEIVED +PART +PATH/);
  expect(lines).toMatch(/e1 .* opened +contactId +"c1" +"c2"\ne1 .* opened +n +1 +null\n/);
  expect(lines).not.toContain("BLOCKED BY");
});

test("an event is sent for a later time and with tags, and listed by one", async () => {
  const answer = { id: "e", runs: [], duplicate: false, due_at: "2027-01-31T09:00:00.000Z" };
  const argv = ["send", "n", "1", "--at", "2027-01-31T09:00:00Z", "--tag", "eu", "--tag", "vip"];
  const { code, out, body } = await callApi(argv, { events: [answer] });
  expect([code, out]).toEqual([0, "Stored e, to be published at 2027-01-31T09:00:00.000Z."]);
  expect(body).toMatchObject([{ name: "n", data: 1, ts: Date.parse("2027-01-31T09:00:00Z"), tags: ["eu", "vip"] }]);
  const wrong = await callApi(["send", "n", "--at", "soon"]);
  expect([wrong.code, wrong.lines, wrong.err]).toEqual([2, [], expect.stringContaining("--at: soon is not a date")]);
  const event = { id: "e", name: "n", data: 1, ts: 0, tags: ["eu"], received_at: null, due_at: "2027-01-31T09:00:00Z" };
  const list = await callApi(["events", "list", "--tag", "eu"], { data: [event], next_cursor: null });
  expect([list.lines, list.out]).toEqual([["GET /v1/events?tag=eu&limit=50"], expect.stringMatching(/e +n +due 2027/)]);
});

test("a signal is kept for the wait to come, and given a link", async () => {
  const until = "2026-11-24T20:00:00.000Z";
  const kept = await callApi(["signals", "complete", "go", "1", "--buffer-for", "1d"], { buffered: true, until });
  expect([kept.code, kept.out]).toEqual([0, `Nobody waits for go yet: kept until ${until}.`]);
  expect(kept.body).toEqual({ data: 1, buffer_for: "1d" });
  const done = await callApi(["signals", "complete", "go"], { run_id: "r" });
  expect(done.out).toBe("Completed go.");
  const link = await callApi(["signals", "link", "go", "--expires", "7d", "--data", '{"ok":true}'], {
    url: "http://x/y",
  });
  expect([link.lines, link.out]).toEqual([["POST /v1/signals/go/links"], "http://x/y"]);
  expect(link.body).toEqual({ expires: "7d", data: { ok: true } });
});
