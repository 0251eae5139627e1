/** Dead letters: found among a million jobs, replayed once each whatever happens to who asks, purged, drained. */
import { Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { paceMs } from "../core/pace.js";
import { createApp } from "../http/app.js";
import { createApiKey, SCOPES } from "../http/auth.js";
import { type TestApi, testApi } from "../http/testing-kit/api.js";
import { reject, retry } from "../store/control.js";
import type { Db } from "../store/db.js";
import { violations } from "../store/invariants.js";
import { settle } from "../store/settle.js";
import {
  callbackQueue,
  claimAll,
  clearJobs,
  enqueueAll,
  failedWith,
  newJob,
  settlement,
} from "../testing-kit/fixtures.js";
import { rowsScanned } from "../testing-kit/pruning.js";
import { eventually, testServer } from "../testing-kit/server.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let api: TestApi;
let db: Db;
let rotor: Rotor;
let queueId: number;
let key: string;

/** A client that speaks to an engine on this database. */
const clientOn = (other: Db): Rotor => {
  const app = createApp({ ...api.engine, db: other }, { log: { error: () => undefined } });
  return new Rotor({
    apiKey: key,
    baseUrl: "http://rotor.test",
    fetch: async (url, init) => app.request(url as string, init),
  });
};

beforeAll(async () => {
  api = await testApi();
  db = api.database.db;
  ({ key } = await createApiKey(db, "default", "sdk", SCOPES));
  rotor = clientOn(db);
  queueId = (await callbackQueue(db, "dying")).id;
});
afterAll(() => api.close());
beforeEach(async () => {
  await clearJobs(db);
  await api.database.shiftClock(0);
});

/** Settles everything that is due as failed for good. */
async function failAll(id = queueId, message = "no"): Promise<number> {
  let failed = 0;
  for (let taken = await claimAll(db, id); taken.length > 0; taken = await claimAll(db, id)) {
    await settle(
      db,
      taken.map(({ jobId, delivery, kind }) =>
        settlement({ jobId, delivery, kind, attempt: 1, parentId: null }, failedWith(message, true)),
      ),
    );
    failed += taken.length;
  }
  return failed;
}

/** Stores failed jobs at once; their ids are of the year 2024, in order, their errors `failure <n>`. */
async function storeFailed(count: number, id = queueId, from = 1): Promise<void> {
  await db.script(
    `insert into rotor.payloads (job_id, queue_id, body, content_type, created_at, run_at, tags)
       select ('019' || lpad(to_hex(n), 9, '0') || '70008000000000000000')::uuid, ${id}, '{}', 'application/json', rotor.clock() - interval '2 days', rotor.clock(),
              case when n % 100 = 0 then array['rare'] end
         from generate_series(${from}, ${from + count - 1}) n;
     insert into rotor.jobs (id, queue_id, state, due_at, delivery, attempt)
       select job_id, queue_id, 'failed', null, 1, 1 from rotor.payloads where queue_id = ${id} and not exists (select 1 from rotor.jobs where id = job_id);
     insert into rotor.deliveries (job_id, delivery, attempt, outcome, ended_at, duration_ms, error)
       select id, 1, 1, 'failed', rotor.clock() - interval '1 hour', 1, '{"name":"Error","message":"Failure ' || row_number() over (order by id) || '"}'
         from rotor.jobs where queue_id = ${id}
       on conflict do nothing`,
  );
}

/** How many jobs have had so many deliveries. */
const deliveriesOf = async (): Promise<Record<string, number>> => {
  const { rows } = await db.script("select delivery, count(*)::int as count from rotor.jobs group by 1 order by 1");
  return Object.fromEntries(rows.map((row) => [row.delivery, row.count]));
};

const countState = async (state: string): Promise<number> =>
  (await db.script(`select count(*)::int as count from rotor.jobs where state = '${state}'`)).rows[0].count;

test("they are found by queue, tag, time and error, page by page", async () => {
  await storeFailed(300);
  const other = await callbackQueue(db, "other-dying");
  await storeFailed(5, other.id, 1_000);
  expect((await rotor.dlq.list({ limit: 100 }).page()).data).toHaveLength(100);
  const all: string[] = [];
  for await (const letter of rotor.dlq.list({ limit: 70 })) all.push(letter.id);
  expect(new Set(all).size).toBe(305);
  expect(all).toEqual([...all].sort().reverse());
  const count = async (filter: Parameters<typeof rotor.dlq.list>[0]) =>
    (await rotor.dlq.list({ limit: 100, ...filter }).page()).data.length;
  expect(await count({ queue: "other-dying" })).toBe(5);
  expect(await count({ tag: "rare" })).toBe(4);
  expect(await count({ error: "failure 299" })).toBe(1);
  expect(await count({ error: "FAILURE 29", queue: "dying" })).toBe(11);
  for (const part of ["message", "name", 'quote"', "100%"]) expect(await count({ error: part })).toBe(0);
  const now = Date.now();
  expect(await count({ before: new Date(now - 2 * HOUR) })).toBe(0);
  expect(await count({ after: new Date(now - 2 * HOUR), tag: "rare" })).toBe(4);
  expect(await count({ after: new Date(now) })).toBe(0);
  expect((await (await api.as("other"))("GET", "/v1/dlq")).json.data).toEqual([]);
  await db.script(`delete from rotor.queues where id = ${other.id}`);
});

describe("100,000 failed jobs among a million", () => {
  test("are searched through the index of what failed, in bounded looks", async () => {
    // The same in small: one in ten has failed, and tables are large enough to be read by their indexes.
    await storeFailed(10_000);
    await db.script(
      `insert into rotor.jobs (id, queue_id, state, delivery) select ('018' || lpad(to_hex(n), 9, '0') || '70008000000000000000')::uuid, ${queueId}, 'completed', 1 from generate_series(1, 90000) n;
       analyze rotor.jobs; analyze rotor.payloads; analyze rotor.deliveries`,
    );
    const before = await rowsScanned(db);
    const begunAt = performance.now();
    expect((await rotor.dlq.list({ error: "failure 7777" }).page()).data).toHaveLength(1);
    expect((await rotor.dlq.list({ tag: "rare", limit: 100 }).page()).data).toHaveLength(100);
    expect((await rotor.dlq.list({ error: "nothing" }).page()).data).toHaveLength(0);
    expect(await rotor.dlq.replay({ filter: { tag: "rare" }, dryRun: true })).toMatchObject({ replayed: 100 });
    expect(performance.now() - begunAt).toBeLessThan(3_000);
    expect((await rowsScanned(db)) - before).toBeLessThan(250_000);
  });
});

test("a hundred who ask the same at once move each failure once", async () => {
  await storeFailed(20);
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => rotor.dlq.replay({ filter: { queue: "dying" } })),
  );
  expect(answers.reduce((sum, { replayed }) => sum + replayed, 0)).toBe(20);
  expect(await failAll()).toBe(20);
  expect(await deliveriesOf()).toEqual({ 2: 20 });
});

