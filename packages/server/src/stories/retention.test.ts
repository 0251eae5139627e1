/** What is finished leaves when its time is over, in small steps, and nothing leaves that a promise still needs. */

import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { DEFAULT_RETENTION, type SystemRetention } from "../core/retention.js";
import { childKey } from "../core/wait-key.js";
import { cancel, replay, retry } from "../store/control.js";
import type { Db } from "../store/db.js";
import { violations } from "../store/invariants.js";
import { prune } from "../store/prune.js";
import { createQueue, DEFAULT_QUEUE, deleteQueue } from "../store/queues.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  callbackQueue,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  failedWith,
  functionQueue,
  newJob,
  notYet,
  publishOne,
  ran,
  readJob,
  settleOne,
  WORKSPACE,
  waitFor,
} from "../testing-kit/fixtures.js";
import { inOrder, value } from "../testing-kit/races.js";
import { eventually, testServer } from "../testing-kit/server.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let database: TestDatabase;
let db: Db;
let queueId: number;
let functionId: number;
beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  queueId = (await callbackQueue(db)).id;
  functionId = await functionQueue(db);
});
afterAll(() => database.close());
beforeEach(async () => {
  await clearJobs(db);
  await db.script("update rotor.sweeps set next_at = '-infinity', cursor = null, began_at = null");
  await database.shiftClock(0);
});

/** Sweeps everything that is due, to its end. Answers how many rows of jobs, events and the log of who did what left. */
async function sweep(terms: SystemRetention = DEFAULT_RETENTION): Promise<number> {
  // What a sweep that has just ended would leave to the next.
  await db.script("update rotor.sweeps set next_at = '-infinity', cursor = null, began_at = null");
  let removed = 0;
  for (let step = await prune(db, terms); step !== undefined; step = await prune(db, terms)) removed += step;
  return removed;
}

type Rows = {
  readonly jobs: number;
  readonly payloads: number;
  readonly deliveries: number;
  readonly steps: number;
  readonly past_steps: number;
};
const NOTHING: Rows = { jobs: 0, payloads: 0, deliveries: 0, steps: 0, past_steps: 0 };

/** How many rows there are of each of these jobs. */
async function rowsOfAll(jobIds: readonly string[]): Promise<Map<string, Rows>> {
  const count = (table: string, column = "job_id"): string =>
    `(select count(*)::int from rotor.${table} where ${column} = item.id) as ${table}`;
  const { rows } = await db.script(
    `select item.id, ${count("jobs", "id")}, ${["payloads", "deliveries", "steps", "past_steps"].map((table) => count(table)).join(", ")}
       from unnest('{${jobIds.join(",")}}'::uuid[]) as item (id)`,
  );
  return new Map(rows.map(({ id, ...counts }) => [id, counts]));
}

const rowsOf = async (jobId: string): Promise<Rows> => (await rowsOfAll([jobId])).get(jobId)!;

const exists = async (jobId: string): Promise<boolean> => (await rowsOf(jobId)).jobs === 1;

/** A job that was enqueued and has come to this end. */
async function ended(
  how: "completed" | "failed" | "cancelled",
  more: Parameters<typeof newJob>[1] = {},
): Promise<string> {
  const job = newJob(more.queueId ?? queueId, more);
  await enqueueAll(db, [job]);
  if (how === "cancelled") await cancel(db, [job.id]);
  else {
    const holder = await claimOne(db, job.queueId, job.id);
    await settleOne(db, holder, how === "completed" ? { kind: "done", output: null } : failedWith("no", true));
  }
  return job.id;
}

test("each state has a term of its own, after which a job leaves with all that is its own", async () => {
  const jobs = [await ended("completed"), await ended("failed"), await ended("cancelled")];
  await database.shiftClock(7 * DAY - HOUR);
  expect(await sweep()).toBe(0);
  await database.shiftClock(7 * DAY + HOUR);
  expect(await sweep()).toBe(2);
  expect(await Promise.all(jobs.map(exists))).toEqual([false, true, false]);
  await database.shiftClock(30 * DAY + HOUR);
  expect(await sweep()).toBe(1);
  for (const id of jobs) expect(await rowsOf(id)).toEqual(NOTHING);
});

test("the term begins with a job's end, not with its beginning", async () => {
  const job = newJob(queueId, { delayMs: 6 * DAY });
  await enqueueAll(db, [job]);
  await database.shiftClock(6 * DAY + HOUR);
  await settleOne(db, await claimOne(db, queueId, job.id), { kind: "done", output: null });
  await database.shiftClock(12 * DAY);
  expect(await sweep()).toBe(0);
  await database.shiftClock(14 * DAY);
  expect(await sweep()).toBe(1);
});

