/** Races for jobs: claims, keys, fences, rescues, ticks. What a race is: testing-kit/races.ts. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
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
  ran,
  readJob,
  readSteps,
  settlement,
  settleOne,
  WORKSPACE,
} from "../testing-kit/fixtures.js";
import { lostReplyDb, mutantDb, pausedDb, untilBlocked } from "../testing-kit/mutants.js";
import { inOrder, type Race, race, value, without } from "../testing-kit/races.js";
import { AGAIN } from "./batch.js";
import { cancel } from "./control.js";
import { type Db, sql } from "./db.js";
import { registerNode } from "./nodes.js";
import { heldBy, release, rescueDead } from "./rescue.js";
import { settle } from "./settle.js";
import { tick } from "./ticks.js";

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

const compete = race.bind(undefined, () => database);

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

compete(
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
compete("a hundred racers for one key", (db) => sameKey(db, 100), { "no second look": forgetful });

compete(
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
    // A deadlock that Postgres breaks up is tried again: it shows as a transaction more.
    let begun = 0;
    const counted: Db = {
      ...db,
      transact: (work) =>
        db.transact((t) => {
          begun++;
          return work(t);
        }),
    };
    const one = batch(counted, ["a", "b", "c"]);
    await untilBlocked(database.db, 1);
    const two = batch(counted, ["c", "b", "a"]);
    await untilBlocked(database.db, 2);
    paused.go();
    const answers = (await Promise.allSettled([one, two, third])).flatMap(value);
    return begun === 2 && answers.filter((answer) => !answer.duplicate).length === 3;
  },
  { "the order of the caller": (db) => without(db, "enqueue.insert", "order by item.queue_id, item.key, item.id") },
);

compete(
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

const quickGuard = "where step.state = 'waiting' and step.kind = 'run' and step.attempt < excluded.attempt";

const nextDelivery = sql("test.next-delivery", "update rotor.jobs set delivery = delivery + 1 where id = $1");

compete(
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
  {
    "no guard on what is finished": (db) => without(without(db, "record.write", guard), "checkpoint.quick", quickGuard),
  },
);

compete(
  "a checkpoint whose delivery another has taken over meanwhile",
  async (db) => {
    const run = await activeRun(db, runs);
    const [, late] = await inOrder(
      { after: "test.next-delivery" },
      db,
      (each) => each.transact((t) => t.query(nextDelivery, [run.jobId])),
      (each) => checkpointOnce(each, run, [ran("step", "late")]),
    );
    const again = await checkpointOne(db, run, [ran("step", "late")]);
    return value(late) === AGAIN && again.verdict === "stale" && (await readSteps(db, run.jobId)).step === undefined;
  },
  {
    "no fence": (db) =>
      without(without(db, "checkpoint.quick", "job.delivery = item.delivery and "), "checkpoint.quick", " skip locked"),
  },
);

compete(
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
    "no guard on what is finished": (db) => without(without(db, "record.write", guard), "checkpoint.quick", quickGuard),
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
      (each) => settleOne(each, holder, { kind: "failed", final: true, error: { name: "Error", message: "late" } }),
      async (each) => {
        await rescueDead(each);
        return claimAll(each, ten, other);
      },
    );
    const now = await readJob(db, job.id);
    return value(late).kind === "settled"
      ? now.state === "failed" && value(taken).length === 0
      : now.state === "active" && now.delivery === 2 && now.nodeId === other;
  } finally {
    await database.shiftClock(0);
  }
};

compete("a settle against a rescue", settleAgainstRescue, { "neither fence": (db) => noFirstFence(noSecondFence(db)) });

test.each([
  ["first", noFirstFence],
  ["second", noSecondFence],
])("a settle against a rescue holds without its %s fence too", async (_, mutate) => {
  expect(await settleAgainstRescue(mutate(database.db))).toBe(true);
});

compete("a completion in one round trip against a rescue", async (db) => {
  const [dead, other] = [newId(), newId()];
  await registerNode(db, dead, "dead");
  const job = newJob(ten);
  await enqueueAll(db, [job]);
  const holder = await claimOne(db, ten, job.id, dead);
  await database.shiftClock(6_000);
  try {
    const [late, taken] = await inOrder(
      "commit",
      db,
      (each) => settleOne(each, holder, { kind: "done", output: "late" }),
      async (each) => {
        await rescueDead(each);
        return claimAll(each, ten, other);
      },
    );
    await claimAll(db, ten, other);
    const now = await readJob(db, job.id);
    return value(late).kind === "settled" && value(taken).length === 0 && now.state === "completed";
  } finally {
    await database.shiftClock(0);
  }
});

compete(
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

compete(
  "a completion of a job that is another's by now",
  async (db) => {
    const dead = newId();
    await registerNode(db, dead, "dead");
    const holder = await activeRun(db, runs, {}, dead);
    await database.shiftClock(6_000);
    await rescueDead(db);
    await claimAll(db, runs, newId());
    await database.shiftClock(0);
    const late = await settleOne(db, holder, { kind: "done", output: "late" });
    return late.kind === "stale" && (await readJob(db, holder.jobId)).state === "active";
  },
  {
    "no fence": (db) =>
      without(db, "settle.quick", "job.delivery = item.delivery and (job.state || '') = 'active' and "),
  },
);

compete("a late answer of a run that was cancelled is told that it is late", async (db) => {
  const holder = await activeRun(db, runs);
  await cancel(db, [holder.jobId]);
  const settled = await Promise.all(
    [notYet(), notYet([ran("step")]), { kind: "done", output: "1" } as const].map((end) => settleOne(db, holder, end)),
  );
  return settled.every((each) => each.kind === "stale") && Object.keys(await readSteps(db, holder.jobId)).length === 0;
});

compete("a late delivery publishes nothing", async (db) => {
  const holder = await activeRun(db, runs);
  await cancel(db, [holder.jobId]);
  const report = { kind: "send" as const, key: "send", events: [{ name: "late", data: null }] };
  await checkpointOne(db, holder, [report]);
  await settleOne(db, holder, notYet([report]));
  return (await db.script("select 1 from rotor.events")).rows.length === 0;
});

compete(
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

compete('a "not yet" that went on, and whose commit got no reply', async (db) => {
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

compete("two schedulers on one tick", async (db) => {
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
