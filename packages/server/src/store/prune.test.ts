/** Pruning: by indexes, on several nodes, beside what else happens to a job, and in random histories. */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { DEFAULT_RETENTION } from "../core/retention.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  callbackQueue,
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
  waitFor,
} from "../testing-kit/fixtures.js";
import { mutantDb } from "../testing-kit/mutants.js";
import { ended, NOTHING, type Rows, restartSweeps, rowsOfAll, rowsScanned, sweep } from "../testing-kit/pruning.js";
import { inOrder, value } from "../testing-kit/races.js";
import { cancel, retry } from "./control.js";
import type { Db } from "./db.js";
import { violations } from "./invariants.js";
import { prune } from "./prune.js";
import { replay } from "./replay.js";

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
  await restartSweeps(db);
  await database.shiftClock(0);
});

const rowsOf = async (jobId: string): Promise<Rows> => (await rowsOfAll(db, [jobId])).get(jobId)!;
const exists = async (jobId: string): Promise<boolean> => (await rowsOf(jobId)).jobs === 1;

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
  expect(first + removed + (await sweep(db))).toBe(jobs.length);
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
    await prune(db, DEFAULT_RETENTION);
    const before = await rowsScanned(db);
    expect(await prune(db, DEFAULT_RETENTION)).toBeGreaterThanOrEqual(0);
    const begunAt = performance.now();
    let removed = 0;
    for (let step = 0; step < 16; step++) removed += (await prune(db, DEFAULT_RETENTION)) ?? 0;
    expect(removed).toBeGreaterThan(4_000);
    expect(performance.now() - begunAt).toBeLessThan(5_000);
    expect((await rowsScanned(db)) - before).toBeLessThan(150_000);
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
    { numRuns: 8 },
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
    await sweep(db, terms);
    const after = await rowsOfAll(
      db,
      before.map((job) => job.id),
    );
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

test("a job that is enqueued while the first one under its id is just being pruned takes its place", async () => {
  const first = await ended(db, queueId, "completed", { key: "order-1" });
  await database.shiftClock(8 * DAY);
  const [outcome] = await inOrder(
    { after: "enqueue.insert" },
    db,
    (paused) => enqueueAll(paused, [newJob(queueId, { key: "order-1" })]),
    () => sweep(db),
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
    { after: "replay.originals" },
    db,
    (paused) => replay(paused, run.jobId, { fromStep: "second" }),
    () => sweep(db),
  );
  expect(await rowsOf(value(replayed)!)).toMatchObject({ jobs: 1, payloads: 1, steps: 1 });
  await sweep(db);
  expect(await exists(run.jobId)).toBe(false);
});

test("a sweep that cannot take its step is put off, and the others go on", async () => {
  const { db } = database;
  await db.script(
    "update rotor.sweeps set next_at = rotor.clock() - interval '1 hour', cursor = null, began_at = null",
  );
  const due = async (): Promise<number> =>
    (await db.script("select count(*)::int as count from rotor.sweeps where next_at <= rotor.clock()")).rows[0].count;
  const before = await due();
  const noWay = (text: string): string => text.replace("rotor.sweeps", "rotor.nothing");
  const failing = mutantDb(mutantDb(db, "sweeps.go-on", noWay), "sweeps.end", noWay);
  await expect(prune(failing, DEFAULT_RETENTION)).rejects.toThrow();
  expect(await due()).toBe(before - 1);
  expect(await prune(db, DEFAULT_RETENTION)).toBeDefined();
});

test("a sweep that took an hour, for whatever reason, has the next one wait no longer than things are kept", async () => {
  await enqueueAll(db, [newJob(queueId, { delayMs: 30 * DAY })]);
  await sweep(db);
  await database.shiftClock(5 * 60_000);
  const ofQueue = `what = 'jobs' and queue_id = ${queueId}`;
  await db.script(
    `update rotor.sweeps set next_at = case when ${ofQueue} then '-infinity' else 'infinity' end::timestamptz, began_at = rotor.clock() - interval '1 hour'`,
  );
  expect(await prune(db, { ...DEFAULT_RETENTION, completedMs: 60_000 })).toBe(0);
  const { rows } = await db.script(
    `select (extract(epoch from next_at - rotor.clock()) * 1000)::int as ms from rotor.sweeps where ${ofQueue}`,
  );
  expect(rows[0].ms).toBeGreaterThan(55_000);
  expect(rows[0].ms).toBeLessThanOrEqual(60_000);
});