test("a queue's own terms go before the system's", async () => {
  const brief = (await createQueue(db, WORKSPACE, "brief", {
    ...DEFAULT_QUEUE,
    url: "http://127.0.0.1:9/",
    retention: { completedMs: HOUR },
  }))!;
  const [there, here] = [await ended("completed", { queueId: brief.id }), await ended("completed")];
  const failed = await ended("failed", { queueId: brief.id });
  await database.shiftClock(2 * HOUR);
  expect(await sweep()).toBe(1);
  expect([await exists(there), await exists(here), await exists(failed)]).toEqual([false, true, true]);
});

test("a client's id is known for a day, however short the term", async () => {
  const terms = { ...DEFAULT_RETENTION, completedMs: 60_000 };
  const keyed = await ended("completed", { key: "order-1" });
  const plain = await ended("completed");
  await database.shiftClock(23 * HOUR);
  await sweep(terms);
  expect([await exists(keyed), await exists(plain)]).toEqual([true, false]);
  expect(await enqueueAll(db, [newJob(queueId, { key: "order-1" })])).toMatchObject([{ id: keyed, duplicate: true }]);
  await database.shiftClock(25 * HOUR);
  await sweep(terms);
  expect(await enqueueAll(db, [newJob(queueId, { key: "order-1" })])).toMatchObject([{ duplicate: false }]);
});

test("of a job that is kept, old attempts leave, but not the last", async () => {
  const job = newJob(queueId);
  await enqueueAll(db, [job]);
  for (let attempt = 0; attempt < 3; attempt++) {
    await database.shiftClock(attempt * HOUR);
    await settleOne(db, await claimOne(db, queueId, job.id), failedWith("no", attempt === 2));
  }
  await database.shiftClock(15 * DAY);
  await sweep();
  expect(await rowsOf(job.id)).toMatchObject({ jobs: 1, payloads: 1, deliveries: 1 });
  expect(await retry(db, [job.id])).toEqual([job.id]);
  expect(await violations(db)).toEqual([]);
});

test("nothing of an unfinished run leaves but old attempts, and it comes to its end after months", async () => {
  const run = await activeRun(db, functionId);
  await settleOne(db, run, notYet([ran("first", "1")]));
  const wait = waitFor("later", "spring", { timeout_ms: 200 * DAY, previous: "first" });
  await settleOne(db, { ...run, delivery: run.delivery + 1 }, notYet([wait]));
  await database.shiftClock(100 * DAY);
  await sweep();
  expect(await rowsOf(run.jobId)).toMatchObject({ jobs: 1, payloads: 1, deliveries: 1, steps: 2 });
  const { resumed } = await publishOne(db, "spring");
  expect(resumed).toEqual([run.jobId]);
  const again = await claimOne(db, functionId, run.jobId);
  await settleOne(db, again, { kind: "done", output: null });
  await database.shiftClock(108 * DAY);
  expect(await sweep()).toBe(1);
});

test("a child whose end a step still waits for stays", async () => {
  const parent = await activeRun(db, functionId);
  await settleOne(
    db,
    parent,
    notYet([{ kind: "invoke", key: "child", function: "function", data: {}, timeout_ms: 90 * DAY }]),
  );
  const [child] = await claimAll(db, functionId);
  const holder = await claimOne(db, functionId, child!.jobId).catch(() => ({
    ...parent,
    jobId: child!.jobId,
    delivery: 1,
    attempt: 1,
    parentId: parent.jobId,
  }));
  await settleOne(db, holder, { kind: "done", output: null });
  // As if the end had not reached the parent: then the child is all that could mend it.
  await db.script(
    `update rotor.steps set state = 'waiting', seq = null, output = null, ended_at = null, due_at = rotor.clock() + interval '90 days', wait_key = '${childKey(child!.jobId)}'
      where job_id = '${parent.jobId}'`,
  );
  await database.shiftClock(8 * DAY);
  expect(await sweep()).toBe(0);
  expect(await exists(child!.jobId)).toBe(true);
});

