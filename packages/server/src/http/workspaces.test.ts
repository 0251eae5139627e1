/** Workspaces come and go: made with keys of their own, deleted with all that is in them and nothing of others. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../testing-kit/server.js";
import type { Send } from "./testing-kit/api.js";
import { CALLBACK, type ClientApi, clientApi } from "./testing-kit/client.js";

let kit: ClientApi;
beforeAll(async () => {
  kit = await clientApi();
});
afterAll(() => kit.api.close());

/** A workspace with something of everything, and a sender with its first key. */
async function filled(id: string): Promise<Send> {
  const made = await kit.rotor.workspaces.create(id);
  const as: Send = (method, path, body) =>
    kit.api.anonymous(method, path, body, { authorization: `Bearer ${made.key}` });
  await as("PUT", "/v1/secrets/TOKEN", { value: "a-secret-value" });
  await as("PUT", "/v1/queues/q", { callback_url: CALLBACK });
  await as("POST", "/v1/keys/rotate-signing", { queue: "q" });
  await as("POST", "/v1/schedules", { name: "s", queue: "q", cron: "@daily", timezone: "UTC" });
  await as("POST", "/v1/webhooks", { name: "w", url: CALLBACK });
  await as("POST", "/v1/functions", { id: "plain", serve_url: "http://127.0.0.1:9999/api/rotor" });
  await as("POST", "/v1/functions/plain/runs", { data: 1 });
  await as("POST", "/v1/events", { name: "something", data: 1 });
  await as("POST", "/v1/queues/q/jobs", { payload: 1, concurrency_key: "k" });
  return as;
}

/** Rows by table, of those tables that have any. */
async function counts(): Promise<Record<string, number>> {
  const { db, schema } = kit.api.database;
  const tables = await db.script(
    `select table_name as name from information_schema.tables where table_schema = '${schema}' order by 1`,
  );
  const rows = await Promise.all(
    tables.rows.map(async ({ name }) => [
      name,
      (await db.script(`select count(*)::int as count from rotor.${name}`)).rows[0].count,
    ]),
  );
  return Object.fromEntries(rows);
}

let shiftedMs = 0;

/** Deletes until it is gone; a key that was trusted a moment ago is waited for. */
async function deleted(id: string): Promise<number> {
  const first = await kit.send("DELETE", `/v1/workspaces/${id}?cancel=true`);
  expect(first.status).toBe(202);
  shiftedMs += 60_000;
  await kit.api.database.shiftClock(shiftedMs);
  return (await kit.send("DELETE", `/v1/workspaces/${id}?cancel=true`)).status;
}

test("a new one has a key that administers it and a signing key, both shown once", async () => {
  const made = await kit.rotor.workspaces.create("fresh", { name: "Fresh" });
  expect(made).toMatchObject({ id: "fresh", key: expect.stringMatching(/^rt_ws_fresh_/) });
  expect(await kit.api.engine.keyring.signing("fresh")).toEqual([made.signingKey]);
  await expect(kit.rotor.workspaces.create("fresh")).rejects.toMatchObject({ status: 409 });
  expect(JSON.stringify((await kit.rotor.workspaces.list().page()).data)).not.toContain("whsec_");
});

test("it is not deleted while something in it is unfinished, unless that is said; then nothing of it is left", async () => {
  await kit.rotor.queues.put("mine", {});
  await kit.rotor.jobs.enqueue("mine", { payload: 1 });
  const before = await counts();
  const as = await filled("leaving");
  const refused = await kit.send("DELETE", "/v1/workspaces/leaving");
  expect([refused.status, refused.json.error.message]).toEqual([
    409,
    expect.stringMatching(/unfinished work: .*cancel=true/),
  ]);
  expect((await as("GET", "/v1/queues/q")).status).toBe(200);

  expect(await deleted("leaving")).toBe(204);
  expect((await as("GET", "/v1/queues/q")).status).toBe(401);
  const after = await counts();
  // What was done to workspaces is the audit of whoever did it; sweeps begin with a queue and end by themselves.
  for (const table of ["audit_events", "sweeps"]) {
    delete before[table];
    delete after[table];
  }
  expect(after).toEqual(before);
  expect((await kit.send("DELETE", "/v1/workspaces/leaving")).status).toBe(404);
});

test("the first one stays; the name of another that was deleted is free again", async () => {
  expect((await kit.send("DELETE", "/v1/workspaces/default")).status).toBe(409);
  expect((await kit.send("DELETE", "/v1/workspaces/nobody")).status).toBe(404);
  await filled("again");
  const deletion = kit.rotor.workspaces.delete("again", { cancelUnfinished: true });
  const { db } = kit.api.database;
  await eventually("its keys to end", async () => {
    const open = "select 1 from rotor.api_keys where workspace_id = 'again' and revoked_at is null";
    return (await db.script(open)).rows.length === 0;
  });
  shiftedMs += 60_000;
  await kit.api.database.shiftClock(shiftedMs);
  await deletion;
  const as = await filled("again");
  expect((await as("GET", "/v1/queues/q")).json).toMatchObject({ name: "q", has_secret: true });
});
