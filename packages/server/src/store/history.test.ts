/** What is read of a run's steps: enough for its app, and never more than there is room for. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  checkpointOne,
  clearJobs,
  functionQueue,
  type Holder,
  ran,
  waitFor,
} from "../testing-kit/fixtures.js";
import { checkpoint } from "./checkpoint.js";
import { type Db, type Queryable, sql } from "./db.js";
import { type History, loadHistories, loadStepsBefore, loadStepsSince } from "./history.js";

let database: TestDatabase;
let queue: number;
beforeAll(async () => {
  database = await testDatabase();
  queue = await functionQueue(database.db);
});
afterAll(() => database.close());
beforeEach(() => clearJobs(database.db));

/** Finished steps `s1`… of a run, each with a result of so many bytes; and one that waits. */
async function steps(count: number, bytes: number, jobId = newId()): Promise<string> {
  await database.db.script(
    `insert into rotor.steps (job_id, key, kind, state, seq, ended_at, output)
     select '${jobId}', 's' || n, 'run', 'completed', n, rotor.clock(), '"' || repeat('x', ${bytes - 2}) || '"' from generate_series(1, ${count}) n;
     insert into rotor.steps (job_id, key, kind, state, due_at, error) values ('${jobId}', 'w', 'run', 'waiting', rotor.clock(), '${"e".repeat(10_000)}')`,
  );
  return jobId;
}

/** So many runs with the steps of this one. What is stored compressed is copied as it is, which is quick. */
async function copies(jobId: string, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, newId);
  await database.db.script(
    `insert into rotor.steps (job_id, key, kind, state, seq, ended_at, due_at, output, error)
     select id, key, kind, state, seq, ended_at, due_at, output, error
       from rotor.steps, unnest('{${ids}}'::uuid[]) id where job_id = '${jobId}'`,
  );
  return ids;
}

const load = async (jobId: string, all?: number): Promise<History> =>
  (await loadHistories(database.db, [jobId], all)).get(jobId)!;
const keys = (history: { readonly steps: readonly { readonly key: string }[] }) => history.steps.map(({ key }) => key);

describe("the history of a run", () => {
  test("is whole where it is small: finished steps in their order, then the unfinished, without their errors", async () => {
    const history = await load(await steps(3, 10));
    expect(keys(history)).toEqual(["s1", "s2", "s3", "w"]);
    expect(history).toMatchObject({ more: null, count: 4, bytes: 3 * 112 });
    expect(history.steps.map(({ output, error }) => [output?.length, error])).toEqual([
      [10, null],
      [10, null],
      [10, null],
      [undefined, null],
    ]);
    expect((await loadHistories(database.db, [newId()])).size).toBe(0);
  });

  test("has the newest results that fit, and a cursor whose pages have the others, each once", async () => {
    const jobId = await steps(20, 200_000);
    const history = await load(jobId);
    expect(keys(history)).toEqual(["s16", "s17", "s18", "s19", "s20", "w"]);
    expect(history).toMatchObject({ more: "16", count: 21 });
    const pages: string[][] = [];
    for (let { more } = history; more !== null; ) {
      const page = await loadStepsBefore(database.db, jobId, Number(more), limits.deliveryBytes);
      pages.push(keys(page));
      more = page.more;
    }
    expect(pages.map((page) => page.length)).toEqual([5, 5, 5]);
    expect(pages.flat()).toEqual(Array.from({ length: 15 }, (_, n) => `s${15 - n}`));
  });

  test("whose newest result alone is too large has none, and its pages have one each", async () => {
    const jobId = await steps(3, 2_000_000);
    const history = await load(jobId);
    expect(keys(history)).toEqual(["w"]);
    expect(history).toMatchObject({ more: "4", bytes: 0 });
    const page = await loadStepsBefore(database.db, jobId, 4, limits.deliveryBytes);
    expect([keys(page), page.more]).toEqual([["s3"], "3"]);
    const last = await loadStepsBefore(database.db, jobId, 2, limits.deliveryBytes);
    expect([keys(last), last.more]).toEqual([["s1"], null]);
  });

  test("is cut short where there is no room for it in the process, the largest first", async () => {
    const [small, large, larger] = [await steps(5, 100), await steps(5, 100_000), await steps(5, 190_000)];
    const histories = await loadHistories(database.db, [larger, large, small], 700_000);
    expect([small, large, larger].map((id) => histories.get(id)!.steps.length)).toEqual([6, 6, 1]);
    expect(histories.get(larger)!.more).toBe("6");
    expect(histories.get(larger)!.count).toBe(6);
    // Where all is taken, what is very small is there all the same.
    const none = await loadHistories(database.db, [large, small], -1);
    expect([small, large].map((id) => none.get(id)!.steps.length)).toEqual([6, 1]);
  });

  test("costs the process no more than its limits, however large it is and however many there are", async () => {
    // 30 runs of 40 MiB each; they compress well, so the test's disk does not feel it.
    const ids: string[] = [];
    for (const bytes of [limits.stepOutputBytes, 500_000]) ids.push(...(await copies(await steps(10, bytes), 30)));
    const histories = await loadHistories(database.db, ids);
    const held = [...histories.values()]
      .flatMap((each) => each.steps)
      .reduce((sum, { output }) => sum + (output?.length ?? 0), 0);
    expect(held).toBeLessThanOrEqual(limits.historiesBytes);
    expect(held).toBeGreaterThan(limits.historiesBytes / 2);
    expect([...histories.values()].every(({ more }) => more !== null)).toBe(true);
  });
});