test("each failure is delivered once more when the one who asked died half-way and asks again", async () => {
  await storeFailed(1_700);
  const before = new Date(Date.now() + 1_000);
  // The second transaction's backend is killed, as by a failover.
  let transactions = 0;
  const dying = clientOn({
    ...db,
    transact: (work) =>
      db.transact(async (t) => {
        const result = await work(t);
        if (++transactions === 2)
          await t.query({ name: "story.die", text: "select pg_terminate_backend(pg_backend_pid())" });
        return result;
      }),
  });
  await expect(dying.dlq.replay({ filter: {}, before: new Date(0) })).resolves.toMatchObject({ replayed: 0 });
  await expect(dying.dlq.replay({ filter: {} })).rejects.toThrow();
  expect(await countState("waiting")).toBe(500);
  // Those that were moved fail again, at once: they are failures that came after the ask.
  await api.database.shiftClock(10_000);
  expect(await failAll()).toBe(500);
  expect(await rotor.dlq.replay({ filter: {}, before })).toMatchObject({ replayed: 1_200 });
  expect(await failAll()).toBe(1_200);
  expect(await deliveriesOf()).toEqual({ 2: 1_700 });
  expect(await rotor.dlq.replay({ filter: {}, before })).toMatchObject({ replayed: 0 });
});

