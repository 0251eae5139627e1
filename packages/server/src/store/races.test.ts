/**
 * Two real transactions that meet, brought into each order by stopping one of them: no sleeps, no luck. A race is a
 * function that answers whether all went well; it is true of the store, and false of the store with one statement changed.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  callbackQueue,
  checkpointOnce,
  checkpointOne,
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
  readSteps,
  settlement,
  settleOne,
  WORKSPACE,
  waitFor,
} from "../testing-kit/fixtures.js";
import {
  endedOrBlocked,
  lostReplyDb,
  mutantDb,
  NoMutantError,
  pausedDb,
  untilBlocked,
} from "../testing-kit/mutants.js";
import { AGAIN } from "./batch.js";
import { cancel } from "./control.js";
import type { Db } from "./db.js";
import { violations } from "./invariants.js";
import { registerNode } from "./nodes.js";
import { heldBy, release, rescueDead } from "./rescue.js";
import { tick } from "./schedules.js";
import { settle } from "./settle.js";
import { completeSignal } from "./signals.js";

let database: TestDatabase;
/** A callback queue with a concurrency of 10. */
let ten: number;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  ten = (await callbackQueue(database.db, "ten", { concurrency: 10 })).id;
  runs = await functionQueue(database.db);
});
beforeEach(() => clearJobs(database.db));
afterAll(() => database.close());

/** Lets `first` come to its stop, then starts `second`; lets `first` go on once `second` has ended or waits for it. */
async function inOrder<A, B>(
  stop: Parameters<typeof pausedDb>[1],
  db: Db,
  first: (db: Db) => Promise<A>,
  second: (db: Db) => Promise<B>,
): Promise<[PromiseSettledResult<A>, PromiseSettledResult<B>]> {
  const paused = pausedDb(db, stop);
  const one = first(paused.db);
  const pid = await Promise.race([
    paused.reached,
    one.then(() => Promise.reject(new Error("It never came to its stop."))),
  ]);
  const two = second(db);
  const settled = Promise.allSettled([one, two]);
  await endedOrBlocked(database.db, pid, two);
  paused.go();
  return settled;
}

const value = <T>(result: PromiseSettledResult<T>): T => {
  if (result.status === "rejected") throw result.reason;
  return result.value;
};

type Race = (db: Db) => Promise<boolean>;

/** A race that the store wins; that it can be lost is shown by the mutants, each a change of one statement or more. */
function race(name: string, run: Race, mutants: Readonly<Record<string, (db: Db) => Db>> = {}): void {
  describe(name, () => {
    test("holds", async () => {
      expect(await run(database.db)).toBe(true);
      expect(await violations(database.db)).toEqual([]);
    });
    for (const [change, mutate] of Object.entries(mutants)) {
      test(`would be lost with ${change}`, async () => {
        expect(await run(mutate(database.db)).catch(lost)).toBe(false);
      });
    }
  });
}

/** An error loses the race, unless the mutant itself is wrong: no mutant at all, or no SQL. */
function lost(error: Error & { code?: string }): false {
  if (error instanceof NoMutantError || error.code?.startsWith("42")) throw error;
  return false;
}

const without = (db: Db, name: string, part: string): Db => mutantDb(db, name, (text) => text.replace(part, ""));

race(
  "two claimers, and a limit of 10",
  async (db) => {
    await enqueueAll(
      db,
      Array.from({ length: 40 }, () => newJob(ten)),
    );
    await inOrder(
      { after: "claim.take" },
      db,
      (each) => claimAll(each, ten),
      (each) => claimAll(each, ten),
    );
    await Promise.all(Array.from({ length: 8 }, () => claimAll(db, ten)));
    const { rows } = await db.script("select count(*)::int as count from rotor.jobs where state = 'active'");
    return rows[0].count === 10;
  },
  { "no lock on the queue": (db) => without(db, "claim.lock", "for no key update skip locked") },
);

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

