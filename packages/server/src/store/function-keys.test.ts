/** Runs with two keys, and functions whose rate counts the runs that begin: who is claimed, who waits, who goes on when. */
import { PROTOCOL_VERSION } from "@rotorsh/sdk/protocol";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { ONE_FOR_ALL } from "../core/rate-key.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  failedWith,
  functionQueue,
  type Holder,
  newRun,
  notYet,
  settleOne,
  WORKSPACE,
} from "../testing-kit/fixtures.js";
import { syncApp } from "./apps.js";
import { limitKey } from "./concurrency-keys.js";
import { cancel, expirePatience, retry } from "./control.js";
import { applyFunctionRates, updateFunctionLimits } from "./function-keys.js";
import { violations } from "./invariants.js";
import { grantStranded } from "./keys.js";
import { registerNode } from "./nodes.js";
import { openRateKeys } from "./rate-keys.js";
import { replay } from "./replay.js";
import { expireOverdue, release, rescueDead } from "./rescue.js";

let database: TestDatabase;
let named = 0;
/** A function of this test's own. */
let queueId: number;
beforeAll(async () => {
  database = await testDatabase();
});
beforeEach(async () => {
  await clearJobs(database.db);
  await database.db.script("delete from rotor.keys");
  await database.shiftClock(0);
  queueId = await functionQueue(database.db, `f${++named}`);
});
afterAll(() => database.close());

const done = { kind: "done", output: null } as const;
const sleep = (key: string, ms: number) => notYet([{ kind: "sleep", key, delay_ms: ms }]);

/** Runs with these values of their function's keys, of which so many may be active. */
const runOf = (values: readonly string[], limits: readonly number[], strict?: number) =>
  newRun(
    queueId,
    {},
    { functionKeys: values.map((key, place) => ({ key, limit: limits[place]!, strict: place === strict })) },
  );

/** In the order in which they were made: a claim answers in any. */
const claimed = async (): Promise<string[]> => (await claimAll(database.db, queueId)).map((job) => job.jobId).sort();

/** What each of them waits in line for. */
async function lines(ids: readonly string[]): Promise<(string | null)[]> {
  const { rows } = await database.db.script(
    "select job.id, key.key from rotor.jobs job left join rotor.keys key on key.id = job.blocked_on",
  );
  return ids.map((id) => rows.find((row) => row.id === id).key);
}

const holderOf = (jobId: string, delivery = 1): Holder => ({
  jobId,
  delivery,
  attempt: 1,
  parentId: null,
  kind: "function",
});

async function rateOf(limit: number | null, key: string = ONE_FOR_ALL): Promise<void> {
  const { db } = database;
  await db.script(
    `update rotor.queues set rate_limit = ${limit}, rate_period_ms = ${limit && 60_000}, rate_key = ${limit && `'${key}'`} where id = ${queueId}`,
  );
  await db.transact((t) => applyFunctionRates(t, [queueId]));
}

test("a run needs a turn of both its keys, and what waits for one leaves the other to those behind it", async () => {
  const { db } = database;
  const runs = ["acme", "acme", "other", "third"].map((account) => runOf(["all", account], [2, 1]));
  for (const run of runs) await enqueueAll(db, [run]);
  const ids = runs.map((run) => run.id);
  expect(await lines(ids)).toEqual([null, "1:acme", null, "0:all"]);
  expect(await claimed()).toEqual([ids[0], ids[2]]);
  await settleOne(db, holderOf(ids[2]!), done);
  expect(await claimed()).toEqual([ids[3]]);
  // Its account is free again, and so is the place of all: it needs both.
  await settleOne(db, holderOf(ids[0]!), done);
  expect(await claimed()).toEqual([ids[1]]);
  expect(await violations(db)).toEqual([]);
});

