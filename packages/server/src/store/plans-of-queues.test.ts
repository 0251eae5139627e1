/** What a job costs where there are many other queues, each with a secret of its own: the same few rows read. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, claimAll, enqueueAll, newJob, WORKSPACE } from "../testing-kit/fixtures.js";
import { lookForDue } from "./claim.js";
import { hot, sql } from "./db.js";
import { enqueueEach } from "./enqueue.js";
import { queueFinder } from "./queue-finder.js";
import { activeSigningKeys } from "./signing-keys.js";

const OTHERS = 5_000;

let database: TestDatabase;
let queueId: number;
beforeAll(async () => {
  database = await testDatabase();
  const { db } = database;
  queueId = (await callbackQueue(db, "ours", { concurrency: 10 })).id;
  // What it does is planned while there are no others, and is not planned again.
  await deliverOne();
  await db.script(
    `insert into rotor.queues (workspace_id, name, kind, url, concurrency, timeout_ms, async_timeout_ms, max_attempts, backoff, approval_timeout_ms)
       select workspace_id, 'other-' || n, kind, url, concurrency, timeout_ms, async_timeout_ms, max_attempts, backoff, approval_timeout_ms
         from rotor.queues, generate_series(1, ${OTHERS}) n where id = ${queueId};
     insert into rotor.signing_keys (id, workspace_id, queue_id, sealed)
       select gen_random_uuid(), workspace_id, id, 'sealed' from rotor.queues;
     insert into rotor.signing_keys (id, workspace_id, sealed) values (gen_random_uuid(), '${WORKSPACE}', 'sealed')`,
  );
});
afterAll(() => database.close());

const flushes = [
  sql("plans-of-queues.flush", "select pg_stat_force_next_flush()"),
  hot("plans-of-queues.hot-flush", "select pg_stat_force_next_flush()"),
];

/** A job of our queue, from its enqueue to its claim. Answers the keys that sign it. */
async function deliverOne(): Promise<readonly unknown[]> {
  const { db } = database;
  const found = await queueFinder(db, "callback").write({ workspace: WORKSPACE, name: "ours" });
  expect(found?.to.queueId).toBe(queueId);
  await enqueueEach(db, [newJob(queueId)]);
  expect((await lookForDue(db)).map((due) => due.queueId)).toEqual([queueId]);
  expect(await claimAll(db, queueId)).toHaveLength(1);
  return (await activeSigningKeys(db, [{ workspace: WORKSPACE, queueId }]))[0]!;
}

/** Rows of queues and of signing keys that have been read, by whatever way. */
async function rowsRead(): Promise<number> {
  const { db, schema } = database;
  // Each pool's connection tells when it ends a statement, a second after it last did or because it was asked to.
  for (const flush of flushes) await db.query(flush);
  const { rows } = await db.script(
    `select sum(seq_tup_read + idx_tup_fetch)::int as count from pg_stat_user_tables
      where schemaname = '${schema}' and relname in ('queues', 'signing_keys')`,
  );
  return rows[0].count;
}

test("a job is stored, looked for, claimed and signed by reading a few rows, though there are 5,000 other queues", async () => {
  const before = await rowsRead();
  for (let n = 0; n < 3; n++) expect(await deliverOne()).toHaveLength(2);
  expect((await rowsRead()) - before).toBeLessThan(100);
});

test("a look goes from one queue with jobs to the next, in the order of what is due", async () => {
  const { db } = database;
  const others = (await db.script("select id from rotor.queues where name like 'other-%' order by id")).rows.map(
    (row) => row.id as number,
  );
  const some = [others[0]!, others[17]!, others[2_000]!, others.at(-1)!];
  await enqueueAll(db, [...some.map((id) => newJob(id)), newJob(some[1]!), newJob(others[5]!, { delayMs: 60_000 })]);
  // Without room, or paused, a queue is not told of.
  await db.script(
    `update rotor.queues set paused_at = now() where id = ${some[2]!}; update rotor.jobs set state = 'active', due_at = now() where queue_id = ${some[3]!}`,
  );
  await enqueueAll(db, [newJob(some[2]!)]);
  const due = await lookForDue(db);
  expect(due.filter((queue) => queue.dueInMs <= 0).map((queue) => queue.queueId)).toEqual([some[0], some[1]]);
  expect(due.find((queue) => queue.dueInMs > 0)?.queueId).toBe(others[5]);
  // From another queue on.
  expect((await lookForDue(db, some[0])).filter((queue) => queue.dueInMs <= 0).map((queue) => queue.queueId)).toEqual([
    some[1],
    some[0],
  ]);
});
