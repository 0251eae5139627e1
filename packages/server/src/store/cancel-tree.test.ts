/** A cancel that goes down to children: which ones it ends, and that none slips by. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  callbackQueue,
  checkpointOne,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  functionQueue,
  type Holder,
  newRun,
  notYet,
  readJob,
  settleOne,
} from "../testing-kit/fixtures.js";
import { inOrder, race, value } from "../testing-kit/races.js";
import { cancelBelow } from "./cancel-tree.js";
import { cancel } from "./control.js";
import type { Db } from "./db.js";
import { violations } from "./invariants.js";

const HOUR = 3_600_000;

let database: TestDatabase;
let db: Db;
let tops: number;
let middles: number;
let leaves: number;
beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  [tops, middles, leaves] = [
    await functionQueue(db, "top"),
    await functionQueue(db, "middle"),
    await functionQueue(db, "leaf"),
  ];
  await callbackQueue(db, "mails");
});
beforeEach(() => clearJobs(db));
afterAll(async () => {
  expect(await violations(db)).toEqual([]);
  await database.close();
});

const invoke = (key: string, name: string) =>
  ({ kind: "invoke", key, function: name, data: null, timeout_ms: HOUR }) as const;
const hand = (key: string, wait: boolean) =>
  ({ kind: "enqueue", key, queue: "mails", payload: null, options: {}, wait }) as const;

/** Starts children of a run in hand, and answers their ids by the key of their step. */
async function start(run: Holder, ...reports: Parameters<typeof checkpointOne>[2]): Promise<Record<string, string>> {
  await checkpointOne(db, run, reports);
  const { rows } = await db.script(
    `select key, coalesce(wait ->> 'job', output::json ->> 'id') as id from rotor.steps where job_id = '${run.jobId}'`,
  );
  return Object.fromEntries(rows.map((row) => [row.key, row.id]));
}

const statesOf = async (ids: readonly (string | undefined)[]): Promise<string[]> =>
  Promise.all(ids.map(async (id) => (await readJob(db, id!)).state));

test("it ends all that is waited for, down to the last level, and what is active too", async () => {
  const top = await activeRun(db, tops);
  const children = await start(top, invoke("a", "middle"), invoke("b", "middle"), hand("mail", true));
  await settleOne(db, top, notYet());
  const middle = await claimOne(db, middles, children.a!);
  const { leaf } = await start(middle, invoke("leaf", "leaf"));
  await claimAll(db, leaves);
  await cancel(db, [top.jobId]);
  expect(await cancelBelow(db, [top.jobId])).toEqual({ cancelled: 4, more: false });
  expect(await statesOf([children.a, children.b, children.mail, leaf])).toEqual(Array(4).fill("cancelled"));
  expect((await checkpointOne(db, middle, [])).verdict).toBe("cancelled");
});

test("what is not waited for, has ended, or was started by another goes on", async () => {
  const top = await activeRun(db, tops);
  const other = await activeRun(db, tops);
  const mine = await start(top, hand("forgotten", false), invoke("done", "middle"), invoke("shared", "middle"));
  await settleOne(db, top, notYet());
  await settleOne(
    db,
    { ...(await claimOne(db, middles, mine.done!)), parentId: top.jobId },
    { kind: "done", output: "1" },
  );
  await db.script(`update rotor.jobs set parent_id = '${other.jobId}' where id = '${mine.shared}'`);
  await cancel(db, [top.jobId]);
  expect(await cancelBelow(db, [top.jobId])).toEqual({ cancelled: 0, more: false });
  expect(await statesOf([mine.forgotten, mine.done, mine.shared])).toEqual(["waiting", "completed", "active"]);
  await cancel(db, [mine.shared!]);
});

test("an ask that was cut off goes on where it is asked again", async () => {
  const top = await activeRun(db, tops);
  const { a } = await start(top, invoke("a", "middle"));
  const { leaf } = await start(await claimOne(db, middles, a!), invoke("leaf", "leaf"));
  await cancel(db, [top.jobId]);
  await cancel(db, [a!]);
  expect(await cancelBelow(db, [top.jobId])).toEqual({ cancelled: 1, more: false });
  expect(await statesOf([leaf])).toEqual(["cancelled"]);
  expect(await cancelBelow(db, [top.jobId])).toEqual({ cancelled: 0, more: false });
});

test("a run that was not cancelled keeps its children", async () => {
  const top = await activeRun(db, tops);
  const { a } = await start(top, invoke("a", "middle"));
  expect(await cancelBelow(db, [top.jobId])).toEqual({ cancelled: 0, more: false });
  expect(await statesOf([a])).toEqual(["waiting"]);
});

const compete = race.bind(undefined, () => database);

compete("a child that starts a child meets the cancel of both", async (each) => {
  const top = await activeRun(db, tops);
  const { a } = await start(top, invoke("a", "middle"));
  const middle = await claimOne(db, middles, a!);
  await cancel(db, [top.jobId]);
  // The child's step is being stored, with its own child, while the cancel comes to it.
  const [, cancelled] = await inOrder(
    "commit",
    each,
    (first) => checkpointOne(first, middle, [invoke("leaf", "leaf")]),
    (second) => cancelBelow(second, [top.jobId]),
  );
  const { rows } = await db.script(
    `select count(*)::int as count from rotor.jobs where due_at is not null and queue_id in (${middles}, ${leaves})`,
  );
  return value(cancelled).cancelled === 2 && rows[0].count === 0;
});

compete("a child that ends meets the cancel of its parent", async (each) => {
  const run = newRun(tops);
  await enqueueAll(db, [run]);
  const top = await claimOne(db, tops, run.id);
  const { a } = await start(top, invoke("a", "middle"));
  const middle = await claimOne(db, middles, a!);
  await settleOne(db, top, notYet());
  const [done, cancelled] = await inOrder(
    "commit",
    each,
    (first) => settleOne(first, { ...middle, parentId: run.id }, { kind: "done", output: "1" }),
    async (second) => {
      await cancel(second, [run.id]);
      return cancelBelow(second, [run.id]);
    },
  );
  return (
    value(done).kind === "settled" &&
    value(cancelled).cancelled === 0 &&
    (await statesOf([run.id, a])).join() === "cancelled,completed"
  );
});
