/**
 * How `tenancy.test.ts` asks each route for things of another workspace. Path parameters need no word: each is given
 * every name and id that there is of the other's. What does is bodies that a route takes, and where names stand in them.
 */

/** What is the other workspace's, by the kind of thing. The first of each is unfinished, where that makes a difference. */
export type Foreign = {
  readonly queues: readonly string[];
  readonly jobs: readonly string[];
  readonly failed: readonly string[];
  readonly schedules: readonly string[];
  readonly functions: readonly string[];
  readonly runs: readonly string[];
  readonly events: readonly string[];
  readonly eventNames: readonly string[];
  readonly signals: readonly string[];
  readonly keys: readonly string[];
  readonly concurrencyKeys: readonly string[];
  readonly secrets: readonly string[];
  readonly webhooks: readonly string[];
  readonly tags: readonly string[];
  readonly workspaces: readonly string[];
};

export type Way = {
  /** Bodies that the route would take from the workspace itself. Default: `{}`, or none for GET and DELETE. */
  readonly bodies?: (foreign: Foreign) => readonly unknown[];
  /** Query strings, with their `?`. Default: one that is empty. */
  readonly queries?: (foreign: Foreign) => readonly string[];
  /**
   * What is answered. Default where the path has a parameter: `404`. `own`: the name is taken for one of the caller's
   * own workspace, with whatever comes of that. `nothing`: an empty list, or a count of nothing.
   */
  readonly answer?: 404 | 422 | "own" | "nothing";
};

/** Words in queries and bodies that name no thing. Whoever adds another says here, or in a way, which it is. */
export const PLAIN: ReadonlySet<string> = new Set(
  `limit cursor state status after before format wait error cancel token action subject name id confirm dry_run rate
   include_rejected reason overlap scopes expires_in limit value types headers url data output retriable retry_after
   payload delay run_at priority max_attempts retries timeout on_duplicate key_order concurrency retry async_timeout
   approval_required approval_timeout standard_webhooks strict_concurrency rate_limit breaker retention cron timezone
    catch_up trigger_type trigger_cron move from_step input version type children created_after created_before brief window step
    secret callback_url buffer_for expires`.split(/\s+/),
);

const CRON = { cron: "@daily", timezone: "UTC" };
const HOOK = { url: "http://127.0.0.1:9999/hook" };
const queriesOf =
  (name: string, values: (foreign: Foreign) => readonly string[]) =>
  (foreign: Foreign): string[] =>
    values(foreign).map((value) => (value === "" ? "" : `?${name}=${encodeURIComponent(value)}`));
const bulkOfRuns = ({ runs, failed, functions, tags, eventNames }: Foreign) => [
  { ids: [...runs.slice(0, 1), ...failed] },
  { filter: {}, confirm: true },
  { filter: { function: functions[0] } },
  { filter: { tag: tags[0], event: eventNames[0] } },
];
const template = (secret: string): string => `\${{ secrets.${secret} }}`;