test("events leave after their term, but for those with effects to come", async () => {
  const [old, unfinished] = [await publishOne(db, "one"), await publishOne(db, "two")];
  await db.script(`update rotor.events set due_at = rotor.clock() where id = '${unfinished.id}'`);
  await database.shiftClock(29 * DAY);
  await publishOne(db, "three");
  expect(await sweep()).toBe(0);
  await database.shiftClock(31 * DAY);
  expect(await sweep()).toBe(1);
  const { rows } = await db.script("select name from rotor.events order by name");
  expect([old.duplicate, rows]).toEqual([false, [{ name: "three" }, { name: "two" }]]);
});

test("what a queue leaves behind when it is deleted is removed", async () => {
  const queue = await callbackQueue(db, "leaving");
  const job = await ended("completed", { queueId: queue.id, key: "known" });
  expect(await deleteQueue(db, WORKSPACE, "callback", "leaving")).toBe(true);
  expect(await sweep()).toBe(1);
  expect(await exists(job)).toBe(false);
  await sweep();
  const { rows } = await db.script(`select 1 from rotor.sweeps where queue_id = ${queue.id}`);
  expect(rows).toEqual([]);
});

test("keys that ended a month ago are forgotten", async () => {
  await db.script(
    `insert into rotor.api_keys (id, workspace_id, name, hash, scopes, expires_at, revoked_at) values
       ('${newId()}', 'default', 'lives', 'a', '{read}', null, null),
       ('${newId()}', 'default', 'expired', 'b', '{read}', rotor.clock(), null),
       ('${newId()}', 'default', 'revoked', 'c', '{read}', rotor.clock() + interval '1 year', rotor.clock())`,
  );
  await database.shiftClock(29 * DAY);
  await sweep();
  expect((await db.script("select name from rotor.api_keys")).rows).toHaveLength(3);
  await database.shiftClock(31 * DAY);
  await sweep();
  expect((await db.script("select name from rotor.api_keys")).rows).toEqual([{ name: "lives" }]);
});

test("concurrency keys that no job has had for a week are forgotten, but not those that a job may come back to", async () => {
  const keys = async (): Promise<string[]> =>
    (await db.script("select key from rotor.keys order by key")).rows.map((row) => row.key);
  await ended("completed", { concurrencyKey: "over" });
  await ended("failed", { concurrencyKey: "failed" });
  await enqueueAll(db, [newJob(queueId, { concurrencyKey: "planned", delayMs: 60 * DAY })]);
  await ended("completed", { concurrencyKey: "limited" });
  await db.script("update rotor.keys set concurrency = 3 where key = 'limited'");
  await ended("completed", { concurrencyKey: "used" });
  await database.shiftClock(5 * DAY);
  await ended("completed", { concurrencyKey: "used" });
  await sweep();
  expect(await keys()).toEqual(["failed", "limited", "over", "planned", "used"]);
  await database.shiftClock(9 * DAY);
  await sweep();
  expect(await keys()).toEqual(["failed", "limited", "planned", "used"]);
  // The failed job leaves after its month, and its key a week later.
  for (const days of [45, 55]) {
    await database.shiftClock(days * DAY);
    await sweep();
  }
  expect(await keys()).toEqual(["limited", "planned"]);
  await enqueueAll(db, [newJob(queueId, { concurrencyKey: "over" })]);
  expect(await keys()).toEqual(["limited", "over", "planned"]);
});

test("several nodes sweep at once: each row leaves once, and nobody waits for a row in other hands", async () => {
  const jobs = Array.from({ length: 1_300 }, () => newJob(queueId));
  await enqueueAll(db, jobs);
  await cancel(
    db,
    jobs.map((job) => job.id),
  );
  await database.shiftClock(8 * DAY);
  const first = (await prune(db, DEFAULT_RETENTION)) ?? 0;
  const held = jobs.at(-1);
  const removed = await db.transact(async (t) => {
    await t.query({ name: "retention.hold", text: "select 1 from rotor.jobs where id = $1 for update" }, [held!.id]);
    const nodes = Array.from({ length: 4 }, async () => {
      let count = 0;
      for (let step = await prune(db, DEFAULT_RETENTION); step !== undefined; step = await prune(db, DEFAULT_RETENTION))
        count += step;
      return count;
    });
    return (await Promise.all(nodes)).reduce((sum, each) => sum + each, 0);
  });
  expect(first + removed).toBeLessThan(jobs.length);
  expect(first + removed + (await sweep())).toBe(jobs.length);
});

