/** The third door of a running server: rows that people commit beside their own are delivered soon, each once. */
import { createFunction } from "@rotorsh/sdk";
import { enqueueBatchIn, sendIn } from "@rotorsh/sdk/inbox";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readInboxRow } from "../http/inbox-row.js";
import { moveRows } from "../store/inbox.js";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { pausedDb } from "../testing-kit/mutants.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
let client: pg.Client;
beforeAll(async () => {
  server = await testServer();
  client = new pg.Client({ connectionString: server.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await server.close();
});

const run = async (text: string) => (await client.query(server.db.resolve(text))).rows;

test("a row in somebody's own transaction is delivered once it commits, and not before", async () => {
  let arrived: (body: string) => void = () => undefined;
  const delivered = new Promise<string>((resolve) => {
    arrived = resolve;
  });
  const url = await server.serve(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    arrived(body);
    response.end();
  });
  await server.rotor.queues.create("mails", { callbackUrl: url });
  await run("begin");
  await run(`insert into rotor.inbox (kind, target, id, payload, options)
             values ('job', 'mails', 'order-1', '{"n": 1.0}', '{"tags": ["eu"]}')`);
  // Its row is not there for the mover, however often it looks: a committed one beside it is moved meanwhile.
  await server.db.script("insert into rotor.inbox (kind, target, id) values ('job', 'elsewhere', 'beside')");
  await eventually("the row beside it", async () => (await server.rotor.dlq.list().page()).data.length === 1);
  expect((await server.rotor.jobs.list("mails").page()).data).toEqual([]);
  await run("commit");
  expect(await delivered).toBe('{"n": 1.0}');
  expect(await server.rotor.jobs.get("mails", "order-1")).toMatchObject({ jobId: "order-1", tags: ["eu"] });
});

test("a bad row is found among the dead letters, with its reason and everything that it said", async () => {
  await run(`insert into rotor.inbox (kind, target, id, payload) values ('job', 'mials', 'order-2', '{"n": 2}')`);
  const letter = await eventually("the dead letter", async () => {
    const { data } = await server.rotor.dlq.list({ error: "mials" }).page();
    return data[0];
  });
  expect(letter).toMatchObject({
    queue: "rotor/inbox",
    state: "failed",
    jobId: null,
    payload: { workspace_id: "default", kind: "job", target: "mials", id: "order-2", payload: { n: 2 }, options: {} },
    error: { name: "InboxError", message: expect.stringMatching(/\(id "order-2"\): there is no queue "mials"$/) },
  });
});

test("an event in somebody's own transaction starts its runs", async () => {
  const seen: unknown[] = [];
  const fn = createFunction({ id: "welcomes", trigger: { event: "contact.added" } }, async ({ event }) => {
    seen.push(event.data);
  });
  await faultyApp(server, "welcomes", [fn]);
  await run("begin");
  await sendIn(client, { name: "contact.added", data: { id: 7 } }, { schema: server.schema });
  await run("commit");
  await eventually("the run", () => seen.length > 0);
  expect(seen).toEqual([{ id: 7 }]);
});

test("10,000 rows: there is a job for each that committed, none for those that rolled back, though movers die between", async () => {
  // Without a URL jobs wait, so that this counts jobs and nothing else.
  await server.rotor.queues.create("many");
  const rows = (from: number, count: number) =>
    enqueueBatchIn(
      client,
      "many",
      Array.from({ length: count }, (_, n) => ({ jobId: `n-${from + n}`, payload: from + n })),
      { schema: server.schema },
    );
  // Beside the server's own mover, others that are killed with rows in their hands, before they commit.
  const kill = { name: "inbox.kill", text: "select pg_terminate_backend($1)" };
  let killed = 0;
  const dieOnce = async (): Promise<void> => {
    const paused = pausedDb(server.db, { after: "enqueue.insert" });
    const dying = moveRows(paused.db, readInboxRow, 50).then(
      () => "alive",
      () => "dead",
    );
    const pid = await Promise.race([paused.reached, dying]);
    if (typeof pid !== "number") return;
    await server.db.query(kill, [pid]);
    paused.go();
    if ((await dying) === "dead") killed += 1;
  };
  for (let from = 0; from < 10_000; from += 1_000) {
    await run("begin");
    await rows(from, 900);
    await run("savepoint rest");
    await rows(10_000 + from, 100);
    await run("rollback to rest");
    await rows(from + 900, 100);
    await run("commit");
    await run("begin");
    await rows(20_000 + from, 100);
    await run("rollback");
    await dieOnce();
  }
  await eventually("all rows", async () => (await run("select 1 from rotor.inbox limit 1")).length === 0);
  const [counts] = await run(
    `select count(*)::int as jobs, count(distinct payload.key)::int as keys,
            count(*) filter (where payload.key = 'n-' || convert_from(payload.body, 'utf8') and substr(payload.key, 3)::int < 10000)::int as right
       from rotor.payloads payload join rotor.jobs job on job.id = payload.job_id join rotor.queues queue on queue.id = payload.queue_id
      where queue.name = 'many'`,
  );
  expect(counts).toEqual({ jobs: 10_000, keys: 10_000, right: 10_000 });
  expect(killed).toBeGreaterThan(0);
});
