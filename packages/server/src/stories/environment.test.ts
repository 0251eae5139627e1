/** A copy of a database in another environment calls nobody until somebody says so. */
import { Rotor as Client } from "@rotorsh/sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import { adopt } from "../admin.js";
import { type Config, readConfig } from "../config.js";
import { type Rotor, startRotor } from "../main.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { eventually } from "../testing-kit/server.js";
import { countingEndpoint, type Endpoint } from "./testing-kit/endpoint.js";

let database: TestDatabase;
let endpoint: Endpoint;
let copy: Rotor | undefined;
let rotor: Client;

const key = `rt_ws_default_${Buffer.alloc(32, 9).toString("base64url")}`;

const configOf = (environment: string): Config =>
  readConfig(
    {
      DATABASE_URL: database.url,
      ROTOR_SCHEMA: database.schema,
      ROTOR_ENCRYPTION_KEYS: Buffer.alloc(32, 7).toString("base64"),
      ROTOR_BOOTSTRAP_KEY: key,
      ROTOR_ALLOW_PRIVATE_URLS: "loopback",
      ROTOR_LOG_LEVEL: "fatal",
      ROTOR_ENVIRONMENT: environment,
    },
    { mode: "start", port: 0 },
  );

/** A production with all kinds of work ahead of it, none of it done; then its copy, started as staging. */
beforeEach(async () => {
  database = await testDatabase();
  endpoint = await countingEndpoint();
  const production = await startRotor(configOf("production"));
  rotor = new Client({ baseUrl: production.url, apiKey: key });
  await rotor.queues.create("mail", { callbackUrl: endpoint.url });
  await rotor.queues.pause("mail");
  await rotor.jobs.enqueueBatch("mail", [{ payload: 1 }, { payload: 2 }]);
  await rotor.jobs.enqueue("mail", { payload: "later", delay: "1h" });
  await rotor.schedules.create("hourly", { queue: "mail", cron: "0 * * * *", timezone: "UTC", payload: "tick" });
  await production.stop();
  await database.db.script(`update rotor.queues set paused_at = null`);
  await database.db.script(
    `insert into rotor.inbox (kind, target, payload) values ('job', 'mail', '"from the inbox"')`,
  );

  copy = await startRotor(configOf("staging"));
  rotor = new Client({ baseUrl: copy.url, apiKey: key });
});
afterEach(async () => {
  await copy?.stop();
  await endpoint.close();
  await database.close();
});

const count = async (what: string): Promise<number> =>
  (await database.db.script(`select count(*)::int as count from ${what}`)).rows[0].count;

/** The server has looked around several times: its lease, which it renews once a second, has moved on. */
const looksAround = async (): Promise<void> => {
  const lease = async (): Promise<number> =>
    (await database.db.script("select extract(epoch from max(lease_until))::float8 as until from rotor.nodes")).rows[0]
      .until;
  const first = await lease();
  await eventually("two renewals", async () => (await lease()) > first + 1.9);
};

test("it takes calls and delivers nothing; once it is released, without a restart, it delivers all", async () => {
  expect(copy).toMatchObject({ held: true, environment: "production" });
  const ready = await (await fetch(`${copy!.url}/readyz`)).json();
  expect(ready).toMatchObject({ status: "ready", held: true });
  const { id } = await rotor.jobs.enqueue("mail", { payload: "asked of the copy" });
  await database.shiftClock(2 * 3_600_000);
  await looksAround();
  expect(endpoint.calls).toEqual([]);
  expect(await rotor.jobs.get("mail", id)).toMatchObject({ state: "waiting", attempt: 0 });
  expect(await count("rotor.jobs where state = 'waiting'")).toBe(4);
  expect([await count("rotor.inbox"), await count("rotor.deliveries")]).toEqual([1, 0]);

  expect(await adopt(configOf("staging"), "release")).toBe(0);
  await eventually("all of it", () => endpoint.calls.length >= 6);
  expect(endpoint.calls.toSorted()).toEqual(
    ["1", "2", '"asked of the copy"', '"from the inbox"', '"later"', '"tick"'].toSorted(),
  );
  expect(await (await fetch(`${copy!.url}/readyz`)).json()).toMatchObject({ held: false, environment: "staging" });
});

test("of what is cancelled in it nothing is delivered, and what comes after is", async () => {
  expect(await adopt(configOf("staging"), "cancel-all")).toBe(3);
  await rotor.jobs.enqueue("mail", { payload: "new" });
  await eventually("the new job", () => endpoint.calls.length > 0);
  expect(endpoint.calls).toEqual(['"new"']);
  expect(await count("rotor.jobs where state = 'cancelled'")).toBe(3);
  expect(await count("rotor.inbox")).toBe(0);
  const { data } = await rotor.audit.list({ action: "environment.cancel-all" }).page();
  expect(data).toMatchObject([{ actor: "operator", subject: "staging" }]);
});

test("its own environment never holds a server", async () => {
  await copy!.stop();
  copy = await startRotor(configOf("production"));
  expect(copy.held).toBe(false);
  await eventually("two jobs and the inbox", () => endpoint.calls.length >= 3);
});
