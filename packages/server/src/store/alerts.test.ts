/** Alerts are told when they begin and when they are over, once each, by however many nodes look. */
import { afterAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  callbackQueue,
  claimOne,
  clearJobs,
  enqueueAll,
  functionQueue,
  newJob,
  settleOne,
  WORKSPACE,
} from "../testing-kit/fixtures.js";
import { watch } from "./alerts.js";
import { tripQueue } from "./queues.js";
import { writeTallies } from "./tallies.js";
import { createWebhook, getWebhook, updateWebhook } from "./webhooks.js";

const database: TestDatabase = await testDatabase();
const { db } = database;
afterAll(() => database.close());

let queueId: number;
let clockMs = 0;
const later = (ms: number): Promise<void> => {
  clockMs += ms;
  return database.shiftClock(clockMs);
};

beforeEach(async () => {
  await clearJobs(db);
  await db.script(
    "delete from rotor.alerts; delete from rotor.tallies; delete from rotor.queues; delete from rotor.apps",
  );
  queueId = (await callbackQueue(db, "queue")).id;
  await hear("ear");
  await told();
});

async function hear(name: string, types: readonly string[] = ["*"]): Promise<void> {
  expect(await createWebhook(db, WORKSPACE, name, "http://127.0.0.1:9/")).toBe("made");
  const webhook = await getWebhook(db, WORKSPACE, name);
  await updateWebhook(db, webhook!, { url: "http://127.0.0.1:9/", headers: {}, types });
}

type Event = { readonly type: string; readonly data: Record<string, Record<string, unknown>> };

/** What the webhook was told since the last look. */
async function told(): Promise<Event[]> {
  await Promise.all([watch(db), watch(db), watch(db)]);
  const { rows } = await db.script(
    `with gone as (delete from rotor.jobs using rotor.queues where jobs.queue_id = queues.id and queues.system is not null returning jobs.id)
     select convert_from(body, 'UTF8') as body from rotor.payloads where job_id in (select id from gone) order by job_id`,
  );
  return rows.map((row) => JSON.parse(row.body));
}

const toldTypes = async (): Promise<string[]> => (await told()).map((event) => event.type).sort();

const workOff = async (jobId: string): Promise<void> => {
  const holder = await claimOne(db, queueId, jobId);
  await settleOne(db, holder, { kind: "done", output: null });
};

test("a queue whose oldest due job waits for more than five minutes is late, until it is taken", async () => {
  const job = newJob(queueId);
  await enqueueAll(db, [job, newJob(queueId, { delayMs: 86_400_000 })]);
  expect(await told()).toEqual([]);
  await later(limits.queueLateMs + 1_000);
  const [late, ...others] = await told();
  expect(others).toEqual([]);
  expect(late).toMatchObject({
    type: "queue.late",
    data: { queue: { name: "queue", kind: "callback", since: expect.any(String) } },
  });
  expect(await told()).toEqual([]);
  await workOff(job.id);
  expect(await toldTypes()).toEqual(["job.completed", "queue.late.recovered"]);
});

test("a queue fails when half of its deliveries do, and recovers by deliveries that succeed, not by silence", async () => {
  const ended = (ended: number, failed: number): Promise<void> =>
    writeTallies(db, [{ queueId, ended, failed, waitMs: 0 }]);
  await ended(9, 9);
  expect(await told()).toEqual([]);
  await ended(3, 0);
  expect(await told()).toMatchObject([{ type: "queue.failing", data: { queue: { deliveries: 12, failed: 9 } } }]);
  await later(limits.failingMs + 120_000);
  expect(await told()).toEqual([]);
  await ended(3, 1);
  expect(await told()).toEqual([]);
  await ended(2, 0);
  expect(await toldTypes()).toEqual(["queue.failing.recovered"]);
});

test("a queue is drained once for each time that it had work, jobs that ask for approval among it", async () => {
  expect(await told()).toEqual([]);
  const job = newJob(queueId);
  await enqueueAll(db, [job]);
  expect(await told()).toEqual([]);
  await workOff(job.id);
  expect(await toldTypes()).toEqual(["job.completed", "queue.drained"]);
  expect(await told()).toEqual([]);
  const asking = await callbackQueue(db, "asking", { approvalRequired: true });
  await enqueueAll(db, [newJob(asking.id)]);
  expect(await toldTypes()).toEqual(["approval.pending"]);
  expect(await told()).toEqual([]);
});

