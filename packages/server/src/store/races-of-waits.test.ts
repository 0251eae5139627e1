/** Races for waits: events, signals and children against checkpoints, claims and time. */
import { afterAll, beforeAll, beforeEach } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  checkpointOne,
  claimAll,
  clearJobs,
  functionQueue,
  notYet,
  publishOne,
  ran,
  readJob,
  readSteps,
  settlement,
  settleOne,
  WORKSPACE,
  waitFor,
} from "../testing-kit/fixtures.js";
import { mutantDb, pausedDb } from "../testing-kit/mutants.js";
import { inOrder, type Race, race, value } from "../testing-kit/races.js";
import { AGAIN } from "./batch.js";
import type { Db } from "./db.js";
import { release } from "./rescue.js";
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

/** The run's wait got the event, once, and the run is due or knows. */
async function ended(db: Db, jobId: string): Promise<boolean> {
  const { wait } = await readSteps(db, jobId);
  const job = await readJob(db, jobId);
  return (
    wait?.state === "completed" && wait.eventId !== null && (job.woken || job.state === "active" || job.dueInMs! <= 0)
  );
}

compete(
  "an event that is published while a wait is being stored",
  async (db) => {
    const run = await activeRun(db, runs);
    const [, published] = await inOrder(
      "commit",
      db,
      (each) => checkpointOne(each, run, [waitFor("wait", "ping")]),
      (each) => publishOne(each, "ping"),
    );
    return value(published).resumed.length === 1 && (await ended(db, run.jobId));
  },
  { "no lock on the name by who publishes": noLock("exclusive"), "no lock on the name by who waits": noLock("shared") },
);

compete(
  "a wait that is stored while its event is being published",
  async (db) => {
    const run = await activeRun(db, runs);
    const [published] = await inOrder(
      "commit",
      db,
      (each) => publishOne(each, "ping"),
      (each) => checkpointOne(each, run, [waitFor("wait", "ping")]),
    );
    return value(published).resumed.length === 0 && (await ended(db, run.jobId));
  },
  { "no lock on the name by who publishes": noLock("exclusive"), "no lock on the name by who waits": noLock("shared") },
);

compete(
  "an event for a run that is just being claimed",
  async (db) => {
    const first = await activeRun(db, runs);
    await checkpointOne(db, first, [waitFor("wait", "ping"), waitFor("other", "pong")]);
    await release(db, [first]);
    await inOrder(
      { after: "claim.take" },
      db,
      (each) => claimAll(each, runs),
      (each) => publishOne(each, "ping"),
    );
    // The claim came first: its delivery was begun without the event, so its "not yet" must not put the run to sleep.
    const holder = { ...first, delivery: 2 };
    const settled = await settleOne(db, holder, notYet());
    return settled.kind === "settled" && settled.next === 3 && (await ended(db, first.jobId));
  },
  {
    "no mark for who holds the run": (db) =>
      mutantDb(db, "resume.wake", (text) => text.replace("woken = state = 'active'", "woken = false")),
  },
);

compete("a claim of a run whose event is just being published", async (db) => {
  const first = await activeRun(db, runs);
  await checkpointOne(db, first, [waitFor("wait", "ping")]);
  await release(db, [first]);
  const [, claimed] = await inOrder(
    "commit",
    db,
    (each) => publishOne(each, "ping"),
    (each) => claimAll(each, runs),
  );
  const later = await claimAll(db, runs);
  return value(claimed).length === 0 && later.length === 1 && (await ended(db, first.jobId));
});

/** An event that comes just as the wait's time is over. */
const eventAgainstTime =
  (first: "event" | "time"): Race =>
  async (db) => {
    const holder = await activeRun(db, runs);
    await checkpointOne(db, holder, [waitFor("wait", "ping", { timeout_ms: 60_000 })]);
    await settleOne(db, holder, notYet());
    const publishing = (each: Db) => publishOne(each, "ping", { came: true });
    try {
      if (first === "event") {
        const paused = pausedDb(db, "commit");
        const published = publishing(paused.db);
        await paused.reached;
        await database.shiftClock(61_000);
        const claimed = await claimAll(db, runs);
        paused.go();
        await published;
        const later = await claimAll(db, runs);
        const { wait } = await readSteps(db, holder.jobId);
        return claimed.length === 0 && later.length === 1 && JSON.stringify(wait?.output) === '{"came":true}';
      }
      await database.shiftClock(61_000);
      const [claimed, published] = await inOrder(
        { after: "resume.end-due" },
        db,
        (each) => claimAll(each, runs),
        publishing,
      );
      const { wait } = await readSteps(db, holder.jobId);
      return (
        value(claimed).length === 1 &&
        value(published).resumed.length === 0 &&
        wait?.output === null &&
        wait.eventId === null
      );
    } finally {
      await database.shiftClock(0);
    }
  };

/** Whatever has ended is ended once more. The parameter stays, so that its type is known. */
const noGuardOnEnds = (db: Db): Db =>
  mutantDb(db, "resume.end", (text) =>
    text.replace(/and step\.state = 'waiting' and \(\$8.*\)/, "and $8::bool is not null"),
  );