describe("on a large table", () => {
  test("a step reads through indexes only, and a bounded number of rows", async () => {
    await db.script(
      `insert into rotor.payloads (job_id, queue_id, body, content_type, created_at, run_at)
         select ('0190' || lpad(to_hex(n), 8, '0') || '70008000000000000000')::uuid, ${queueId}, '{}', 'application/json', now() - interval '1 year', now() from generate_series(1, 30000) n;
       insert into rotor.jobs (id, queue_id, state, due_at, delivery)
         select job_id, queue_id, case when row_number() over () % 10 = 0 then 'waiting' else 'completed' end,
                case when row_number() over () % 10 = 0 then now() + interval '1 year' end, 1 from rotor.payloads;
       insert into rotor.deliveries (job_id, delivery, attempt, outcome, ended_at, duration_ms)
         select id, 1, 1, 'completed', now() - interval '20 days', 1 from rotor.jobs;
       analyze rotor.payloads; analyze rotor.jobs; analyze rotor.deliveries; analyze rotor.steps; analyze rotor.past_steps`,
    );
    const scans = async () =>
      (
        await db.script(
          `select relname, seq_scan::int from pg_stat_user_tables where schemaname = '${database.schema}' and relname in ('payloads', 'jobs', 'deliveries') order by relname`,
        )
      ).rows;
    await prune(db, DEFAULT_RETENTION);
    const flush = "select pg_stat_force_next_flush()";
    await db.script(flush);
    const before = await scans();
    expect(await prune(db, DEFAULT_RETENTION)).toBeGreaterThanOrEqual(0);
    const begunAt = performance.now();
    let removed = 0;
    for (let step = 0; step < 16; step++) removed += (await prune(db, DEFAULT_RETENTION)) ?? 0;
    expect(removed).toBeGreaterThan(4_000);
    expect(performance.now() - begunAt).toBeLessThan(5_000);
    await db.script(flush);
    expect(await scans()).toEqual(before);
    await clearJobs(db);
  });
});

/** One thing that happens in a random history. */
const act = fc.oneof(
  fc.record({ do: fc.constant("enqueue" as const), key: fc.option(fc.nat(3)) }),
  fc.record({ do: fc.constant("start" as const) }),
  fc.record({ do: fc.constantFrom("complete" as const, "fail" as const, "wait" as const) }),
  fc.record({ do: fc.constantFrom("cancel" as const, "retry" as const, "replay" as const), which: fc.nat(20) }),
  fc.record({ do: fc.constant("event" as const) }),
  fc.record({ do: fc.constant("pass" as const), hours: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ do: fc.constant("prune" as const) }),
);