describe("what has ended since", () => {
  const room = { bytes: 250_000, isAlone: true };

  test("is told oldest first as far as there is room, the unfinished always, and that there is more", async () => {
    const jobId = await steps(5, 100_000);
    const first = await loadStepsSince(database.db, jobId, 0, [], room);
    expect([keys(first), first.more]).toEqual([["s1", "s2", "w"], true]);
    const next = await loadStepsSince(database.db, jobId, 2, [], room);
    expect([keys(next), next.more]).toEqual([["s3", "s4", "w"], true]);
    const last = await loadStepsSince(database.db, jobId, 4, [], room);
    expect([keys(last), last.more]).toEqual([["s5", "w"], false]);
  });

  test("is told a step at least, where the reply is to one run alone", async () => {
    const jobId = await steps(2, 1_000_000);
    expect(keys(await loadStepsSince(database.db, jobId, 0, [], room))).toEqual(["s1", "w"]);
    const shared = await loadStepsSince(database.db, jobId, 0, [], { ...room, isAlone: false });
    expect([keys(shared), shared.more]).toEqual([["w"], true]);
  });

  test("leaves out the results that the app has just reported itself, and has room for what is behind them", async () => {
    const jobId = await steps(3, 1_000_000);
    const since = await loadStepsSince(database.db, jobId, 0, ["s1", "s2", "s3"], room);
    expect([keys(since), since.more]).toEqual([["s1", "s2", "s3", "w"], false]);
    expect(since.steps.map(({ output }) => output)).toEqual([null, null, null, null]);
  });
});

describe("a checkpoint", () => {
  const fetched = sql(
    "history.test.fetched",
    `select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as rows
       from pg_stat_xact_all_tables where schemaname = $1 and relname = 'steps'`,
  );

  /** A database that counts the rows of steps that are read by it, as the statistics of each transaction tell. */
  function counting(): { readonly db: Db; readonly rows: () => number } {
    const { db, schema } = database;
    let rows = 0;
    const read = async (t: Queryable) => (await t.query<{ rows: number }>(fetched, [schema]))[0]?.rows ?? 0;
    const transact: Db["transact"] = (work) =>
      db.transact(async (t) => {
        const before = await read(t);
        const result = await work(t);
        rows += (await read(t)) - before;
        return result;
      });
    return { db: { ...db, transact, query: (...args) => transact((t) => t.query(...args)) }, rows: () => rows };
  }

  /** Rows that one checkpoint reads, on average: of results, of sleeps, of what is reported again. */
  async function rowsRead(run: Holder, from: number): Promise<number> {
    const counted = counting();
    const knownSeq = Number.MAX_SAFE_INTEGER;
    for (let n = from; n < from + 5; n++) {
      const sleeps = { kind: "sleep", key: `z${n}`, delay_ms: 1e6 } as const;
      for (const reports of [[ran(`r${n}`)], [sleeps], [ran(`r${n}`)]])
        await checkpoint(counted.db, [{ ...run, reports, knownSeq }], () => false);
    }
    return counted.rows();
  }

  test("reads no more rows of steps at step 1,000 than at step 50", async () => {
    const run = await activeRun(database.db, queue);
    await steps(50, 100, run.jobId);
    // Else the planner takes so small a table for nothing but a scan.
    await database.db.script("analyze rotor.steps");
    const early = await rowsRead(run, 0);
    await database.db.script(`delete from rotor.steps where job_id = '${run.jobId}'`);
    await steps(1_000, 100, run.jobId);
    await database.db.script("analyze rotor.steps");
    const late = await rowsRead(run, 5);
    expect(late).toBeLessThanOrEqual(early);
    expect(late).toBeLessThan(50);
    expect(late).toBeGreaterThan(0);
  });

  test("tells of what else has ended where something has, and of nothing else where nothing has", async () => {
    const run = await activeRun(database.db, queue);
    await checkpointOne(database.db, run, [waitFor("w1", "first"), waitFor("w2", "second")]);
    const own = await checkpointOne(database.db, run, [ran("a"), waitFor("w3", "third")]);
    expect(own.steps.map(({ key, state }) => [key, state])).toEqual([
      ["a", "completed"],
      ["w3", "waiting"],
    ]);
    // A repeated report is told as it is stored, with the result that was stored first.
    const repeated = await checkpointOne(database.db, run, [ran("a", "another")]);
    expect(repeated.steps).toMatchObject([{ key: "a", state: "completed", output: null }]);
  });
});