test("a failure is a job and its delivery: what has failed again since it was seen stays", async () => {
  const [job] = await enqueueAll(db, [newJob(queueId)]);
  await failAll();
  expect(await retry(db, [job!.id], { deliveries: [1] })).toEqual([job!.id]);
  await failAll();
  expect(await retry(db, [job!.id], { deliveries: [1] })).toEqual([]);
  expect(await rotor.dlq.replay({ ids: [job!.id] })).toMatchObject({ replayed: 1, ids: [job!.id] });
});

test("an ask of many goes on where it was when it took too long for one request", async () => {
  await storeFailed(1_200);
  const now = performance.now;
  let skipped = 0;
  // Each look at the clock finds that six seconds more have passed.
  performance.now = () => now.call(performance) + 6_000 * skipped++;
  try {
    expect(await rotor.dlq.replay({ filter: {} })).toMatchObject({ replayed: 1_200 });
  } finally {
    performance.now = now;
  }
  expect(await countState("waiting")).toBe(1_200);
});

test("a rate spreads them evenly, the oldest first", async () => {
  expect([paceMs("10/s"), paceMs("100/m"), paceMs("2/h"), paceMs("0/s"), paceMs("5"), paceMs("1/d")]).toEqual([
    100,
    600,
    1_800_000,
    undefined,
    undefined,
    undefined,
  ]);
  await storeFailed(700);
  expect(await rotor.dlq.replay({ filter: {}, rate: "10/s" })).toMatchObject({ replayed: 700 });
  const { rows } = await db.script(
    `select extract(epoch from due_at - lag(due_at) over (order by id)) * 1000 as gap from rotor.jobs order by id offset 1`,
  );
  // Never sooner; what the transactions themselves take comes on top.
  for (const { gap } of rows) expect(Number(gap)).toBeGreaterThan(99.9);
  expect(rows.reduce((sum, { gap }) => sum + Number(gap), 0)).toBeLessThan(700 * 100 + 5_000);
  const { status, json } = await (await api.as("default"))("POST", "/v1/dlq/replay", { filter: {}, rate: "fast" });
  expect([status, json.error.message]).toEqual([422, expect.stringContaining("10/s")]);
});

test("what a person turned down is replayed by its id, or when it is asked for, and asks again", async () => {
  const careful = await callbackQueue(db, "careful", { approvalRequired: true });
  const [first, second] = await enqueueAll(db, [newJob(careful.id), newJob(careful.id)]);
  await reject(db, [first!.id, second!.id], "no");
  expect(await rotor.dlq.replay({ filter: { queue: "careful" } })).toMatchObject({ replayed: 0 });
  expect(await rotor.dlq.replay({ filter: { queue: "careful" }, includeRejected: true, dryRun: true })).toMatchObject({
    replayed: 2,
  });
  expect(await rotor.dlq.replay({ ids: [first!.id] })).toMatchObject({ replayed: 1 });
  expect(await rotor.dlq.replay({ filter: { queue: "careful" }, includeRejected: true })).toMatchObject({
    replayed: 1,
  });
  expect(await countState("pending_approval")).toBe(2);
});