test("random histories: pruning breaks nothing, and all that was promised is there", async () => {
  const terms = {
    ...DEFAULT_RETENTION,
    completedMs: 10 * HOUR,
    cancelledMs: 5 * HOUR,
    failedMs: 30 * HOUR,
    deliveriesMs: 12 * HOUR,
    eventsMs: 24 * HOUR,
  };
  const termOf: Record<string, number> = {
    completed: terms.completedMs,
    failed: terms.failedMs,
    cancelled: terms.cancelledMs,
  };
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 10, maxLength: 40 }), async (acts) => {
      await clearJobs(db);
      await database.shiftClock(0);
      let hours = 0;
      const made: string[] = [];
      for (const one of acts) {
        const which = "which" in one ? made[one.which % Math.max(1, made.length)] : undefined;
        switch (one.do) {
          case "enqueue": {
            const [job] = await enqueueAll(db, [newJob(queueId, { key: one.key === null ? null : `k${one.key}` })]);
            made.push(job!.id);
            break;
          }
          case "start":
            made.push((await activeRun(db, functionId)).jobId);
            break;
          case "complete":
          case "fail":
          case "wait": {
            const { rows } = await db.script(
              `select job.id, delivery, attempt, parent_id, queue_id from rotor.jobs job where state in ('active', 'waiting') order by id limit 1`,
            );
            if (rows.length === 0) break;
            const kind = rows[0].queue_id === queueId ? ("callback" as const) : ("function" as const);
            const { rows: active } = await db.script(
              `update rotor.jobs set state = 'active', delivery = delivery + 1, attempt = attempt + 1, due_at = rotor.clock() + interval '10 min' where id = '${rows[0].id}' returning delivery, attempt`,
            );
            const holder = { jobId: rows[0].id, parentId: null, kind, ...active[0] };
            const wait = notYet([waitFor(`w${newId()}`, "story", { timeout_ms: 100 * HOUR })]);
            if (one.do === "wait" && kind === "function") await settleOne(db, holder, wait);
            else
              await settleOne(db, holder, one.do === "fail" ? failedWith("no", true) : { kind: "done", output: null });
            break;
          }
          case "cancel":
            if (which !== undefined) await cancel(db, [which]);
            break;
          case "retry":
            if (which !== undefined) await retry(db, [which]);
            break;
          case "replay":
            if (which !== undefined) await replay(db, which, {});
            break;
          case "event":
            await publishOne(db, "story");
            break;
          case "pass":
            hours += one.hours;
            await database.shiftClock(hours * HOUR);
            break;
          case "prune":
            await pruneAndCheck();
        }
      }
      await pruneAndCheck();
    }),
    { numRuns: 12 },
  );

  /** What may go is gone, what may not is whole. */
  async function pruneAndCheck(): Promise<void> {
    const { rows: before } = await db.script(
      `select job.id, job.state, job.delivery, payload.key, extract(epoch from rotor.clock() - payload.created_at) * 1000 as "ageMs",
              extract(epoch from rotor.clock() - last.ended_at) * 1000 as "endedMs",
              (select count(*)::int from rotor.steps where job_id = job.id) as steps
         from rotor.jobs job join rotor.payloads payload on payload.job_id = job.id
         left join rotor.deliveries last on last.job_id = job.id and last.delivery = job.delivery`,
    );
    await sweep(terms);
    const after = await rowsOfAll(before.map((job) => job.id));
    for (const job of before) {
      const over =
        job.state in termOf && job.endedMs > termOf[job.state]! && (job.key === null || job.ageMs > 24 * HOUR);
      const rows = after.get(job.id);
      if (over) expect(rows).toEqual(NOTHING);
      else expect(rows).toMatchObject({ jobs: 1, payloads: 1, steps: job.steps });
      if (!over && job.key !== null)
        expect(await enqueueAll(db, [newJob(queueId, { key: job.key })])).toMatchObject([{ duplicate: true }]);
    }
    expect(await violations(db)).toEqual([]);
    const { rows: waits } = await db.script("select id::text from rotor.jobs where state = 'failed' limit 1");
    for (const { id } of waits) {
      expect(await retry(db, [id])).toEqual([id]);
      expect(await readJob(db, id)).toMatchObject({ state: "waiting" });
    }
  }
});

test("a running server prunes by the terms of ROTOR_RETENTION", async () => {
  const server = await testServer({ ROTOR_RETENTION: "completed=1m" });
  try {
    const url = await server.serve((_, response) => response.end());
    await server.rotor.queues.create("brief", { callbackUrl: url });
    // The SDK's client would give it an id, which is remembered for a day.
    const enqueued = await fetch(`${server.baseUrl}/v1/queues/brief/jobs`, {
      method: "POST",
      body: '{"payload":1}',
      headers: { "content-type": "application/json" },
    });
    const { id } = (await enqueued.json()) as { id: string };
    await eventually("the job's end", async () => (await server.rotor.jobs.get("brief", id)).state === "completed");
    await server.shiftClock(90_000);
    await server.db.script("update rotor.sweeps set next_at = '-infinity'");
    await eventually(
      "its leaving",
      async () => (await server.db.script("select 1 from rotor.payloads")).rows.length === 0,
    );
  } finally {
    await server.close();
  }
});

test("a job that is enqueued while the first one under its id is just being pruned takes its place", async () => {
  const first = await ended("completed", { key: "order-1" });
  await database.shiftClock(8 * DAY);
  const [outcome] = await inOrder(
    { after: "enqueue.insert" },
    db,
    (paused) => enqueueAll(paused, [newJob(queueId, { key: "order-1" })]),
    () => sweep(),
  );
  expect(value(outcome)).toMatchObject([{ duplicate: false, state: "waiting" }]);
  expect(await exists(first)).toBe(false);
  expect(await violations(db)).toEqual([]);
});

test("a run that is replayed from a step is not pruned before its results are copied", async () => {
  const run = await activeRun(db, functionId);
  await settleOne(db, run, notYet([ran("first", "1"), ran("second", "2")]));
  await settleOne(db, { ...run, delivery: run.delivery + 1 }, { kind: "done", output: null });
  await database.shiftClock(8 * DAY);
  const [replayed] = await inOrder(
    { after: "control.copy" },
    db,
    (paused) => replay(paused, run.jobId, { fromStep: "second" }),
    () => sweep(),
  );
  expect(await rowsOf(value(replayed)!)).toMatchObject({ jobs: 1, payloads: 1, steps: 1 });
  await sweep();
  expect(await exists(run.jobId)).toBe(false);
});