test("a turn that a run cannot use, since its other key is taken, goes to the next at once", async () => {
  const { db } = database;
  const [holder, waits, next] = [
    runOf(["all", "acme"], [2, 1]),
    runOf(["all", "acme"], [1, 1]),
    runOf(["all", "b"], [1, 1]),
  ];
  await enqueueAll(db, [holder]);
  expect(await claimed()).toEqual([holder.id]);
  const other = runOf(["all", "b"], [2, 1]);
  await enqueueAll(db, [other]);
  expect(await claimed()).toEqual([other.id]);
  // Both keys are taken: each waits for the first, of which there is one now.
  await enqueueAll(db, [waits]);
  await enqueueAll(db, [next]);
  expect(await lines([waits.id, next.id])).toEqual(["0:all", "0:all"]);
  await limitOf([2, 1]);
  await settleOne(db, holderOf(other.id), done);
  // The first in line still has its account taken: it waits for that, and the other goes.
  expect(await claimed()).toEqual([]);
  expect(await lines([waits.id, next.id])).toEqual(["1:acme", null]);
  expect(await claimed()).toEqual([next.id]);
});

const limitOf = (limits: readonly number[]) => database.db.transact((t) => updateFunctionLimits(t, queueId, limits));

test("a run of a strict key keeps its turn while it sleeps, and gives up that of its other key", async () => {
  const { db } = database;
  const [first, second, third] = [
    runOf(["all", "acme"], [1, 1], 1),
    runOf(["all", "acme"], [1, 1], 1),
    runOf(["all", "other"], [1, 1], 1),
  ];
  for (const run of [first, second, third]) await enqueueAll(db, [run]);
  expect(await claimed()).toEqual([first.id]);
  await settleOne(db, holderOf(first.id), sleep("nap", 60_000));
  expect(await claimed()).toEqual([third.id]);
  expect(await lines([first.id, second.id])).toEqual([null, "strict:acme"]);
  await database.shiftClock(61_000);
  // Awake, it waits for the other key, and has its own turn all the while.
  expect(await claimed()).toEqual([]);
  expect(await lines([first.id, second.id])).toEqual(["0:all", "strict:acme"]);
  await settleOne(db, holderOf(third.id), done);
  expect(await claimed()).toEqual([first.id]);
  await settleOne(db, holderOf(first.id, 2), done);
  expect(await claimed()).toEqual([second.id]);
});

const ends: Readonly<Record<string, (run: Holder, nodeId: string) => Promise<unknown>>> = {
  "it is done": (run) => settleOne(database.db, run, done),
  "it fails for good": (run) => settleOne(database.db, run, failedWith("no", true)),
  "it fails and waits": (run) => settleOne(database.db, run, failedWith("no")),
  "it sleeps": (run) => settleOne(database.db, run, sleep("nap", 3_600_000)),
  "it is cancelled": ({ jobId }) => cancel(database.db, [jobId]),
  "it is given back": async (run) => {
    await release(database.db, [run]);
    await cancel(database.db, [run.jobId]);
  },
  "its node dies": async ({ jobId }, nodeId) => {
    await registerNode(database.db, nodeId, "dead");
    await database.shiftClock(60_000);
    expect(await rescueDead(database.db)).toBe(1);
    await cancel(database.db, [jobId]);
  },
  "its time is over": async () => {
    await database.shiftClock(13 * 3_600_000);
    expect(await expireOverdue(database.db, () => 0.5)).toBe(1);
  },
};

test.each(Object.entries(ends))("both turns of a run are passed on when %s", async (_, end) => {
  const { db } = database;
  const nodeId = newId();
  const [holder, first, second] = [runOf(["a", "b"], [1, 1]), runOf(["a", "c"], [1, 1]), runOf(["d", "b"], [1, 1])];
  await enqueueAll(db, [holder]);
  const held = await claimOne(db, queueId, holder.id, nodeId);
  await enqueueAll(db, [first, second]);
  expect(await lines([first.id, second.id])).toEqual(["0:a", "1:b"]);
  await end(held, nodeId);
  expect(await claimed()).toEqual([first.id, second.id].sort());
});

