/** Events, signals, expressions, schedules, lists, keys: what nobody may send. The queue `q` and the function `f` are there. */
import { limits } from "../../../core/limits.js";
import { type BadInput, bad, long } from "./case.js";

const EVENTS = "/v1/events";

/** Expressions that must not be taken, and must not take long either: with `data` in place of `payload` of a wait, too. */
export const expressions: readonly string[] = [
  "payload.",
  '"unclosed',
  "x(1,",
  "payload.a ==",
  "(((((",
  long(limits.expressionLength - 1, "("),
  `${long(500, "(")}payload.a${long(500, ")")}`,
  `${long(900, "!")}true`,
  `payload${long(900, ".a")}`,
  `payload.a == 1${long(200, " || payload.a == 1")}`,
  `payload.a${long(400, "[0]")}`,
  long(limits.expressionLength + 1, "a"),
  long(1_000_000, "a"),
  "payload.items.all(x, payload.items.all(y, payload.items.all(z, x == y)))",
  "payload.items.map(x, payload.items.map(y, x + y)).size() == 1",
  'payload.a.matches("^(a+)+$")',
  'matches(payload.a, "^(a+)+$")',
  'payload.items.exists(x, payload.text.contains("a"))',
  "payload.items.exists(x, x in payload.others)",
  'payload.list.join(payload.text) == ""',
  `(${Array.from({ length: 40 }, () => "payload.s").join(" + ")}).contains("z")`,
  "unknown.a",
  "process.env.HOME",
  "constructor",
  "payload.a; payload.b",
  "payload.a = 1",
  "`payload`",
  "payload.a \u0000",
];

const eventsBad: readonly (readonly [name: string, body: unknown, status?: number])[] = [
  ["that is no object", "7"],
  ["that is null", "null"],
  ["in no envelope of ours", { event: "e" }],
  ["without a name", {}],
  ["with an empty name", { name: "" }],
  ["with a blank name", { name: " " }],
  ["with a name of ours", { name: "rotor/run.failed" }],
  ["with a name of 129 characters", { name: long(129) }],
  ["with NUL in its name", '{"name":"a\\u0000"}'],
  ["with an escape in its name", '{"name":"a\\u001b[2J"}'],
  ["of the time -1", { name: "e", ts: -1 }],
  ["of a time in seconds", { name: "e", ts: 1_790_000_000 }],
  ["of the year 275761", { name: "e", ts: 8_640_000_000_000_001 }],
  ["of half a millisecond", { name: "e", ts: 1_790_000_000_000.5 }],
  ["of a time past all", '{"name":"e","ts":1e999}'],
  ["of a time as text", { name: "e", ts: "now" }],
  ["of a time two years ahead", { name: "e", ts: Date.now() + 2 * 366 * 86_400_000 }],
  ["with an empty id", { name: "e", id: "" }],
  ["with an id of ours", { name: "e", id: "rotor:schedule:x" }],
  ["with an id of 10 kB", { name: "e", id: long(10_000) }],
  ["with NUL in its data", '{"name":"e","data":{"a":"\\u0000"}}'],
  ["with its data twice", '{"name":"e","data":1,"data":2}'],
  ["with data as deep as 100,000", `{"name":"e","data":${long(100_000, "[")}${long(100_000, "]")}}`],
  ["with a mebibyte and one byte", `{"name":"e","data":"${long(limits.bodyBytes)}"}`, 413],
  ["with 11 tags", { name: "e", tags: Array.from({ length: 11 }, (_, n) => `${n}`) }],
  ["of a workspace", { name: "e", workspace: "other" }],
  ["among 1,001", Array.from({ length: 1_001 }, () => ({ name: "e" }))],
  ["among good ones", [{ name: "e" }, { name: "" }, { name: "e" }]],
  ["within a list within a list", [[{ name: "e" }]]],
];

