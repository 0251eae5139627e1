/**
 * What a server does all the time reads no table from end to end, although its tables were empty when its statements were
 * planned. Postgres itself counts that, of everything that a server at work sends.
 */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sql } from "../store/db.js";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { type TestServer, testServer } from "../testing-kit/server.js";
import { countingEndpoint } from "./testing-kit/endpoint.js";

let server: TestServer;

beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const scans = sql(
  "plans.scans",
  `select relname as name, seq_scan::int as scans from pg_stat_user_tables
    where schemaname = $1 and relname in ('jobs', 'payloads', 'deliveries', 'steps', 'events', 'watches', 'batched') order by relname`,
);
const flush = sql("plans.flush", "select pg_stat_force_next_flush()");

/** Scans begun of the tables that grow, as the backends have told by now: each tells within a second of its last statement. */
async function readScans(): Promise<Record<string, number>> {
  await server.db.query(flush);
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  const rows = await server.db.query<{ name: string; scans: number }>(scans, [server.schema]);
  return Object.fromEntries(rows.map((row) => [row.name, row.scans]));
}

test("jobs, steps, waits, events and sweeps read by indexes", async () => {
  const { rotor } = server;
  const endpoint = await countingEndpoint();
  const each = createFunction({ id: "each", trigger: { event: "begin" } }, async ({ event, step }) => {
    await step.run("first", () => 1);
    await step.waitForEvent("wait", { event: "go", match: { n: event.data.n }, timeout: "1h" });
    await step.invoke("child", { workflow: "child", timeout: "1h" });
    await step.sleep("nap", "10ms");
  });
  const child = createFunction({ id: "child" }, async ({ step }) => step.run("only", () => "done"));
  await faultyApp(server, "plans", [each, child]);
  await rotor.queues.create("jobs", { callbackUrl: endpoint.url });
  const work = async (from: number, count: number): Promise<void> => {
    const numbers = Array.from({ length: count }, (_, n) => from + n);
    const sent = await Promise.all(numbers.map((n) => rotor.send({ name: "begin", data: { n } })));
    await Promise.all(numbers.map((n) => rotor.jobs.enqueue("jobs", { payload: { n } })));
    await Promise.all(numbers.map((n) => rotor.send({ name: "go", data: { n } })));
    await Promise.all(sent.map((one) => rotor.runs.result(one.runs[0]!, { timeout: "60s" })));
  };
  // What is prepared once, such as the invariants and what a start looks for, has been by then.
  await work(0, 5);
  const before = await readScans();
  await work(5, 60);
  expect(await readScans()).toEqual(before);
  await endpoint.close();
});