test("a strict run that was held for too long fails, and passes its turn on", async () => {
  const { db } = database;
  const [holder, next] = [runOf(["a"], [1], 0), runOf(["a"], [1], 0)];
  await enqueueAll(db, [holder]);
  await settleOne(db, await claimOne(db, queueId, holder.id), sleep("nap", 1_000));
  await enqueueAll(db, [next]);
  await db.script(`update rotor.jobs set held_at = rotor.clock() where id = '${holder.id}'`);
  await database.shiftClock(2_000);
  expect(await claimed()).toEqual([]);
  expect(await expirePatience(db)).toBe(1);
  expect(await claimed()).toEqual([next.id]);
});

test("a run that is retried, or replayed, asks for the turns of its function's keys", async () => {
  const { db } = database;
  const [first, second] = [runOf(["a", "b"], [1, 1]), runOf(["a", "b"], [1, 1])];
  await enqueueAll(db, [first]);
  await settleOne(db, await claimOne(db, queueId, first.id), failedWith("no", true));
  await enqueueAll(db, [second]);
  expect(await claimed()).toEqual([second.id]);
  await retry(db, [first.id]);
  const copy = (await replay(db, first.id, {}))!;
  expect(await claimed()).toEqual([]);
  await settleOne(db, holderOf(second.id), done);
  expect(await claimed()).toEqual([first.id]);
  await settleOne(db, holderOf(first.id, 2), done);
  expect(await claimed()).toEqual([copy]);
});

test("keys of one value in two functions, or in two places, or of the workspace, are not the same", async () => {
  const { db } = database;
  await enqueueAll(db, [runOf(["x", "y"], [1, 1])]);
  const elsewhere = await functionQueue(db, `f${++named}`);
  const others = [runOf(["y", "x"], [1, 1]), { ...runOf(["x", "y"], [1, 1]), queueId: elsewhere }];
  await enqueueAll(db, [...others, newRun(queueId, {}, { concurrencyKey: "0:x" })]);
  expect(await claimed()).toHaveLength(3);
  expect(await claimAll(db, elsewhere)).toHaveLength(1);
});

test("a sync that changes limits reaches the keys that are there, and those only of its function", async () => {
  const { db } = database;
  await limitKey(db, "default", "0:mine", 7);
  const runs = Array.from({ length: 6 }, () => runOf(["a", "b"], [4, 1]));
  await enqueueAll(db, runs);
  expect(await claimed()).toHaveLength(1);
  await limitOf([4, 3]);
  await grantStranded(db, 0);
  expect(await claimed()).toHaveLength(2);
  await limitOf([1]);
  const { rows } = await db.script("select key, concurrency from rotor.keys order by key");
  expect(rows).toEqual([
    { key: "0:a", concurrency: 1 },
    { key: "0:mine", concurrency: 7 },
    { key: "1:b", concurrency: 3 },
  ]);
  // Two of the three that are active may end before another begins.
  for (const run of runs.slice(0, 2)) await settleOne(db, holderOf(run.id), done);
  expect(await claimed()).toEqual([]);
  await settleOne(db, holderOf(runs[2]!.id), done);
  expect(await claimed()).toHaveLength(1);
});

test("a sync brings the keys of its functions up to date, in the order of the manifest's keys, whatever its singleton", async () => {
  const { db } = database;
  const { rows } = await db.script(`select name, url from rotor.queues where id = ${queueId}`);
  await enqueueAll(db, [runOf(["a", "b"], [1, 1]), runOf(["s", "a"], [1, 1], 0)]);
  const synced = await syncApp(
    db,
    WORKSPACE,
    rows[0].url,
    {
      version: PROTOCOL_VERSION,
      app: rows[0].name,
      sdk: "test",
      hash: "2",
      dev: false,
      functions: [
        {
          id: rows[0].name,
          triggers: [],
          max_attempts: 1,
          concurrency: 10,
          singleton: { mode: "wait" },
          keys: [{ key: "data.account", limit: 6 }],
        },
      ],
    },
    false,
  );
  expect(synced.ok).toBe(true);
  const keys = await db.script("select key, concurrency from rotor.keys order by key");
  expect(keys.rows).toEqual([
    { key: "0:a", concurrency: 6 },
    { key: "1:b", concurrency: 1 },
    { key: "strict:s", concurrency: 1 },
  ]);
});

