/** Another workspace's things are not there, on whatever route and by whatever name they are asked for. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import type { Send } from "./testing-kit/api.js";
import { CALLBACK, type ClientApi, clientApi, tokenOf } from "./testing-kit/client.js";

let kit: ClientApi;
let other: Send;
type Operation = { method: string; path: string };
let operations: Operation[];
/** Ids of things of the workspace `default`, by the parameter that takes them. */
let ids: Record<string, string[]>;

beforeAll(async () => {
  kit = await clientApi();
  const { api, rotor, send } = kit;
  other = await api.as("other");
  const document: { paths: Record<string, object> } = (await api.anonymous("GET", "/doc")).json;
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
  );
  await rotor.queues.put("mine", { callbackUrl: CALLBACK });
  await rotor.schedules.create("tick", { queue: "mine", cron: "@daily", timezone: "UTC" });
  const job = await rotor.jobs.enqueue("mine", { jobId: "my-job" });
  await rotor.queues.put("asked", { approvalRequired: true });
  const asked = await rotor.jobs.enqueue("asked");
  const { runId } = await rotor.runs.start("plain", null, { id: "my-run" });
  const [claimed] = await kit.claimed("function", "plain");
  const report = { kind: "signal", key: "w", signal: "my-signal", timeout_ms: 60_000 };
  await api.anonymous("POST", "/v1/checkpoints", {
    version: 1,
    runs: [{ token: tokenOf(claimed!), reports: [report], known_seq: 0 }],
  });
  await rotor.webhooks.create("ear", { url: CALLBACK });
  await rotor.send({ name: "something", id: "my-event" });
  const key = await rotor.keys.create();
  const eventId = (await send("GET", "/v1/events")).json.data[0].id;
  ids = {
    name: ["mine", "tick", "asked", "ear", "rotor/webhook/ear"],
    id: [job.id, "my-job", asked.id, runId, "my-run", "plain", "outreach", "my-signal", "my-event", eventId, key.id],
  };
});
afterAll(async () => {
  expect(kit.api.logged).toEqual([]);
  await kit.api.close();
});

/** A path with each of the ids. */
function* paths(path: string): Generator<string> {
  const [parameter] = /\{(\w+)\}/.exec(path)?.slice(1) ?? [];
  if (parameter === undefined) yield path;
  else for (const id of ids[parameter]!) yield* paths(path.replace(`{${parameter}}`, encodeURIComponent(id)));
}

/** Bodies that each route takes as they are. */
const bodies: Readonly<Record<string, unknown>> = {
  "POST /v1/queues/{name}/jobs": { payload: 1 },
  "POST /v1/queues/{name}/jobs/batch": { jobs: [{ payload: 1 }] },
};

const everything = async (): Promise<string> => {
  const tables = [
    "queues",
    "jobs",
    "payloads",
    "steps",
    "events",
    "schedules",
    "api_keys",
    "triggers",
    "deliveries",
    "webhooks",
    "signing_keys",
    "approvals",
  ];
  const rows = await Promise.all(
    tables.map((table) => kit.api.database.db.script(`select * from rotor.${table} order by 1, 2`)),
  );
  return JSON.stringify(rows.map((result) => result.rows));
};

test("what is one workspace's is 404 for another on every route that takes an id, and stays as it is", async () => {
  const before = await everything();
  const asked = operations.filter(({ method, path }) => path.includes("{") && !(method === "PUT"));
  expect(asked.length).toBeGreaterThan(35);
  for (const { method, path } of asked) {
    const body = method === "GET" || method === "DELETE" ? undefined : (bodies[`${method} ${path}`] ?? {});
    for (const each of paths(path)) {
      const { status, json } = await other(method, each, body);
      expect([method, each, status, json?.error.code]).toEqual([method, each, 404, "not_found"]);
    }
  }
  expect(await everything()).toBe(before);
});

test("what is one workspace's is in no list of another", async () => {
  for (const { method, path } of operations.filter((each) => each.method === "GET" && !each.path.includes("{"))) {
    if (
      !path.startsWith("/v1/") ||
      ["/v1/stream", "/v1/keys", "/v1/workspaces", "/v1/checkpoints/steps"].includes(path)
    )
      continue;
    expect([path, (await other(method, path)).json.data]).toEqual([path, []]);
  }
  expect((await other("GET", "/v1/keys")).json.data).toHaveLength(1);
});

test("an unknown thing and another workspace's are the same but for the id", async () => {
  const [job] = ids.id!;
  const answer = async (id: string) => (await other("GET", `/v1/runs/${id}`)).text.replaceAll(id, "ID");
  expect(await answer(job!)).toBe(await answer(newId()));
});

test("the same names in two workspaces are two things", async () => {
  await other("PUT", "/v1/queues/mine", { concurrency: 1 });
  expect((await other("POST", "/v1/queues/mine/jobs", { payload: 2, job_id: "my-job" })).json.duplicate).toBe(false);
  expect((await kit.rotor.jobs.get("mine", "my-job")).payload).toBeNull();
  expect((await other("POST", "/v1/events", { name: "something", id: "my-event" })).json.duplicate).toBe(false);
  await other("DELETE", "/v1/queues/mine/jobs/my-job");
  await other("DELETE", "/v1/queues/mine");
});
