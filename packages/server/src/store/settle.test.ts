/** What a run's "not yet" comes to, as a table; and what a settle does with attempts. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { decide } from "../core/job.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  callbackQueue,
  checkpointOne,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  failedWith,
  functionQueue,
  newJob,
  notYet,
  POLICY,
  publishOne,
  ran,
  readJob,
  readSteps,
  settlement,
  settleOne,
  waitFor,
} from "../testing-kit/fixtures.js";
import { violations } from "./invariants.js";
import { decideWait, settle } from "./settle.js";

describe('a run\'s "not yet"', () => {
  const outcome = decide(
    { kind: "function", attempt: 2, asyncTimeoutMs: 1 },
    { kind: "waiting", reports: [], knownSeq: 0 },
    POLICY,
    0,
  )!;
  const quiet = { dueInMs: 60_000, wasDue: false, progressed: false, unseen: false };
  test.each([
    ["waits, having done nothing", quiet, false, ["waiting", "waiting", 60_000, 1, false]],
    ["waits, after progress", { ...quiet, progressed: true }, false, ["waiting", "waiting", 60_000, 0, false]],
    ["goes on, since something ended meanwhile", quiet, true, ["waiting", "active", 600_000, 1, true]],
    [
      "goes on, since the code has not seen it all",
      { ...quiet, progressed: true, unseen: true },
      false,
      ["waiting", "active", 600_000, 1, true],
    ],
    [
      "goes on, after progress, with a step due now",
      { ...quiet, progressed: true, dueInMs: -5 },
      false,
      ["waiting", "active", 600_000, 1, true],
    ],
    [
      "goes on, after progress, waiting for nothing",
      { ...quiet, progressed: true, dueInMs: null },
      false,
      ["waiting", "active", 600_000, 1, true],
    ],
    [
      "is due now, without progress, where the step became due only during it",
      { ...quiet, dueInMs: -5 },
      false,
      ["waiting", "waiting", 0, 1, false],
    ],
    [
      "is a failed attempt, without progress, waiting for nothing",
      { ...quiet, dueInMs: null },
      false,
      ["retry", "waiting", 1_000, 2, false],
    ],
    [
      "is a failed attempt, without progress, where a step was due before",
      { ...quiet, dueInMs: -5, wasDue: true },
      false,
      ["retry", "waiting", 1_000, 2, false],
    ],
  ] as const)("%s", (_, view, woken, expected) => {
    const decided = decideWait({ outcome, policy: POLICY, random: 0 }, { attempt: 2, woken }, view);
    expect([
      decided.outcome.outcome,
      decided.outcome.state,
      decided.outcome.delayMs,
      decided.attempt,
      decided.continues,
    ]).toEqual(expected);
  });

  test("that does nothing in the last attempt fails the run", () => {
    const decided = decideWait(
      { outcome, policy: POLICY, random: 0 },
      { attempt: POLICY.maxAttempts, woken: false },
      { ...quiet, dueInMs: null },
    );
    expect(decided.outcome).toMatchObject({ outcome: "failed", state: "failed", error: { name: "NoProgressError" } });
  });
});

let database: TestDatabase;
let runs: number;
let callbacks: number;
beforeAll(async () => {
  database = await testDatabase();
  runs = await functionQueue(database.db);
  callbacks = (await callbackQueue(database.db)).id;
});
beforeEach(() => clearJobs(database.db));
afterAll(async () => {
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

test("attempts are counted without gaps, and the last one fails", async () => {
  const { db } = database;
  const job = newJob(callbacks);
  await enqueueAll(db, [job]);
  const seen: number[] = [];
  try {
    for (let n = 0; n < POLICY.maxAttempts; n++) {
      await database.shiftClock(n * 2_000);
      const holder = await claimOne(db, callbacks, job.id);
      seen.push(holder.attempt);
      await settleOne(db, holder, failedWith("no"));
    }
    expect(seen).toEqual([1, 2, 3, 4]);
    expect((await readJob(db, job.id)).state).toBe("failed");
    await database.shiftClock(60_000);
    expect(await claimAll(db, callbacks)).toEqual([]);
  } finally {
    await database.shiftClock(0);
  }
});

test("a retry is not due before its back-off, by the database's clock", async () => {
  const { db } = database;
  const job = newJob(callbacks);
  await enqueueAll(db, [job]);
  await settleOne(db, await claimOne(db, callbacks, job.id), failedWith("no"));
  expect(await claimAll(db, callbacks)).toEqual([]);
  try {
    await database.shiftClock(1_001);
    expect(await claimAll(db, callbacks)).toHaveLength(1);
  } finally {
    await database.shiftClock(0);
  }
});

test("a step that ended in a run's last attempt gives it new ones, though its holder did not see that", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  await db.script("update rotor.jobs set attempt = 4");
  const last = { ...run, attempt: 4 };
  await checkpointOne(db, last, [ran("step")]);
  expect(await settleOne(db, last, failedWith("no"))).toMatchObject({ outcome: "retry", state: "waiting" });
  // A repetition after a lost reply is told the same.
  expect(await settleOne(db, last, failedWith("no"))).toMatchObject({ kind: "settled", outcome: "retry" });
});

test("a step that ended in a delivery makes its back-off that of a first attempt", async () => {
  const { db } = database;
  const policy = {
    ...POLICY,
    backoff: { ...POLICY.backoff, kind: "list", maxMs: 60_000, listMs: [1_000, 2_000, 60_000] } as const,
  };
  const [moved, stuck, asked] = [await activeRun(db, runs), await activeRun(db, runs), await activeRun(db, runs)];
  await db.script("update rotor.jobs set attempt = 3");
  const settleThird = async (run: typeof moved, more: { retryAfterMs?: number } = {}) => {
    const third = { ...run, attempt: 3 };
    const end = { ...failedWith("no"), ...more };
    const outcome = decide({ kind: "function", attempt: 3, asyncTimeoutMs: 1 }, end, policy, 0)!;
    await settleOne(db, third, end, { policy, outcome });
    return (await readJob(db, run.jobId)).dueInMs!;
  };
  for (const run of [moved, asked]) await checkpointOne(db, run, [ran("step")]);
  expect(await settleThird(moved)).toBeLessThanOrEqual(1_000);
  expect(await settleThird(stuck)).toBeGreaterThan(50_000);
  // What its app asked for has nothing to do with the number of the attempt.
  expect(await settleThird(asked, { retryAfterMs: 90_000 })).toBeGreaterThan(80_000);
});

test("without such a step, or where the error is final, it fails", async () => {
  const { db } = database;
  const [one, two] = [await activeRun(db, runs), await activeRun(db, runs)];
  await db.script("update rotor.jobs set attempt = 4");
  await checkpointOne(db, two, [ran("step")]);
  expect(await settleOne(db, { ...one, attempt: 4 }, failedWith("no"))).toMatchObject({ state: "failed" });
  expect(await settleOne(db, { ...two, attempt: 4 }, failedWith("no", true))).toMatchObject({ state: "failed" });
});

test("many settle in one commit, each to where it was decided to go", async () => {
  const { db } = database;
  const jobs = Array.from({ length: 6 }, () => newJob(callbacks));
  await enqueueAll(db, jobs);
  const holders = (await claimAll(db, callbacks)).map((taken) => ({ ...taken, attempt: 1, parentId: null }));
  const ends = [
    { kind: "done", output: "a\u00e9" } as const,
    failedWith("no"),
    failedWith("no", true),
    { kind: "accepted" } as const,
    { kind: "released" } as const,
  ];
  const items = ends.map((end, index) => settlement(holders[index]!, end));
  const late = settlement({ ...holders[5]!, delivery: 7 }, { kind: "done", output: null });
  const settled = await settle(db, [...items, late]);
  expect(
    settled.map((each) => typeof each === "object" && (each.kind === "settled" ? each.outcome : each.kind)),
  ).toEqual(["completed", "retry", "failed", "accepted", "released", "stale"]);
  const { rows } = await db.script("select outcome, output from rotor.deliveries order by outcome");
  expect(rows).toEqual([
    // Shown with its call while the endpoint works; its end is written over it.
    { outcome: "accepted", output: null },
    { outcome: "completed", output: "a\u00e9" },
    { outcome: "failed", output: null },
    { outcome: "retry", output: null },
  ]);
});

test("an accepted job is nobody's, and its end is settled under the same number", async () => {
  const { db } = database;
  const job = newJob(callbacks);
  await enqueueAll(db, [job]);
  const holder = await claimOne(db, callbacks, job.id);
  await settleOne(db, holder, { kind: "accepted" });
  expect(await readJob(db, job.id)).toMatchObject({ state: "active", nodeId: null });
  expect(await settleOne(db, holder, { kind: "done", output: "1" })).toMatchObject({ state: "completed" });
  expect(await settleOne(db, holder, { kind: "accepted" })).toEqual({ kind: "stale" });
});

test("a parent gets what its child gave: JSON, a text, nothing, an error", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  const ends = [
    { kind: "done", output: '{"a":1}' } as const,
    { kind: "done", output: "plain text" } as const,
    { kind: "done", output: null } as const,
    failedWith("broke", true),
  ];
  await checkpointOne(
    db,
    run,
    ends.map((_, n) => ({
      kind: "enqueue" as const,
      key: `child:${n}`,
      queue: "queue",
      payload: n,
      options: {},
      wait: true,
    })),
  );
  const children = await claimAll(db, callbacks);
  expect(children).toHaveLength(4);
  const { rows } = await db.script("select key, wait ->> 'job' as job from rotor.steps order by key");
  for (const [n, end] of ends.entries()) {
    const child = children.find((each) => each.jobId === rows[n].job)!;
    await settleOne(db, { ...child, attempt: 1, parentId: run.jobId }, end);
  }
  const steps = await readSteps(db, run.jobId);
  expect([steps["child:0"]?.output, steps["child:1"]?.output, steps["child:2"]?.output]).toEqual([
    { a: 1 },
    "plain text",
    null,
  ]);
  expect(steps["child:3"]?.error).toMatchObject({ name: "WorkflowFailedError", cause: { message: "broke" } });
});

test("an answer that stores a wait whose event came already goes on at once", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  await publishOne(db, "ping", 7);
  expect(await settleOne(db, run, notYet([waitFor("wait", "ping")]))).toMatchObject({ state: "active", next: 2 });
  expect((await readSteps(db, run.jobId)).wait?.output).toBe(7);
});