test("a run with another limit brings its key up to date", async () => {
  const { db } = database;
  await enqueueAll(db, [runOf(["a"], [1]), runOf(["a"], [1])]);
  await enqueueAll(db, [runOf(["a"], [3])]);
  await grantStranded(db, 0);
  expect(await claimed()).toHaveLength(3);
});

test("a function's rate counts the runs that begin: no delivery after the first, whatever came between", async () => {
  const { db } = database;
  await rateOf(2);
  const runs = Array.from({ length: 3 }, () => newRun(queueId));
  const ids = runs.map((run) => run.id);
  await enqueueAll(db, runs);
  expect(await claimed()).toEqual([ids[0], ids[1]]);
  expect(await lines(ids)).toEqual([null, null, ONE_FOR_ALL]);
  await settleOne(db, holderOf(ids[0]!), sleep("nap", 1_000));
  await release(db, [holderOf(ids[1]!)]);
  await database.shiftClock(1_500);
  expect(await claimed()).toEqual([ids[0]!, ids[1]!].sort());
  await settleOne(db, holderOf(ids[0]!, 2), failedWith("no", true));
  await retry(db, [ids[0]!]);
  expect(await claimed()).toEqual([ids[0]]);
  await openRateKeys(db);
  expect(await claimed()).toEqual([]);
  await database.shiftClock(64_000);
  await openRateKeys(db);
  expect(await claimed()).toEqual([ids[2]]);
});

test("a replay is a run that begins, and counts", async () => {
  const { db } = database;
  await rateOf(1);
  const run = newRun(queueId);
  await enqueueAll(db, [run]);
  await settleOne(db, await claimOne(db, queueId, run.id), done);
  const copy = (await replay(db, run.id, {}))!;
  expect(await claimed()).toEqual([]);
  expect(await lines([copy])).toEqual([ONE_FOR_ALL]);
  await database.shiftClock(64_000);
  await openRateKeys(db);
  expect(await claimed()).toEqual([copy]);
});

test("a rate with a key is one for each value of the run's event, and does not keep a turn that others could use", async () => {
  const { db } = database;
  await rateOf(1, "data.account");
  const of = (account: string) => ({ ...newRun(queueId, { account }), functionKeys: [{ key: "all", limit: 1 }] });
  const runs = ["acme", "acme", "other"].map(of);
  const ids = runs.map((run) => run.id);
  for (const run of runs) await enqueueAll(db, [run]);
  expect(await claimed()).toEqual([ids[0]]);
  await settleOne(db, holderOf(ids[0]!), done);
  // The second in line is over its account's rate: it waits for that, and the third has the turn.
  expect(await claimed()).toEqual([]);
  expect(await claimed()).toEqual([ids[2]]);
  expect(await lines(ids)).toEqual([null, '"acme"', null]);
});

test("a rate that a sync brings limits the runs that have not begun; one that it takes away lets them go on", async () => {
  const { db } = database;
  const begun = newRun(queueId);
  await enqueueAll(db, [begun]);
  await settleOne(db, await claimOne(db, queueId, begun.id), sleep("nap", 1_000));
  const waiting = Array.from({ length: 3 }, () => newRun(queueId));
  await enqueueAll(db, waiting);
  await rateOf(1);
  await database.shiftClock(2_000);
  expect(await claimed()).toEqual([begun.id, waiting[0]!.id].sort());
  await rateOf(2);
  await openRateKeys(db);
  expect(await claimed()).toEqual([waiting[1]!.id]);
  await rateOf(null);
  await openRateKeys(db);
  expect(await claimed()).toEqual([waiting[2]!.id]);
});
