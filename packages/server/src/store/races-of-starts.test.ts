/** Races of starts: two at once for one value of a singleton or of a gathering. What a race is: testing-kit/races.ts. */
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  checkpointOne,
  claimAll,
  claimOne,
  clearJobs,
  functionQueue,
  type Holder,
  newRun,
  publishOne,
  readSteps,
  settleOne,
  WORKSPACE,
} from "../testing-kit/fixtures.js";
import { mutantDb } from "../testing-kit/mutants.js";
import { inOrder, race, value } from "../testing-kit/races.js";
import type { Db } from "./db.js";
import { startIn } from "./start.js";

const ONCE = { idempotency_key: "data.of" };

let database: TestDatabase;
const queues = new Map<string, number>();
beforeAll(async () => {
  database = await testDatabase();
  const { db } = database;
  const triggers = [{ event: "a" }, { event: "b" }];
  for (const [name, starting] of [
    ["skip", { singleton: { mode: "skip" } }],
    ["cancel", { singleton: { mode: "cancel" } }],
    ["batch", { batch: { size: 2, timeout_ms: 60_000 } }],
    ["debounce", { debounce: { period_ms: 60_000 } }],
    ["once", ONCE],
    ["parents", {}],
  ] as const) {
    const own = triggers.map(({ event }) => ({ event: `${name}.${event}` }));
    queues.set(name, await functionQueue(db, name, { triggers: own, starting }));
  }
});
beforeEach(() => clearJobs(database.db));
afterAll(() => database.close());

const compete = race.bind(undefined, () => database);

/** Two connections that notice each other only by rows. */
const unlocked = (db: Db): Db => mutantDb(db, "names.exclusive", () => "select $1::text");

const unfinished = async (db: Db, name: string): Promise<string[]> =>
  (
    await db.script(
      `select id from rotor.jobs where queue_id = ${queues.get(name)} and state not in ('completed', 'failed', 'cancelled') order by id`,
    )
  ).rows.map((row) => row.id);

const start = async (db: Db, name: "skip" | "cancel") => {
  const queueId = queues.get(name)!;
  const to = { queueId, workspace: WORKSPACE, starting: { singleton: { mode: name } } };
  return (await db.transact((t) => startIn(t, db.schema, [{ to, job: newRun(queueId) }])))[0]!;
};

compete(
  "two events for a singleton that skips",
  async (db) => {
    const [first, second] = await inOrder(
      "commit",
      db,
      (each) => publishOne(each, "skip.a"),
      (each) => publishOne(each, "skip.b"),
    );
    const open = await unfinished(db, "skip");
    return open.length === 1 && value(first).runs[0]?.id === open[0] && value(second).runs.length === 0;
  },
  { "no lock on the value": unlocked },
);

compete(
  "an event and a start for a singleton that skips",
  async (db) => {
    const [first, second] = await inOrder(
      { after: "singles.holders" },
      db,
      (each) => start(each, "skip"),
      (each) => publishOne(each, "skip.b"),
    );
    return (
      value(first).kind === "started" && value(second).runs.length === 0 && (await unfinished(db, "skip")).length === 1
    );
  },
  { "no lock on the value": unlocked },
);

compete(
  "two starts for a singleton that cancels, while its run is active",
  async (db) => {
    const { id } = (await start(db, "cancel")) as { id: string };
    await claimAll(db, queues.get("cancel")!, newId());
    const [, second] = await inOrder(
      { after: "singles.holders" },
      db,
      (each) => publishOne(each, "cancel.a"),
      (each) => start(each, "cancel"),
    );
    const open = await unfinished(db, "cancel");
    return open.length === 1 && open[0] !== id && (value(second) as { id: string }).id === open[0];
  },
  { "no lock on the value": unlocked },
);

compete(
  "two events for a batch of two",
  async (db) => {
    await inOrder(
      { after: "gather.open" },
      db,
      (each) => publishOne(each, "batch.a"),
      (each) => publishOne(each, "batch.b"),
    );
    const { rows } = await db.script("select count(*)::int as count from rotor.batched");
    return (await unfinished(db, "batch")).length === 1 && rows[0].count === 1;
  },
  { "no lock on the value": unlocked },
);

compete(
  "a second event for a debounce, and the claim of its run",
  async (db) => {
    await publishOne(db, "debounce.a");
    // Due in the middle of the second event's transaction: it has found the run and not locked it yet.
    await database.shiftClock(120_000);
    const [second, claimed] = await inOrder(
      { after: "gather.runs" },
      db,
      (each) => publishOne(each, "debounce.b"),
      (each) => claimAll(each, queues.get("debounce")!),
    );
    await database.shiftClock(0);
    const open = await unfinished(db, "debounce");
    return value(claimed).length === 1 && open.length === 2 && value(second).runs[0]!.id !== value(claimed)[0]!.jobId;
  },
  {
    "no look whether it has begun": (db) =>
      mutantDb(db, "gather.open", (text) =>
        text
          .replace("and job.state = 'waiting' and job.delivery = 0 and job.held_at is null", "")
          .replace("and job.due_at > rotor.clock()", ""),
      ),
  },
);

compete("a hundred events at once for batches of two", async (db) => {
  await Promise.all(Array.from({ length: 100 }, (_, n) => publishOne(db, n % 2 === 0 ? "batch.a" : "batch.b")));
  const { rows } = await db.script(
    "select count(*)::int as count, count(distinct job_id)::int as runs from rotor.batched",
  );
  return rows[0].count === 50 && rows[0].runs === 50 && (await unfinished(db, "batch")).length === 50;
});

compete("forty runs that are found by an invoke, and end just then", async (db) => {
  const shared = queues.get("once")!;
  const to = { queueId: shared, workspace: WORKSPACE, starting: ONCE };
  const children: Holder[] = [];
  const parents: Holder[] = [];
  for (let of = 0; of < 40; of++) {
    const [child] = await db.transact((t) => startIn(t, db.schema, [{ to, job: newRun(shared, { of }) }]));
    children.push(await claimOne(db, shared, (child as { id: string }).id));
    parents.push(await activeRun(db, queues.get("parents")!));
  }
  const invoke = (of: number) => ({
    kind: "invoke" as const,
    key: "child",
    function: "once",
    data: { of },
    timeout_ms: 60_000,
  });
  await Promise.all([
    ...parents.map((parent, of) => checkpointOne(db, parent, [invoke(of)])),
    ...children.map((child) => settleOne(db, child, { kind: "done", output: "1" }, { shared: true })),
  ]);
  const steps = await Promise.all(parents.map((parent) => readSteps(db, parent.jobId)));
  expect(steps.map(({ child }) => [child!.state, child!.output])).toEqual(
    children.map(({ jobId }) => ["completed", { result: 1, runId: jobId }]),
  );
  return true;
});