compete("an event before the time of its wait", eventAgainstTime("event"));
compete("an event after the time of its wait", eventAgainstTime("time"), {
  "no guard on what has ended": (db) => noGuardOnEnds(db),
});

compete(
  "a signal that is completed twice at once",
  async (db) => {
    const holder = await activeRun(db, runs);
    await checkpointOne(db, holder, [{ kind: "signal", key: "wait", signal: "go", timeout_ms: 60_000 }]);
    const [first, second] = await inOrder(
      "commit",
      db,
      (each) => completeSignal(each, WORKSPACE, "go", "1"),
      (each) => completeSignal(each, WORKSPACE, "go", "2"),
    );
    const { wait } = await readSteps(db, holder.jobId);
    return value(first).kind === "resumed" && value(second).kind === "nobody" && wait?.output === 1;
  },
  { "no lock on its name, and no guard on what has ended": (db) => noGuardOnEnds(noLock("exclusive")(db)) },
);

compete("two runs that wait for one signal at once", async (db) => {
  const [one, two] = [await activeRun(db, runs), await activeRun(db, runs)];
  const report = { kind: "signal" as const, key: "wait", signal: "go", timeout_ms: 60_000 };
  await inOrder(
    "commit",
    db,
    (each) => checkpointOne(each, one, [report]),
    (each) => checkpointOne(each, two, [report]),
  );
  const [first, second] = [(await readSteps(db, one.jobId)).wait, (await readSteps(db, two.jobId)).wait];
  return first?.state === "waiting" && second?.state === "failed" && second.error?.name === "SignalTakenError";
});

compete(
  "an event that the app is told of in a reply that is lost",
  async (db) => {
    const holder = await activeRun(db, runs);
    await checkpointOne(db, holder, [waitFor("wait", "ping"), waitFor("other", "pong")]);
    await publishOne(db, "ping");
    // A sign of life: its reply, with the end of the wait, never arrives.
    await checkpointOne(db, holder, []);
    const { steps } = await checkpointOne(db, holder, [ran("step")], 0);
    const settled = await settleOne(db, holder, notYet());
    return (
      steps.some((step) => step.key === "wait" && step.state === "completed") &&
      settled.kind === "settled" &&
      settled.next === 2
    );
  },
  {
    "the mark taken away at once": (db) =>
      mutantDb(db, "checkpoint.renew", (text) =>
        text.replace("(job.woken or item.ended) and exists", "false and exists"),
      ),
  },
);

compete("a mark is taken away once the app knows", async (db) => {
  const holder = await activeRun(db, runs);
  await checkpointOne(db, holder, [waitFor("wait", "ping"), waitFor("other", "pong")]);
  await publishOne(db, "ping");
  const { steps } = await checkpointOne(db, holder, []);
  const seq = steps.find((step) => step.key === "wait")!.seq!;
  await checkpointOne(db, holder, [ran("step")], seq);
  return !(await readJob(db, holder.jobId)).woken;
});

compete("a child that ends while its parent checkpoints", async (db) => {
  const parent = await activeRun(db, runs);
  const invoke = { kind: "invoke" as const, key: "wait", function: "function", data: null, timeout_ms: 60_000 };
  const paused = pausedDb(db, "commit");
  const stored = checkpointOne(paused.db, parent, [invoke]);
  await paused.reached;
  // Nobody can take a child of which its parent does not know yet.
  if ((await claimAll(db, runs)).length > 0) return false;
  paused.go();
  await stored;
  const [taken] = await claimAll(db, runs);
  const child = { ...parent, ...taken!, attempt: 1, parentId: parent.jobId };
  const [, early] = await inOrder(
    "commit",
    db,
    (each) => checkpointOne(each, parent, [ran("step")]),
    (each) => settle(each, [settlement(child, { kind: "done", output: "7" })]),
  );
  const settled = await settleOne(db, child, { kind: "done", output: "7" });
  const { wait } = await readSteps(db, parent.jobId);
  const told = JSON.stringify(wait?.output) === JSON.stringify({ result: 7, runId: child.jobId });
  return value(early)[0] === AGAIN && settled.kind === "settled" && told && (await readJob(db, parent.jobId)).woken;
});

compete(
  "an event that comes while its wait is ended by time",
  async (db) => {
    await database.shiftClock(0);
    const run = await activeRun(db, runs);
    await checkpointOne(db, run, [waitFor("wait", "ping", { timeout_ms: 1_000 })]);
    await settleOne(db, run, notYet());
    const [published] = await inOrder(
      { after: "event-ends.by-keys" },
      db,
      (each) => publishOne(each, "ping"),
      async (each) => {
        await database.shiftClock(2_000);
        await claimAll(each, runs);
      },
    );
    // Whichever of them it was: the event did not come before the end that passed it over.
    const { rows } = await database.db.script(
      `select bool_and(event.received_at >= step.ended_at) as fair from rotor.events event, rotor.steps step where step.job_id = '${run.jobId}'`,
    );
    await database.shiftClock(0);
    return value(published).resumed.length === 0 && rows[0].fair === true;
  },
  {
    "no time that is read under the locks": (db) =>
      mutantDb(db, "event-ends.receive", (text) =>
        text.replace("received_at = clock.now", "received_at = received_at"),
      ),
  },
);