describe("a purge", () => {
  test("removes what is selected with all that is its own, and nothing else", async () => {
    await storeFailed(600);
    const [kept] = await enqueueAll(db, [newJob(queueId)]);
    const ids = (await rotor.dlq.list({ limit: 2 }).page()).data.map((letter) => letter.id);
    expect(await rotor.dlq.purge({ ids, dryRun: true })).toEqual({ purged: 2, kept: 0 });
    expect(await rotor.dlq.purge({ ids: [...ids, kept!.id] })).toEqual({ purged: 2, kept: 0 });
    expect(await rotor.dlq.purge({ filter: { tag: "rare" } })).toEqual({ purged: 5, kept: 0 });
    await expect(rotor.dlq.purge({ filter: {} })).rejects.toMatchObject({
      status: 422,
      message: expect.stringContaining("true"),
    });
    expect(await rotor.dlq.purge({ filter: {}, dryRun: true })).toEqual({ purged: 593, kept: 0 });
    expect(await rotor.dlq.purge({ filter: {}, confirm: true })).toEqual({ purged: 593, kept: 0 });
    const { rows } = await db.script(
      "select (select count(*)::int from rotor.jobs) as jobs, (select count(*)::int from rotor.payloads) as payloads, (select count(*)::int from rotor.deliveries) as deliveries",
    );
    expect(rows).toEqual([{ jobs: 1, payloads: 1, deliveries: 0 }]);
    expect(await violations(db)).toEqual([]);
  });

  test("keeps a job whose client's id is promised to be known", async () => {
    await enqueueAll(db, [newJob(queueId, { key: "order-1" }), newJob(queueId)]);
    await failAll();
    expect(await rotor.dlq.purge({ filter: { queue: "dying" } })).toEqual({ purged: 1, kept: 1 });
    await api.database.shiftClock(DAY + HOUR);
    expect(await rotor.dlq.purge({ filter: { queue: "dying" } })).toEqual({ purged: 1, kept: 0 });
  });

  test("of another workspace's finds nothing", async () => {
    await storeFailed(3);
    const ids = (await rotor.dlq.list().page()).data.map((letter) => letter.id);
    const other = await api.as("other");
    expect((await other("DELETE", "/v1/dlq", { ids })).json.purged).toBe(0);
    expect((await other("DELETE", "/v1/dlq", { filter: {}, confirm: true })).json.purged).toBe(0);
    expect((await other("DELETE", "/v1/dlq", {})).status).toBe(422);
    expect(await countState("failed")).toBe(3);
  });
});

test("a drain cancels what waits, and not what is being delivered", async () => {
  const queue = await callbackQueue(db, "full", { concurrency: 2 });
  await enqueueAll(
    db,
    Array.from({ length: 600 }, (_, n) => newJob(queue.id, n % 2 === 0 ? {} : { delayMs: DAY })),
  );
  const active = await claimAll(db, queue.id);
  expect(active).toHaveLength(2);
  await expect(rotor.queues.drain("full", {} as { confirm: true })).rejects.toMatchObject({ status: 422 });
  expect(await rotor.queues.drain("full", { dryRun: true })).toEqual({ cancelled: 598 });
  expect(await rotor.queues.drain("full", { confirm: true })).toEqual({ cancelled: 598 });
  expect(await rotor.queues.drain("full", { confirm: true })).toEqual({ cancelled: 0 });
  expect([await countState("active"), await countState("cancelled")]).toEqual([2, 598]);
  expect((await (await api.as("other"))("POST", "/v1/queues/full/drain", { confirm: true })).status).toBe(404);
  expect(await violations(db)).toEqual([]);
});

test("a failed job is replayed to a real endpoint, which gets it once more", async () => {
  const server = await testServer();
  try {
    const bodies: string[] = [];
    let mended = false;
    const url = await server.serve(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      bodies.push(body);
      response.writeHead(mended ? 200 : 410).end();
    });
    await server.rotor.queues.create("mail", { callbackUrl: url });
    await server.rotor.jobs.enqueueBatch(
      "mail",
      Array.from({ length: 30 }, (_, n) => ({ payload: n })),
    );
    const letters = () => server.rotor.dlq.list({ queue: "mail", limit: 100 }).page();
    await eventually("30 dead letters", async () => (await letters()).data.length === 30);
    mended = true;
    const { before } = await server.rotor.dlq.replay({ filter: { queue: "mail" }, dryRun: true });
    const asks = Array.from({ length: 5 }, () => server.rotor.dlq.replay({ filter: { queue: "mail" }, before }));
    expect((await Promise.all(asks)).reduce((sum, { replayed }) => sum + replayed, 0)).toBe(30);
    await eventually(
      "the end of all",
      async () => (await server.rotor.jobs.list("mail", { state: "completed", limit: 100 }).page()).data.length === 30,
    );
    expect(bodies.sort()).toEqual(Array.from({ length: 60 }, (_, n) => `${n >> 1}`).sort());
  } finally {
    await server.close();
  }
});