export const events: readonly BadInput[] = [
  ...eventsBad.map(([name, body, status]) => bad(`an event ${name}`, EVENTS, body, status)),
  ...expressions.map((key) =>
    bad(`a key of a rate ${key.slice(0, 40)}`, "/v1/queues/q", { rate_limit: { limit: 1, period: "1s", key } }, 422, {
      method: "PATCH",
    }),
  ),
  bad("a signal that nobody waits for", "/v1/signals/none/complete", { data: 1 }, 404),
  bad("a signal without a body", "/v1/signals/none/complete", undefined, 404, { method: "POST" }),
  bad(
    "a signal with a mebibyte and one byte",
    "/v1/signals/none/complete",
    `{"data":"${long(limits.bodyBytes)}"}`,
    413,
  ),
  bad("a signal of 301 characters that is kept", `/v1/signals/${long(301)}/complete`, { buffer_for: "1h" }),
  bad("a signal that is kept for ever", "/v1/signals/none/complete", { buffer_for: "10000d" }),
  bad("a signal with NUL in its id", "/v1/signals/a%00/complete", {}, [400, 404]),
  bad("a signal with its data twice", "/v1/signals/none/complete", '{"data":1,"data":2}'),
  bad("a link to a signal with a page of data", "/v1/signals/none/links", { expires: "1d", data: long(501) }),
  bad("a link that never expires", "/v1/signals/none/links", {}),
  ...["x", ".", "a.b", long(5_000), "%00", "..%2f..%2fv1%2fqueues"].map((token) =>
    bad(`a link ${token.slice(0, 12)}`, `/links/${token}`, undefined, [400, 404], { method: "POST" }),
  ),
  ...["", "none", "x.1.y", `${"0".repeat(36)}.1.${long(43)}`, long(10_000), "a b"].map((token) =>
    bad(
      `a report with the capability ${token.slice(0, 12)}`,
      `/v1/jobs/${"0".repeat(36)}/complete?token=${encodeURIComponent(token)}`,
      {},
      [401, 404, 422],
      { key: null },
    ),
  ),
  bad("a checkpoint of another version", "/v1/checkpoints", { version: 99, runs: [] }),
  bad("a checkpoint without a version", "/v1/checkpoints", {}),
  bad("a checkpoint of no list", "/v1/checkpoints", { version: 1, runs: {} }),
  bad("a checkpoint of 1,001 runs", "/v1/checkpoints", { version: 1, runs: Array.from({ length: 1_001 }, () => ({})) }),
  bad("a checkpoint of runs that are none", "/v1/checkpoints", { version: 1, runs: [null, 7, "x", [], {}] }, 409),
  bad(
    "a checkpoint with a forged capability",
    "/v1/checkpoints",
    {
      version: 1,
      runs: [{ token: `${"0".repeat(36)}.1.${long(43)}`, reports: [], known_seq: 0 }],
    },
    409,
  ),
  bad(
    "a checkpoint as deep as 100,000",
    "/v1/checkpoints",
    `{"version":1,"runs":${long(100_000, "[")}${long(100_000, "]")}}`,
  ),
  bad("a page of steps without a capability", "/v1/checkpoints/steps?cursor=1", undefined, 401, { key: null }),
  bad("a page of steps with a key", "/v1/checkpoints/steps?cursor=1", undefined, 401),
  bad("a page of steps from nowhere", "/v1/checkpoints/steps?cursor=-1", undefined, 422),
];

const crons = [
  "",
  " ",
  "* * * *",
  "* * * * * * *",
  "60 * * * *",
  "* 24 * * *",
  "* * 32 * *",
  "* * * 13 *",
  "* * * * 8",
  "*/0 * * * *",
  "1-5/100 * * * *",
  "5-1 * * * *",
  "-1 * * * *",
  "1.5 * * * *",
  "31 2 *",
  "0 0 30 2 *",
  "0 0 31 4,6,9,11 *",
  "@never",
  "@reboot",
  "MON * * * *",
  "0 9 * * FUNDAY",
  "0 9 * * 1#6",
  "0 9 * * 1,",
  "0 9 * * ,1",
  "0 9 * * *; drop table",
  "* * * * *\u0000",
  long(201, "*"),
  `0 9 * * ${long(100_000, "1,")}1`,
];

const zones = [
  "",
  " ",
  "+05:30",
  "-00:00",
  "Mars/Base",
  "../../etc/passwd",
  "Europe/../Europe/Paris",
  "UTC\u0000",
  "Europe",
  long(1_000),
];

const schedule = (fields: object): object => ({
  name: "never",
  queue: "q",
  cron: "@daily",
  timezone: "UTC",
  ...fields,
});

const sql = ["'", "' or 1=1--", "1; drop table jobs", "id desc", "%", "\\", "x\u0001", long(10_000)];

const lists = [
  "/v1/queues",
  "/v1/queues/q/jobs",
  "/v1/dlq",
  "/v1/schedules",
  "/v1/functions",
  "/v1/runs",
  "/v1/events",
  "/v1/approvals",
  "/v1/concurrency-keys",
  "/v1/webhooks",
  "/v1/audit",
];

/** Lists whose cursor is a name: any text is a place in their order. */
const BY_NAME = new Set(["/v1/queues", "/v1/schedules", "/v1/functions", "/v1/concurrency-keys", "/v1/webhooks"]);

const queries: readonly string[] = [
  "limit=0",
  "limit=-1",
  "limit=1001",
  "limit=1e3",
  "limit=0x10",
  "limit=9999999999999999999999",
  "limit=",
  "limit=NaN",
  "limit=1&limit=2",
  "cursor=",
  "cursor=%00",
  `cursor=${long(10_000)}`,
  "order=name",
  "sort=id%20desc",
  "workspace=other",
  "workspace_id=other",
  "limit[$gt]=1",
  "__proto__[x]=1",
];

