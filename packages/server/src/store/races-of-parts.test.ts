/** Races for what an event or a signal ends beside a plain wait: parts of waits, signals that come early, whole runs. */
import { afterAll, beforeAll, beforeEach } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  cancelOn,
  checkpointOne,
  clearJobs,
  functionQueue,
  type Holder,
  publishOne,
  readJob,
  readSteps,
  settlement,
  settleOne,
  WORKSPACE,
  waitForAny,
} from "../testing-kit/fixtures.js";
import { mutantDb } from "../testing-kit/mutants.js";
import { inOrder, race, value } from "../testing-kit/races.js";
import { AGAIN } from "./batch.js";
import type { Db } from "./db.js";
import { settle } from "./settle.js";
import { completeSignal } from "./signals.js";

let database: TestDatabase;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  runs = await functionQueue(database.db);
});
beforeEach(() => clearJobs(database.db));
afterAll(() => database.close());

const compete = race.bind(undefined, () => database);

const noLock = (mode: "exclusive" | "shared") => (db: Db) =>
  mutantDb(db, `names.${mode}`, () => "select hashtextextended($1, 0)");
const eventLocks = {
  "no lock on the name by who publishes": noLock("exclusive"),
  "no lock on the name by who waits": noLock("shared"),
};

const PARTS = [
  { name: "came", event: "ping" },
  { name: "told", signal: "go" },
];
const waits = (db: Db, run: Holder) => checkpointOne(db, run, [waitForAny("wait", PARTS)]);
const complete = (db: Db, data: string, bufferForMs?: number) => completeSignal(db, WORKSPACE, "go", data, bufferForMs);
const output = async (db: Db, run: Holder) => JSON.stringify((await readSteps(db, run.jobId)).wait?.output);
const noWatches = async (db: Db): Promise<boolean> =>
  (await db.script("select 1 from rotor.watches")).rows.length === 0;

compete(
  "an event that is published while a part is being stored",
  async (db) => {
    const run = await activeRun(db, runs);
    const [, published] = await inOrder(
      "commit",
      db,
      (each) => waits(each, run),
      (each) => publishOne(each, "ping"),
    );
    return (
      value(published).resumed.length === 1 &&
      (await output(db, run)) === '{"name":"came","data":{}}' &&
      (await noWatches(db))
    );
  },
  eventLocks,
);

compete(
  "a part that is stored while its event is being published",
  async (db) => {
    const run = await activeRun(db, runs);
    const [published] = await inOrder(
      "commit",
      db,
      (each) => publishOne(each, "ping"),
      (each) => waits(each, run),
    );
    return value(published).resumed.length === 0 && (await output(db, run)) === '{"name":"came","data":{}}';
  },
  eventLocks,
);

/** Whatever has ended is ended once more. */
const noGuardOnEnds = (db: Db): Db =>
  mutantDb(db, "resume.end", (text) =>
    text.replace(/and step\.state = 'waiting' and \(\$8.*\)/, "and $8::bool is not null"),
  );

compete(
  "a signal for one part just as an event ends another",
  async (db) => {
    const run = await activeRun(db, runs);
    await waits(db, run);
    const [published, completed] = await inOrder(
      "commit",
      db,
      (each) => publishOne(each, "ping"),
      (each) => complete(each, "1"),
    );
    return (
      value(published).resumed.length === 1 &&
      value(completed).kind === "nobody" &&
      (await output(db, run)) === '{"name":"came","data":{}}'
    );
  },
  { "no guard on what has ended": noGuardOnEnds },
);

compete(
  "an event for one part just as a signal ends another",
  async (db) => {
    const run = await activeRun(db, runs);
    await waits(db, run);
    const [completed, published] = await inOrder(
      "commit",
      db,
      (each) => complete(each, "1"),
      (each) => publishOne(each, "ping"),
    );
    return (
      value(completed).kind === "resumed" &&
      value(published).resumed.length === 0 &&
      (await output(db, run)) === '{"name":"told","data":1}'
    );
  },
  { "no guard on what has ended": noGuardOnEnds },
);

compete(
  "a wait that is stored while its signal is being kept",
  async (db) => {
    const run = await activeRun(db, runs);
    const [completed] = await inOrder(
      "commit",
      db,
      (each) => complete(each, "1", 60_000),
      (each) => waits(each, run),
    );
    return value(completed).kind === "buffered" && (await output(db, run)) === '{"name":"told","data":1}';
  },
  { "no lock on its name": noLock("exclusive") },
);

compete(
  "a signal that is completed while the wait for it is being stored",
  async (db) => {
    const run = await activeRun(db, runs);
    const [, completed] = await inOrder(
      "commit",
      db,
      (each) => waits(each, run),
      (each) => complete(each, "1", 60_000),
    );
    return value(completed).kind === "resumed" && (await output(db, run)) === '{"name":"told","data":1}';
  },
  { "no lock on its name": noLock("exclusive") },
);

compete("a signal that two keep at once", async (db) => {
  const [first, second] = await inOrder(
    "commit",
    db,
    (each) => complete(each, "1", 60_000),
    (each) => complete(each, "2", 60_000),
  );
  const run = await activeRun(db, runs);
  await waits(db, run);
  return (
    value(first).kind === "buffered" &&
    value(second).kind === "kept already" &&
    (await output(db, run)) === '{"name":"told","data":1}'
  );
});

compete("two waits for a signal that was kept for one", async (db) => {
  const [one, two] = [await activeRun(db, runs), await activeRun(db, runs)];
  await complete(db, "1", 60_000);
  await inOrder(
    "commit",
    db,
    (each) => waits(each, one),
    (each) => waits(each, two),
  );
  const [first, second] = [(await readSteps(db, one.jobId)).wait, (await readSteps(db, two.jobId)).wait];
  return first?.state === "completed" && second?.state === "waiting";
});

compete("a run that completes just as an event cancels it", async (db) => {
  const run = await activeRun(db, runs);
  await cancelOn(db, run.jobId, "stop");
  const done = { kind: "done", output: "7" } as const;
  const [published, early] = await inOrder(
    "commit",
    db,
    (each) => publishOne(each, "stop"),
    (each) => settle(each, [settlement(run, done)]),
  );
  // Put off while its row is in other hands; then it is told that it came too late.
  const late = await settleOne(db, run, done);
  return (
    value(published).cancelled.length === 1 &&
    value(early)[0] === AGAIN &&
    late.kind === "stale" &&
    (await readJob(db, run.jobId)).state === "cancelled"
  );
});

compete(
  "an event that cancels a run just as it completes",
  async (db) => {
    const run = await activeRun(db, runs);
    await cancelOn(db, run.jobId, "stop");
    const [settled, published] = await inOrder(
      "commit",
      db,
      (each) => settleOne(each, run, { kind: "done", output: "7" }),
      (each) => publishOne(each, "stop"),
    );
    return (
      value(settled).kind === "settled" &&
      value(published).cancelled.length === 0 &&
      (await readJob(db, run.jobId)).state === "completed" &&
      (await noWatches(db))
    );
  },
  {
    "no guard on the state": (db) =>
      mutantDb(db, "control.cancel", (text) => text.replace(/and \(job\.state in .*\)/, "and $2::bool is not null")),
  },
);