test("an app out of reach and a schedule that missed its tick are told, and that they are well again", async () => {
  const functionId = await functionQueue(db, "f");
  const { rows } = await db.script("select app_id as id from rotor.queues where name = 'f'");
  await tripQueue(db, functionId, rows[0].id, 0);
  await db.script(
    `insert into rotor.schedules (workspace_id, queue_id, name, cron, timezone, body, content_type, next_at)
     values ('${WORKSPACE}', ${queueId}, 'every', '* * * * *', 'UTC', '1', 'application/json', rotor.clock() + interval '1 minute')`,
  );
  expect(await told()).toMatchObject([{ type: "app.unreachable", data: { app: { name: "f" } } }]);
  await later(limits.scheduleMissedMs + 61_000);
  expect(await told()).toMatchObject([{ type: "schedule.missed", data: { schedule: { name: "every" } } }]);
  await db.script(
    "update rotor.apps set unreachable_since = null; update rotor.schedules set next_at = rotor.clock() + interval '1 minute'",
  );
  expect(await toldTypes()).toEqual(["app.unreachable.recovered", "schedule.missed.recovered"]);
});

test("of a queue that is deleted while something is wrong nothing more is told", async () => {
  const other = await callbackQueue(db, "gone");
  await writeTallies(db, [{ queueId: other.id, ended: 20, failed: 20, waitMs: 0 }]);
  expect(await toldTypes()).toEqual(["queue.failing"]);
  await db.script("delete from rotor.queues where name = 'gone'");
  expect(await told()).toEqual([]);
  const { rows } = await db.script("select * from rotor.alerts where subject = 'callback/gone'");
  expect(rows).toEqual([]);
});

test("a queue's trouble with its own settings is told once an hour, not for each of its jobs", async () => {
  const jobs = [newJob(queueId), newJob(queueId), newJob(queueId)];
  await enqueueAll(db, jobs);
  const end = { kind: "failed", final: true, error: { name: "UnknownSecretError", message: "gone" } } as const;
  const failNext = async (id: string) => settleOne(db, await claimOne(db, queueId, id, newId()), end);
  await failNext(jobs[0]!.id);
  await db.script(
    `update rotor.jobs set state = 'waiting', due_at = rotor.clock(), node_id = null where state = 'active'`,
  );
  await failNext(jobs[1]!.id);
  await db.script(
    `update rotor.jobs set state = 'waiting', due_at = rotor.clock(), node_id = null where state = 'active'`,
  );
  expect(await toldTypes()).toEqual(["job.failed", "job.failed", "queue.error"]);
  await later(limits.queueErrorMs + 1_000);
  await told();
  await failNext(jobs[2]!.id);
  expect(await toldTypes()).toContain("queue.error");
});

test("a look reads a few rows of each queue, whatever lies in the tables and whatever was blocked before", async () => {
  for (let more = 0; more < 10; more++) await callbackQueue(db, `other-${more}`);
  await db.script(
    `insert into rotor.payloads (job_id, queue_id, body, content_type, created_at, run_at)
       select ('0190' || lpad(to_hex(n), 8, '0') || '70008000000000000000')::uuid, ${queueId} + n % 5, '{}', 'application/json', now() - interval '1 hour', now() from generate_series(1, 30000) n;
     insert into rotor.jobs (id, queue_id, key_id, blocked_on, state, due_at)
       select job_id, queue_id, 1, 1, 'waiting', now() from rotor.payloads;
     analyze rotor.jobs; analyze rotor.payloads;
     update rotor.jobs set state = 'completed', blocked_on = null, due_at = null`,
  );
  const read = async (): Promise<number> => {
    await db.script("select pg_stat_force_next_flush()");
    const { rows } = await db.script(
      `select sum(seq_tup_read + idx_tup_fetch)::int as count from pg_stat_user_tables
        where schemaname = '${database.schema}' and relname in ('payloads', 'jobs')`,
    );
    return rows[0].count;
  };
  await watch(db);
  // Entries of an index that lead to dead rows are met once, and then marked.
  const before = await read();
  await watch(db);
  expect((await read()) - before).toBeLessThan(1_000);
});