export const schedules: readonly BadInput[] = [
  ...crons.map((cron) => bad(`the cron ${JSON.stringify(cron.slice(0, 30))}`, "/v1/schedules", schedule({ cron }))),
  ...zones.map((timezone) =>
    bad(`the zone ${JSON.stringify(timezone.slice(0, 30))}`, "/v1/schedules", schedule({ timezone })),
  ),
  bad("no zone", "/v1/schedules", { name: "never", queue: "q", cron: "@daily" }),
  bad("two targets", "/v1/schedules", schedule({ function: "f" })),
  bad("a target that there is not", "/v1/schedules", schedule({ queue: "none" })),
  bad(
    "a payload as deep as 100,000",
    "/v1/schedules",
    `{"name":"never","queue":"q","cron":"@daily","timezone":"UTC","payload":${long(100_000, "[")}${long(100_000, "]")}}`,
  ),
  bad(
    "a payload twice",
    "/v1/schedules",
    '{"name":"never","queue":"q","cron":"@daily","timezone":"UTC","payload":1,"payload":2}',
  ),
  ...["", " ", "a/b", "é", "__proto__", ".a", long(129), "a\u0000"].map((name) =>
    bad(`the name ${JSON.stringify(name.slice(0, 12))}`, "/v1/schedules", schedule({ name })),
  ),
];

export const listed: readonly BadInput[] = [
  ...lists.flatMap((path) =>
    queries.map((query) => bad(`${path}?${query.slice(0, 30)}`, `${path}?${query}`, undefined)),
  ),
  ...lists
    .filter((path) => !BY_NAME.has(path))
    .flatMap((path) =>
      sql.map((text) =>
        bad(
          `${path} from ${JSON.stringify(text.slice(0, 20))}`,
          `${path}?cursor=${encodeURIComponent(text)}`,
          undefined,
        ),
      ),
    ),
  ...sql.map((text) =>
    bad(`the state ${JSON.stringify(text.slice(0, 20))}`, `/v1/runs?state=${encodeURIComponent(text)}`, undefined),
  ),
  ...["'", "yesterday", "-1", "2027-02-30T00:00:00Z", "+012027-01-01T00:00:00Z"].map((text) =>
    bad(`the audit after ${text}`, `/v1/audit?after=${encodeURIComponent(text)}`, undefined),
  ),
  bad("the audit as a page", "/v1/audit?format=html", undefined),
  bad("a wait without end", "/v1/runs/none/result?wait=1000d", undefined, 422),
  bad("a wait that is none", "/v1/runs/none/result?wait=-1s", undefined, 422),
  ...sql.map((text) =>
    bad(`the run ${JSON.stringify(text.slice(0, 20))}`, `/v1/runs/${encodeURIComponent(text)}`, undefined, 404),
  ),
  ...sql.map((text) =>
    bad(`the event ${JSON.stringify(text.slice(0, 20))}`, `/v1/events/${encodeURIComponent(text)}`, undefined, 404),
  ),
  ...["%ff", "%c0%80", "%ed%a0%80", "%00", "%", "%zz"].map((id) =>
    bad(`the run ${id}`, `/v1/runs/${id}`, undefined, [400, 404]),
  ),
  bad("a replay of everything without a filter", "/v1/dlq/replay", {}),
  bad("a purge without a word", "/v1/dlq", {}, 422, { method: "DELETE" }),
  bad("a drain without a word", "/v1/queues/q/drain", {}),
  bad("a replay by SQL", "/v1/dlq/replay", { ids: ["' or 1=1--"], queue: "q" }),
];

export const people: readonly BadInput[] = [
  bad("a key with a scope that there is not", "/v1/keys", { scopes: ["root"] }),
  bad("a key without a scope", "/v1/keys", { scopes: [] }),
  bad("a key with an escape in its name", "/v1/keys", '{"name":"a\\u001b[31m"}'),
  bad("a key that has expired", "/v1/keys", { expires_in: "-1s" }),
  bad("a key of another workspace", "/v1/keys", { workspace: "other" }),
  bad("a workspace with a path in its name", "/v1/workspaces", { id: "../default" }),
  bad("a workspace of 41 letters", "/v1/workspaces", { id: long(41, "a") }),
  bad("a workspace that is there", "/v1/workspaces", { id: "other" }, 409),
  bad("an approval of nothing", "/v1/approvals/none/approve", {}, 404),
  bad("an approval by SQL", "/v1/approvals/'%20or%201=1--/approve", {}, 404),
  ...(
    [
      ["nothing", ""],
      ["a number", 7],
      ["a name and a password", "admin:admin"],
      ["NUL", `rt_ws_default_${long(42)}\u0000`],
      ["letters of everywhere", "ключ-😀-مفتاح"],
      ["a very long password", long(100_000)],
      ["SQL", "' or '1'='1"],
      ["a key that nobody made", `rt_ws_default_${long(43)}`],
    ] as const
  ).map(([name, key]) =>
    bad(`a login with ${name}`, "/v1/session", { key }, [401, 422], {
      key: null,
      headers: { "x-rotor-csrf": "1", "sec-fetch-site": "same-origin" },
    }),
  ),
  bad("a login from another page", "/v1/session", { key: "x" }, 403, {
    key: null,
    headers: { origin: "https://evil.example", "sec-fetch-site": "cross-site" },
  }),
];
