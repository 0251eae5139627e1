import { expect, test } from "vitest";
import { Rotor } from "../client.js";
import { startScriptedApi } from "../testing-kit/scripted-api.js";

test("every call has the route that the API documents", async () => {
  const api = await startScriptedApi();
  const rotor = new Rotor({ baseUrl: api.baseUrl });
  api.replies = [{ json: { data: [], jobs: [], events: [{ id: "e", runs: [] }], run_id: "r", state: "completed" } }];
  const schedule = { queue: "q", cron: "@daily", timezone: "UTC" } as const;
  await rotor.queues.create("q", { callbackUrl: "http://x/", concurrency: 2 });
  await rotor.queues.put("q");
  await rotor.queues.update("q", { timeout: "5s" });
  await rotor.queues.get("a/b c");
  await rotor.queues.list({ limit: 5 }).page();
  await rotor.queues.delete("q");
  await rotor.queues.pause("q");
  await rotor.queues.resume("q");
  await rotor.queues.drain("q", { confirm: true });
  await rotor.jobs.enqueueBatch("q", [{ payload: 1 }, {}]);
  await rotor.jobs.get("q", "j");
  await rotor.jobs.list("q", { state: "failed", tag: "t" }).page("c1");
  await rotor.jobs.find("j");
  await rotor.jobs.listAll({ queue: "q", error: "503", createdAfter: new Date(0), brief: true, limit: 5 }).page();
  await rotor.jobs.update("q", "j", { delay: "1h", concurrencyKey: null });
  await rotor.jobs.why("j");
  await rotor.jobs.cancel("q", "j");
  await rotor.jobs.retry("q", "j");
  await rotor.concurrencyKeys.list().page();
  await rotor.concurrencyKeys.get("a/b");
  await rotor.concurrencyKeys.set("k", { limit: 2 });
  await rotor.dlq.list({ queue: "q", after: new Date(0) }).page();
  await rotor.dlq.replay({ filter: { queue: "q" }, dryRun: true });
  await rotor.dlq.purge({ filter: { queue: "q" } });
  await rotor.schedules.create("s", schedule);
  await rotor.schedules.put("s", schedule);
  await rotor.schedules.update("s", { overlap: "skip", catchUp: "none" });
  await rotor.schedules.get("s");
  await rotor.schedules.list().page();
  await rotor.schedules.delete("s");
  await rotor.schedules.run("s");
  await rotor.schedules.pause("s");
  await rotor.schedules.resume("s");
  await rotor.functions.sync({ url: "http://app/api/rotor", move: true });
  await rotor.functions.check("http://app/api/rotor", { function: "f", limit: 5 });
  await rotor.functions.list().page();
  await rotor.functions.get("f");
  await rotor.functions.pause("f");
  await rotor.functions.resume("f");
  await rotor.functions.delete("f");
  await rotor.runs.start("f", { a: 1 }, { id: "r", delay: "1h" });
  await rotor.runs.get("r");
  await rotor.runs.list({ function: "f", state: "sleeping" }).page();
  await rotor.runs.result("r", { timeout: "1h" });
  await rotor.runs.cancel("r", { children: true });
  await rotor.runs.cancelAll({ filter: { function: "f", createdAfter: new Date(0) } });
  await rotor.runs.replayAll({ ids: ["r"], dryRun: true });
  await rotor.runs.replay("r", { fromStep: "s" });
  await rotor.runs.retry("r");
  await rotor.runs.skip("r", "s");
  await rotor.runs.resume("r");
  await rotor.events.list({ name: "n" }).page();
  await rotor.events.get("e");
  await rotor.send({ name: "n", data: 1 });
  await rotor.signals.complete("run/step", { ok: true });
  await rotor.signals.complete("early", 1, { bufferFor: "1h" });
  await rotor.signals.url("run/step", { expires: "7d", data: { ok: true } });
  await rotor.approvals.list({ status: "pending" }).page();
  await rotor.approvals.approve("a", { reason: "fine" });
  await rotor.approvals.reject("a");
  await rotor.webhooks.create("w", { url: "http://x/", types: ["job.failed"] });
  await rotor.webhooks.put("w", { headers: { "X-A": "1" } });
  await rotor.webhooks.update("w", { types: ["*"] });
  await rotor.webhooks.get("w");
  await rotor.webhooks.list().page();
  await rotor.webhooks.test("w");
  await rotor.webhooks.rotate("w", { overlap: "1h" });
  await rotor.webhooks.deliveries("w", { type: "webhook.test" }).page();
  await rotor.webhooks.delete("w");
  await rotor.secrets.set("TOKEN", "a-secret-value");
  await rotor.secrets.list().page();
  await rotor.secrets.delete("TOKEN");
  await rotor.keys.create({ expiresIn: "90d" });
  await rotor.keys.list().page();
  await rotor.keys.rotate("k", { overlap: "1h" });
  await rotor.keys.rotateSigning({ queue: "q" });
  await rotor.keys.revoke("k");
  await rotor.workspaces.create("w", { name: "W" });
  await rotor.workspaces.list().page();
  await rotor.audit.list({ action: "queue.update", after: new Date(0) }).page();
  await rotor.stats({ window: "6h" });
  await rotor.find("a b");
  await rotor.apps.list().page();
  api.close();
  expect(api.lines()).toEqual([
    "POST /v1/queues",
    "PUT /v1/queues/q",
    "PATCH /v1/queues/q",
    "GET /v1/queues/a%2Fb%20c",
    "GET /v1/queues?limit=5",
    "DELETE /v1/queues/q",
    "POST /v1/queues/q/pause",
    "POST /v1/queues/q/resume",
    "POST /v1/queues/q/drain",
    "POST /v1/queues/q/jobs/batch",
    "GET /v1/queues/q/jobs/j",
    "GET /v1/queues/q/jobs?state=failed&tag=t&cursor=c1",
    "GET /v1/jobs/j",
    "GET /v1/jobs?created_after=1970-01-01T00%3A00%3A00.000Z&brief=true&queue=q&error=503&limit=5",
    "PATCH /v1/queues/q/jobs/j",
    "GET /v1/jobs/j/why",
    "DELETE /v1/queues/q/jobs/j",
    "POST /v1/queues/q/jobs/j/retry",
    "GET /v1/concurrency-keys",
    "GET /v1/concurrency-keys/a%2Fb",
    "PUT /v1/concurrency-keys/k",
    "GET /v1/dlq?queue=q&after=1970-01-01T00%3A00%3A00.000Z",
    "POST /v1/dlq/replay",
    "DELETE /v1/dlq",
    "POST /v1/schedules",
    "PUT /v1/schedules/s",
    "PATCH /v1/schedules/s",
    "GET /v1/schedules/s",
    "GET /v1/schedules",
    "DELETE /v1/schedules/s",
    "POST /v1/schedules/s/run",
    "POST /v1/schedules/s/pause",
    "POST /v1/schedules/s/resume",
    "POST /v1/functions/sync",
    "POST /v1/functions/check",
    "GET /v1/functions",
    "GET /v1/functions/f",
    "POST /v1/functions/f/pause",
    "POST /v1/functions/f/resume",
    "DELETE /v1/functions/f",
    "POST /v1/functions/f/runs",
    "GET /v1/runs/r",
    "GET /v1/runs?function=f&state=sleeping",
    "GET /v1/runs/r/result?wait=30s",
    "POST /v1/runs/r/cancel",
    "POST /v1/runs/cancel",
    "POST /v1/runs/replay",
    "POST /v1/runs/r/replay",
    "POST /v1/runs/r/retry",
    "POST /v1/runs/r/skip",
    "POST /v1/runs/r/resume",
    "GET /v1/events?name=n",
    "GET /v1/events/e",
    "POST /v1/events",
    "POST /v1/signals/run%2Fstep/complete",
    "POST /v1/signals/early/complete",
    "POST /v1/signals/run%2Fstep/links",
    "GET /v1/approvals?status=pending",
    "POST /v1/approvals/a/approve",
    "POST /v1/approvals/a/reject",
    "POST /v1/webhooks",
    "PUT /v1/webhooks/w",
    "PATCH /v1/webhooks/w",
    "GET /v1/webhooks/w",
    "GET /v1/webhooks",
    "POST /v1/webhooks/w/test",
    "POST /v1/webhooks/w/rotate",
    "GET /v1/webhooks/w/deliveries?type=webhook.test",
    "DELETE /v1/webhooks/w",
    "PUT /v1/secrets/TOKEN",
    "GET /v1/secrets",
    "DELETE /v1/secrets/TOKEN",
    "POST /v1/keys",
    "GET /v1/keys",
    "POST /v1/keys/k/rotate",
    "POST /v1/keys/rotate-signing",
    "DELETE /v1/keys/k",
    "POST /v1/workspaces",
    "GET /v1/workspaces",
    "GET /v1/audit?action=queue.update&after=1970-01-01T00%3A00%3A00.000Z",
    "GET /v1/stats?window=6h",
    "GET /v1/find?q=a+b",
    "GET /v1/apps",
  ]);
  const bodies = new Map(api.seen.map(({ method, url, body }) => [`${method} ${url}`, body]));
  expect(bodies.get("POST /v1/queues")).toEqual({ name: "q", callback_url: "http://x/", concurrency: 2 });
  expect(bodies.get("POST /v1/functions/f/runs")).toEqual({ id: "r", data: { a: 1 }, delay: "1h" });
  expect(bodies.get("POST /v1/signals/run%2Fstep/complete")).toEqual({ data: { ok: true } });
  expect(bodies.get("POST /v1/dlq/replay")).toEqual({ filter: { queue: "q" }, dry_run: true });
  expect(bodies.get("PUT /v1/secrets/TOKEN")).toEqual({ value: "a-secret-value" });
  expect(bodies.get("POST /v1/workspaces")).toEqual({ id: "w", name: "W" });
  expect(bodies.get("PATCH /v1/queues/q/jobs/j")).toEqual({ delay: "1h", concurrency_key: null });
  expect(bodies.get("PUT /v1/concurrency-keys/k")).toEqual({ limit: 2 });
  expect(bodies.get("POST /v1/runs/r/cancel")).toEqual({ children: true });
  expect(bodies.get("POST /v1/runs/cancel")).toEqual({
    filter: { function: "f", created_after: "1970-01-01T00:00:00.000Z" },
  });
  expect(bodies.get("POST /v1/functions/check")).toEqual({ url: "http://app/api/rotor", function: "f", limit: 5 });
  expect(bodies.get("POST /v1/runs/r/replay")).toEqual({ from_step: "s" });
});