/** One line a route. A route without one fails the test, which says so. */
export const ways: Readonly<Record<string, Way>> = {
  "GET /v1/queues": { answer: "own" },
  "POST /v1/queues": {
    bodies: ({ secrets }) =>
      secrets.flatMap((name) => [
        { name: "q", headers: { "x-a": template(name) } },
        { name: "q", callback_url: `http://127.0.0.1/${template(name)}` },
      ]),
    answer: 422,
  },
  "GET /v1/queues/{name}": {},
  "PUT /v1/queues/{name}": { bodies: () => [{ concurrency: 1, callback_url: null, secret: null }], answer: "own" },
  "PATCH /v1/queues/{name}": { bodies: () => [{ concurrency: 1 }] },
  "DELETE /v1/queues/{name}": {},
  "POST /v1/queues/{name}/drain": { bodies: () => [{ confirm: true }] },
  "POST /v1/queues/{name}/pause": {},
  "POST /v1/queues/{name}/resume": {},
  "POST /v1/queues/{name}/jobs": {
    bodies: ({ jobs, concurrencyKeys, tags }) => [
      { payload: 1, job_id: jobs[1], concurrency_key: concurrencyKeys[0], tags, on_duplicate: "replace" },
    ],
  },
  "GET /v1/queues/{name}/jobs": { queries: queriesOf("tag", ({ tags }) => tags) },
  "POST /v1/queues/{name}/jobs/batch": {
    bodies: ({ jobs }) => [{ jobs: [{ payload: 1, job_id: jobs[1], on_duplicate: "replace" }] }],
  },
  "GET /v1/queues/{name}/jobs/{id}": {},
  "DELETE /v1/queues/{name}/jobs/{id}": {},
  "PATCH /v1/queues/{name}/jobs/{id}": {
    bodies: ({ concurrencyKeys, tags }) => [{ payload: 2, concurrency_key: concurrencyKeys[0], tags }],
  },
  "POST /v1/queues/{name}/jobs/{id}/retry": {},
  "GET /v1/jobs": {
    queries: (foreign) => [
      "",
      "?state=waiting",
      "?state=active",
      "?state=failed",
      "?state=pending_approval",
      "?state=key_blocked",
      ...queriesOf("queue", ({ queues }) => queues)(foreign),
      ...queriesOf("tag", ({ tags }) => tags)(foreign),
    ],
    answer: "nothing",
  },
  "GET /v1/jobs/{id}": {},
  "GET /v1/jobs/{id}/why": {},
  "GET /v1/concurrency-keys": { answer: "nothing" },
  "GET /v1/concurrency-keys/{key}": {},
  "PUT /v1/concurrency-keys/{key}": { bodies: () => [{ limit: 7 }], answer: "own" },
  "GET /v1/dlq": {
    queries: (foreign) => [
      "",
      ...queriesOf("queue", ({ queues }) => queues)(foreign),
      ...queriesOf("tag", ({ tags }) => tags)(foreign),
    ],
    answer: "nothing",
  },
  "POST /v1/dlq/replay": {
    bodies: ({ failed, queues, tags }) => [
      { ids: failed },
      { queue: queues[0] },
      { filter: { queue: queues[0], tag: tags[0] } },
    ],
    answer: "nothing",
  },
  "DELETE /v1/dlq": {
    bodies: ({ failed, queues }) => [
      { ids: failed, confirm: true },
      { queue: queues[0], confirm: true },
      { filter: { queue: queues[0] }, confirm: true },
    ],
    answer: "nothing",
  },
  "GET /v1/schedules": { answer: "nothing" },
  "POST /v1/schedules": {
    bodies: ({ queues, functions }) => [
      ...queues.map((queue) => ({ name: "s", queue, ...CRON })),
      ...functions.map((each) => ({ name: "s", function: each, ...CRON })),
    ],
    answer: 422,
  },
  "GET /v1/schedules/{name}": {},
  "PUT /v1/schedules/{name}": {
    bodies: ({ queues, functions }) => [
      { queue: queues[0], ...CRON },
      { function: functions[0], ...CRON },
    ],
    answer: 422,
  },
  "PATCH /v1/schedules/{name}": {
    bodies: ({ queues, functions }) => [{ queue: queues[0] }, { function: functions[0] }, CRON],
  },
  "DELETE /v1/schedules/{name}": {},
  "POST /v1/schedules/{name}/run": {},
  "POST /v1/schedules/{name}/pause": {},
  "POST /v1/schedules/{name}/resume": {},
  "GET /v1/functions": { answer: "nothing" },
  "POST /v1/functions": {
    bodies: ({ functions, eventNames }) =>
      functions.map((id) => ({
        id,
        serve_url: "http://127.0.0.1:9999/api/rotor",
        trigger_type: "event",
        trigger_event: eventNames[0],
      })),
    answer: "own",
  },
  "POST /v1/functions/sync": { bodies: () => [{ url: "http://127.0.0.1:9999/api/rotor", move: true }], answer: "own" },
  "POST /v1/functions/check": {
    bodies: ({ functions }) => functions.map((each) => ({ url: "http://127.0.0.1:9999/api/rotor", function: each })),
    answer: "own",
  },
  "GET /v1/apps": { answer: "nothing" },
  "GET /v1/functions/{id}": {},
  "DELETE /v1/functions/{id}": {},
  "POST /v1/functions/{id}/runs": { bodies: ({ runs, tags }) => [{ id: runs[1], data: 1, tags }] },
  "POST /v1/functions/{id}/pause": {},
  "POST /v1/functions/{id}/resume": {},
  "GET /v1/runs": {
    queries: (foreign) => [
      "",
      ...queriesOf("function", ({ functions }) => functions)(foreign),
      ...queriesOf("event", ({ eventNames }) => eventNames)(foreign),
      ...queriesOf("event_id", ({ events }) => events)(foreign),
      ...queriesOf("tag", ({ tags }) => tags)(foreign),
      "?state=waiting",
      "?state=active",
    ],
    answer: "nothing",
  },
  "GET /v1/runs/{id}": {},
  "GET /v1/runs/{id}/steps": {},
  "GET /v1/runs/{id}/result": {},
  "POST /v1/runs/{id}/cancel": { bodies: () => [{}, { children: true }] },
  "POST /v1/runs/cancel": { bodies: bulkOfRuns, answer: "nothing" },
  "POST /v1/runs/replay": { bodies: bulkOfRuns, answer: "nothing" },
  "POST /v1/runs/{id}/retry": {},
  "POST /v1/runs/{id}/resume": {},
  "POST /v1/runs/{id}/skip": { bodies: () => [{ step: "w" }] },
  "POST /v1/runs/{id}/replay": { bodies: () => [{}, { from_step: "w" }, { input: 1 }] },
  "POST /v1/events": {
    bodies: ({ events, eventNames, tags }) => [
      eventNames.map((name) => ({ name, data: 1, id: events[0], tags: tags.slice(0, 1) })),
    ],
    answer: "own",
  },
  "GET /v1/events": {
    queries: (foreign) => [
      ...queriesOf("name", ({ eventNames }) => eventNames)(foreign),
      ...queriesOf("tag", ({ tags }) => tags)(foreign),
    ],
    answer: "nothing",
  },
  "GET /v1/find": {
    queries: (foreign) => [...new Set(Object.values(foreign).flat())].map((each) => `?q=${encodeURIComponent(each)}`),
    answer: "nothing",
  },
  "GET /v1/events/{id}": {},
  "POST /v1/signals/{id}/complete": { bodies: () => [{ data: 1 }] },
  "POST /v1/signals/{id}/links": { bodies: () => [{ data: 1, expires: "1d" }], answer: "own" },
  "GET /links/{token}": {},
  "POST /links/{token}": {},
  "GET /v1/approvals": { queries: () => ["", "?status=rejected", "?status=approved"], answer: "nothing" },
  "POST /v1/approvals/{id}/approve": {},
  "POST /v1/approvals/{id}/reject": { bodies: () => [{ reason: "no" }] },
  "GET /v1/secrets": { answer: "nothing" },
  "POST /v1/secrets": { bodies: ({ secrets }) => [{ name: secrets[0], value: "of-my-own" }], answer: "own" },
  "PUT /v1/secrets/{name}": { bodies: () => [{ value: "of-my-own" }], answer: "own" },
  "DELETE /v1/secrets/{name}": {},
  "GET /v1/keys": { answer: "own" },
  "POST /v1/keys": { answer: "own" },
  "POST /v1/keys/{id}/rotate": { bodies: () => [{ overlap: "0s" }] },
  "DELETE /v1/keys/{id}": {},
  "POST /v1/keys/rotate-signing": {
    bodies: ({ queues }) => queues.map((queue) => ({ queue, overlap: "0s" })),
    answer: 404,
  },
  "GET /v1/webhooks": { answer: "nothing" },
  "POST /v1/webhooks": { bodies: ({ webhooks }) => [{ name: webhooks[0], ...HOOK }], answer: "own" },
  "GET /v1/webhooks/{name}": {},
  "PUT /v1/webhooks/{name}": { bodies: () => [{ ...HOOK, types: ["*"] }], answer: "own" },
  "PATCH /v1/webhooks/{name}": { bodies: () => [{ types: ["*"] }] },
  "DELETE /v1/webhooks/{name}": {},
  "POST /v1/webhooks/{name}/test": {},
  "POST /v1/webhooks/{name}/rotate": { bodies: () => [{ overlap: "0s" }] },
  "GET /v1/webhooks/{name}/deliveries": {},
  "GET /v1/audit": {
    queries: (foreign) => ["?limit=1000", ...queriesOf("subject", ({ queues }) => queues)(foreign)],
    answer: "own",
  },
  "GET /v1/stats": { answer: "own" },
};

/** Routes that are tested another way, or show nothing of any workspace. */
export const apart: ReadonlySet<string> = new Set([
  // They ask for a capability, not for a key: see the tests below the generated one.
  "POST /v1/jobs/{id}/complete",
  "POST /v1/jobs/{id}/fail",
  "POST /v1/jobs/{id}/heartbeat",
  "POST /v1/checkpoints",
  "GET /v1/checkpoints/steps",
  // They answer who asks, and make or end a login of a key's own workspace: see sessions.test.ts.
  "GET /v1/session",
  "POST /v1/session",
  "DELETE /v1/session",
  // Of the server.
  "GET /healthz",
  "GET /readyz",
  "GET /sdk.tgz",
  "GET /metrics",
  // Never ends; its filter has a test of its own.
  "GET /v1/stream",
]);
