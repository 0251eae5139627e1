/** Whole servers: gentle ends, held databases, ports that are taken, two nodes, two schemas, jobs that are accepted. */
import type { RequestListener } from "node:http";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Rotor as Client } from "@rotorsh/sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readConfig } from "./config.js";
import { type Rotor, startRotor } from "./main.js";
import { violations } from "./store/invariants.js";
import { writeSetting } from "./store/workspaces.js";
import { type TestDatabase, testDatabase } from "./testing-kit/database.js";
import { eventually } from "./testing-kit/server.js";

let database: TestDatabase;
const running: Rotor[] = [];
const endpoints: Server[] = [];

beforeEach(async () => {
  database = await testDatabase();
});

afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
  for (const server of endpoints.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

/** A node on this database, in the mode of `rotor dev`. */
async function node(schema = database.schema, port = 0): Promise<Rotor & { client: Client }> {
  const config = readConfig(
    {
      DATABASE_URL: database.url,
      ROTOR_SCHEMA: schema,
      ROTOR_ENCRYPTION_KEYS: Buffer.alloc(32, 7).toString("base64"),
      ROTOR_LOG_LEVEL: "fatal",
    },
    { mode: "dev", port },
  );
  const server = await startRotor(config);
  running.push(server);
  return { ...server, client: new Client({ baseUrl: server.url }) };
}

async function endpoint(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  endpoints.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const stateOf = async (client: Client, queue: string, id: string): Promise<string> =>
  (await client.jobs.get(queue, id)).state;

test("a stop lets the delivery in hand end, and leaves the rest to the next start", async () => {
  const first = await node();
  let answer: (() => void) | undefined;
  let calls = 0;
  const callbackUrl = await endpoint((_, response) => {
    if (++calls > 1) response.end();
    else answer = () => response.end();
  });
  await first.client.queues.create("gentle", { callbackUrl, concurrency: 1 });
  const one = await first.client.jobs.enqueue("gentle");
  const two = await first.client.jobs.enqueue("gentle");
  await eventually("a delivery", () => answer);
  const stopped = first.stop();
  answer!();
  await stopped;
  const second = await node();
  await eventually("both ends", async () => (await stateOf(second.client, "gentle", two.id)) === "completed");
  expect(await second.client.jobs.get("gentle", one.id)).toMatchObject({ state: "completed", attempt: 1 });
  expect(calls).toBe(2);
});

test("a port that is taken is said so, and leaves nothing behind", async () => {
  const taken = await endpoint((_, response) => response.end());
  await expect(node(database.schema, Number(new URL(taken).port))).rejects.toThrow(/^Port \d+ is taken/);
  expect((await database.db.script("select 1 from rotor.nodes")).rows).toEqual([]);
});

test("a start that fails late ends, and leaves no lease behind", async () => {
  const first = await node();
  await first.stop();
  // Nothing can be listened to, after the lease has begun.
  await database.db.script("alter table rotor.apps rename to apps_gone");
  await expect(node()).rejects.toThrow();
  await database.db.script("alter table rotor.apps_gone rename to apps");
  expect((await database.db.script("select 1 from rotor.nodes")).rows).toEqual([]);
});

test("a held database delivers nothing, and speaks to no app", async () => {
  const first = await node();
  let calls = 0;
  const callbackUrl = await endpoint((_, response) => {
    calls++;
    response.end();
  });
  await first.client.queues.create("held", { callbackUrl });
  await first.stop();
  await database.db.script(
    `insert into rotor.apps (workspace_id, name, url, hash, synced_at) values ('default', 'copied', '${callbackUrl}', '1', rotor.clock())`,
  );
  await writeSetting(database.db, "held", "true");
  const copy = await node();
  expect(copy.held).toBe(true);
  const { id } = await copy.client.jobs.enqueue("held");
  await copy.stop();
  await writeSetting(database.db, "held", "false");
  expect(calls).toBe(0);
  const released = await node();
  await eventually("its delivery", async () => (await stateOf(released.client, "held", id)) === "completed");
});

test("two schemas of one database do not notice each other", async () => {
  const strange = await testDatabase();
  const [here, there] = [await node(), await node(strange.schema)];
  const callbackUrl = await endpoint((request, response) => response.end(String(request.headers["x-rotor-queue"])));
  await here.client.queues.create("same", { callbackUrl });
  await there.client.queues.create("same", { callbackUrl: null });
  const mine = await here.client.jobs.enqueue("same", { jobId: "j" });
  const theirs = await there.client.jobs.enqueue("same", { jobId: "j" });
  await eventually("the delivery here", async () => (await stateOf(here.client, "same", mine.id)) === "completed");
  expect(await stateOf(there.client, "same", theirs.id)).not.toBe("completed");
  await expect(here.client.jobs.get("same", theirs.id)).rejects.toMatchObject({ status: 404 });
  await Promise.all(running.splice(0).map((server) => server.stop()));
  await strange.close();
});

/** An endpoint that accepts each job and tells how to report on it. */
async function acceptor(): Promise<{ url: string; completeUrls: string[] }> {
  const completeUrls: string[] = [];
  const url = await endpoint((request, response) => {
    completeUrls.push(String(request.headers["x-rotor-complete-url"]));
    response.writeHead(202, { "x-rotor-async": "true" }).end();
  });
  return { url, completeUrls };
}

const report = async (completeUrl: string, verb: string, body: unknown = {}): Promise<number> =>
  (
    await fetch(completeUrl.replace("/complete?", `/${verb}?`), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    })
  ).status;

test("a job that its queue will not deliver yet wakes nobody; resumed, it goes", async () => {
  const { client } = await node();
  await node();
  const callbackUrl = await endpoint((_, response) => response.end());
  await client.queues.create("open", { callbackUrl });
  await client.queues.create("paused", { callbackUrl });
  await client.queues.pause("paused");
  await client.queues.create("nowhere");
  let told = 0;
  const listener = await database.db.connect();
  listener.on("notification", () => told++);
  try {
    await listener.query(`listen "${database.schema}_wake"`);
    // By then the nodes know of each other.
    await eventually("a wake-up", async () => {
      // Of one that was claimed as it came nobody need be told.
      await client.jobs.enqueue("open", { delay: "1ms" });
      return told > 0;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    told = 0;
    const { id } = await client.jobs.enqueue("paused");
    await client.jobs.enqueue("nowhere");
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(told).toBe(0);
    await client.queues.resume("paused");
    await eventually("its end", async () => (await stateOf(client, "paused", id)) === "completed");
  } finally {
    await listener.end();
  }
});

test("an accepted job lives by its heartbeats, fails and is delivered again, and completes by its capability", async () => {
  const { client } = await node();
  const { url, completeUrls } = await acceptor();
  await client.queues.create("async", { callbackUrl: url, retry: { backoff: "fixed", min: "1ms", jitter: "none" } });
  const { id } = await client.jobs.enqueue("async");
  await eventually("its acceptance", async () => {
    const rows = await database.db.script(
      `select 1 from rotor.jobs where id = '${id}' and state = 'active' and node_id is null`,
    );
    return rows.rows.length === 1;
  });
  const [first] = completeUrls;
  const dueAt = async () =>
    (await database.db.script(`select due_at from rotor.jobs where id = '${id}'`)).rows[0].due_at;
  const before = await dueAt();
  expect(await report(first!, "heartbeat")).toBe(200);
  expect((await dueAt()).getTime()).toBeGreaterThan(before.getTime());
  expect(await report(first!, "fail", { error: "no" })).toBe(200);
  const second = await eventually("the second delivery", () => completeUrls[1]);
  // The first delivery is over: its capability does nothing.
  expect(await report(first!, "complete", { output: "late" })).toBe(409);
  expect(await report(first!, "heartbeat")).toBe(409);
  expect(await report(second, "complete", { output: { ok: 1 } })).toBe(200);
  expect(await client.jobs.get("async", id)).toMatchObject({ state: "completed", output: { ok: 1 }, attempt: 2 });
  expect(await report(second, "complete")).toBe(409);
});

test("an accepted job outlives its node, and another node takes the report", async () => {
  const [first, second] = [await node(), await node()];
  const { url, completeUrls } = await acceptor();
  await first.client.queues.create("async", { callbackUrl: url });
  const { id } = await first.client.jobs.enqueue("async");
  const completeUrl = await eventually("a delivery", () => completeUrls[0]);
  const [gone, left] = completeUrl.startsWith(first.url) ? [first, second] : [second, first];
  await gone.stop();
  expect(await stateOf(left.client, "async", id)).toBe("active");
  expect(await report(completeUrl.replace(gone.url, left.url), "complete", { output: 1 })).toBe(200);
  expect(await stateOf(left.client, "async", id)).toBe("completed");
  expect(completeUrls).toHaveLength(1);
});

test("a node outlives the loss of all its connections, in the middle of its work", async () => {
  const { client } = await node();
  const callbackUrl = await endpoint((_, response) => response.end());
  await client.queues.create("cut", { callbackUrl });
  const cut = () =>
    database.db.script(
      "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and application_name = 'rotor' and query like '%" +
        `${database.schema}%'`,
    );
  const acked: string[] = [];
  for (let round = 0; round < 5; round++) {
    const asked = Array.from({ length: 20 }, (_, n) => client.jobs.enqueue("cut", { jobId: `${round}-${n}` }));
    await cut();
    for (const result of await Promise.allSettled(asked))
      if (result.status === "fulfilled") acked.push(result.value.id);
  }
  expect(acked.length).toBeGreaterThan(0);
  await eventually(
    "the end of all that was acknowledged",
    async () => {
      const { rows } = await database.db.script("select 1 from rotor.jobs where state <> 'completed'");
      return rows.length === 0;
    },
    20_000,
  );
});