race(
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

race(
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

race(
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

race("a claim of a run whose event is just being published", async (db) => {
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

const sameKey = async (db: Db, count: number): Promise<boolean> => {
  const [first, ...others] = await Promise.all(
    Array.from({ length: count }, () => enqueueAll(db, [newJob(ten, { key: "same" })])),
  );
  const ids = new Set([first!, ...others].map((answers) => answers[0]!.id));
  const made = [first!, ...others].filter((answers) => !answers[0]!.duplicate);
  const { rows } = await db.script("select count(*)::int as count from rotor.jobs");
  return ids.size === 1 && made.length === 1 && rows[0].count === 1;
};

const forgetful = (db: Db): Db => mutantDb(db, "enqueue.known", (text) => `${text} where false`);

race(
  "two racers for one key",
  async (db) => {
    const [first, second] = await inOrder(
      "commit",
      db,
      (each) => enqueueAll(each, [newJob(ten, { key: "same" })]),
      (each) => enqueueAll(each, [newJob(ten, { key: "same" })]),
    );
    const [a, b] = [value(first)[0]!, value(second)[0]!];
    return !a.duplicate && b.duplicate && a.id === b.id;
  },
  { "no second look": forgetful },
);
race("a hundred racers for one key", (db) => sameKey(db, 100), { "no second look": forgetful });

race(
  "two batches with the same keys in opposite orders",
  async (db) => {
    const batch = (each: Db, keys: readonly string[]) =>
      enqueueAll(
        each,
        keys.map((key) => newJob(ten, { key })),
      );
    // A third has the key in the middle, until both are on their way.
    const paused = pausedDb(db, "commit");
    const third = batch(paused.db, ["b"]);
    await paused.reached;
    const one = batch(db, ["a", "b", "c"]);
    await untilBlocked(database.db, 1);
    const two = batch(db, ["c", "b", "a"]);
    await untilBlocked(database.db, 2);
    paused.go();
    const answers = (await Promise.allSettled([one, two, third])).flatMap(value);
    return answers.filter((answer) => !answer.duplicate).length === 3;
  },
  { "the order of the caller": (db) => without(db, "enqueue.insert", "order by item.queue_id, item.key") },
);

race(
  "a claim whose commit got no reply",
  async (db) => {
    const nodeId = newId();
    const job = newJob(ten);
    await enqueueAll(db, [job]);
    await expect(claimAll(lostReplyDb(db), ten, nodeId)).rejects.toThrow("terminated");
    const held = await heldBy(db, nodeId);
    if (held.length !== 1) return false;
    await release(db, held);
    const back = await readJob(db, job.id);
    const again = await claimOne(db, ten, job.id, nodeId);
    return back.state === "waiting" && back.attempt === 0 && again.attempt === 1 && again.delivery === 2;
  },
  {
    "the attempt kept": (db) =>
      mutantDb(db, "rescue.release", (text) => text.replace("greatest(job.attempt - 1, 0)", "job.attempt")),
    "nothing to compare with": (db) => mutantDb(db, "rescue.mine", (text) => `${text} and false`),
  },
);

/** What is finished or further on is not written over. */
const guard =
  "where step.state = 'waiting' and step.kind = 'run' and excluded.kind = 'run' and step.attempt < excluded.attempt";

race(
  "a checkpoint that is sent twice",
  async (db) => {
    const run = await activeRun(db, runs);
    const [, second] = await inOrder(
      "commit",
      db,
      (each) => checkpointOne(each, run, [ran("step", "first")]),
      (each) => checkpointOnce(each, run, [ran("step", "second")]),
    );
    const { step: before } = await readSteps(db, run.jobId);
    const repeated = await checkpointOne(db, run, [ran("step", "second")]);
    const { step: after } = await readSteps(db, run.jobId);
    return (
      value(second) === AGAIN &&
      after?.output === "first" &&
      after.seq === before?.seq &&
      repeated.steps[0]?.seq === Number(after.seq)
    );
  },
  { "no guard on what is finished": (db) => without(db, "record.write", guard) },
);

race(
  "reports of attempts that arrive late and out of order",
  async (db) => {
    const run = await activeRun(db, runs);
    const retry = (attempt: number) => ({
      kind: "run" as const,
      key: "step",
      attempt,
      duration_ms: 1,
      outcome: "retry" as const,
      error: { name: "Error", message: `${attempt}` },
      delay_ms: 1_000,
    });
    const attempts: (number | undefined)[] = [];
    for (const report of [retry(2), retry(1), ran("step", "third", 3), retry(4)]) {
      await checkpointOne(db, run, [report]);
      attempts.push((await readSteps(db, run.jobId)).step?.attempt);
    }
    const { step } = await readSteps(db, run.jobId);
    return attempts.join() === "2,2,3,3" && step?.output === "third";
  },
  {
    "no guard on what is finished": (db) => without(db, "record.write", guard),
    "no comparison of attempts": (db) => without(db, "record.write", " and step.attempt < excluded.attempt"),
  },
);

/** The lock under which the fence is tested first, and the fence in the write itself: one of them is enough. */
const noFirstFence = (db: Db): Db => without(db, "checkpoint.lock", "for no key update skip locked");
const noSecondFence = (db: Db): Db =>
  without(db, "settle.move", "and job.delivery = item.delivery and (job.state || '') = 'active'");

/** A node that is taken for dead settles, while its job is rescued and given to another: one of the two has it. */
const settleAgainstRescue: Race = async (db) => {
  const [dead, other] = [newId(), newId()];
  await registerNode(db, dead, "dead");
  const job = newJob(ten);
  await enqueueAll(db, [job]);
  const holder = await claimOne(db, ten, job.id, dead);
  await database.shiftClock(6_000);
  try {
    const [late, taken] = await inOrder(
      { after: "checkpoint.lock" },
      db,
      (each) => settleOne(each, holder, { kind: "done", output: "late" }),
      async (each) => {
        await rescueDead(each);
        return claimAll(each, ten, other);
      },
    );
    const now = await readJob(db, job.id);
    return value(late).kind === "settled"
      ? now.state === "completed" && value(taken).length === 0
      : now.state === "active" && now.delivery === 2 && now.nodeId === other;
  } finally {
    await database.shiftClock(0);
  }
};

race("a settle against a rescue", settleAgainstRescue, { "neither fence": (db) => noFirstFence(noSecondFence(db)) });

test.each([
  ["first", noFirstFence],
  ["second", noSecondFence],
])("a settle against a rescue holds without its %s fence too", async (_, mutate) => {
  expect(await settleAgainstRescue(mutate(database.db))).toBe(true);
});

race(
  "whatever is settled after a rescue",
  async (db) => {
    const [dead, other] = [newId(), newId()];
    await registerNode(db, dead, "dead");
    const holder = await activeRun(db, runs, {}, dead);
    await database.shiftClock(6_000);
    await rescueDead(db);
    await claimAll(db, runs, other);
    await database.shiftClock(0);
    const before = await db.script("select to_jsonb(row)::text as text from rotor.jobs row");
    const ends = [
      { kind: "done", output: "1" } as const,
      failedWith("no"),
      notYet([ran("step")]),
      { kind: "released" } as const,
    ];
    const settled = await Promise.all(ends.map((end) => settleOne(db, holder, end)));
    const after = await db.script("select to_jsonb(row)::text as text from rotor.jobs row");
    return settled.every((each) => each.kind === "stale") && before.rows[0].text === after.rows[0].text;
  },
  {
    "neither fence": (db) =>
      noSecondFence(
        mutantDb(db, "checkpoint.lock", (text) =>
          text.replace("delivery,", "1 as delivery,").replace("state,", "'active' as state,"),
        ),
      ),
  },
);

race("a late answer of a run that was cancelled is told that it is late", async (db) => {
  const holder = await activeRun(db, runs);
  await cancel(db, [holder.jobId]);
  const settled = await Promise.all(
    [notYet(), notYet([ran("step")]), { kind: "done", output: "1" } as const].map((end) => settleOne(db, holder, end)),
  );
  return settled.every((each) => each.kind === "stale") && Object.keys(await readSteps(db, holder.jobId)).length === 0;
});

race("a late delivery publishes nothing", async (db) => {
  const holder = await activeRun(db, runs);
  await cancel(db, [holder.jobId]);
  const report = { kind: "send" as const, key: "send", events: [{ name: "late", data: null }] };
  await checkpointOne(db, holder, [report]);
  await settleOne(db, holder, notYet([report]));
  return (await db.script("select 1 from rotor.events")).rows.length === 0;
});

race(
  "a settle whose commit got no reply",
  async (db) => {
    const job = newJob(ten);
    await enqueueAll(db, [job]);
    const holder = await claimOne(db, ten, job.id);
    const item = settlement(holder, { kind: "done", output: "1" });
    await expect(settle(lostReplyDb(db), [item])).rejects.toThrow("terminated");
    const [repeated] = await settle(db, [item]);
    return repeated !== AGAIN && repeated?.kind === "settled" && repeated.outcome === "completed";
  },
  { "no look at the log": (db) => mutantDb(db, "settle.before", (text) => `${text} where false`) },
);

race('a "not yet" that went on, and whose commit got no reply', async (db) => {
  const nodeId = newId();
  const holder = await activeRun(db, runs, {}, nodeId);
  const item = settlement(holder, notYet([ran("step")]));
  await expect(settle(lostReplyDb(db), [item])).rejects.toThrow("terminated");
  const [repeated] = await settle(db, [item]);
  // The second delivery is in nobody's memory: it is found, and given back.
  const held = await heldBy(db, nodeId);
  await release(db, held);
  const job = await readJob(db, holder.jobId);
  return (
    repeated !== AGAIN &&
    repeated?.kind === "settled" &&
    repeated.next === null &&
    held[0]?.delivery === 2 &&
    job.state === "waiting"
  );
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

race("an event before the time of its wait", eventAgainstTime("event"));
race("an event after the time of its wait", eventAgainstTime("time"), {
  "no guard on what has ended": (db) => noGuardOnEnds(db),
});

race(
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
    return value(first) === holder.jobId && value(second) === undefined && wait?.output === 1;
  },
  { "no guard on what has ended": (db) => noGuardOnEnds(db) },
);

race("two runs that wait for one signal at once", async (db) => {
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

race(
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
      mutantDb(db, "checkpoint.renew", (text) => text.replace("job.woken and exists", "false and exists")),
  },
);

race("a mark is taken away once the app knows", async (db) => {
  const holder = await activeRun(db, runs);
  await checkpointOne(db, holder, [waitFor("wait", "ping"), waitFor("other", "pong")]);
  await publishOne(db, "ping");
  const { steps } = await checkpointOne(db, holder, []);
  const seq = steps.find((step) => step.key === "wait")!.seq!;
  await checkpointOne(db, holder, [ran("step")], seq);
  return !(await readJob(db, holder.jobId)).woken;
});

race("a child that ends while its parent checkpoints", async (db) => {
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

race("two schedulers on one tick", async (db) => {
  await db.script(
    `insert into rotor.schedules (workspace_id, queue_id, name, cron, timezone, body, content_type, next_at)
     values ('${WORKSPACE}', ${ten}, 'minutely', '* * * * *', 'UTC', '{}', 'application/json', date_trunc('minute', rotor.clock()))`,
  );
  const [first, second] = await inOrder("commit", db, tick, tick);
  const { rows } = await db
    .script("delete from rotor.schedules; select count(*)::int as count from rotor.jobs")
    .then((all) => {
      return (all as unknown as { rows: { count: number }[] }[])[1]!;
    });
  return value(first).length === 1 && value(second).length === 0 && rows[0]?.count === 1;
});
