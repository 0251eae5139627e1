/** Replays: what a copy of a run has, and what its waits look back to. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newId } from "../core/ids.js";
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
  newRun,
  publishOne,
  ran,
  readJob,
  readSteps,
  settleOne,
  storedRows,
  waitFor,
} from "../testing-kit/fixtures.js";
import { endLate } from "./deadlines.js";
import { loadHistories } from "./history.js";
import { violations } from "./invariants.js";
import { replay, replayAll } from "./replay.js";

const MINUTE = 60_000;

let database: TestDatabase;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  runs = await functionQueue(database.db);
});
beforeEach(async () => {
  await clearJobs(database.db);
  await database.shiftClock(0);
});
afterAll(async () => {
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

test("a replay is a new run with the old one's input, from the start", async () => {
  const { db } = database;
  const run = newRun(runs, { n: 1 }, { tags: ["a"], maxAttempts: 9 });
  await enqueueAll(db, [run]);
  const holder = await claimOne(db, runs, run.id);
  await settleOne(db, holder, { kind: "done", output: "1" });
  const id = await replay(db, run.id, {});
  const { rows } = await db.script(
    `select body, tags, replay_of, max_attempts from rotor.payloads join rotor.jobs on id = job_id where job_id = '${id}'`,
  );
  expect(rows).toEqual([{ body: run.body, tags: ["a"], replay_of: run.id, max_attempts: 9 }]);
  expect(await readSteps(db, id!)).toEqual({});
});

test("a replay of a run has what its function says of such an event: keys, place, time, and what cancels it", async () => {
  const { db } = database;
  const starting = {
    keys: [{ key: "data.account", limit: 2 }],
    priority: "data.urgent ? 60 : 0",
    timeout_ms: MINUTE,
    cancel_on: [{ event: "stop", match: "data.account == trigger.data.account" }],
  };
  const queueId = await functionQueue(db, "optioned", { starting });
  const run = await activeRun(db, queueId, { account: "a" });
  await settleOne(db, run, failedWith("no", true));
  const body = Buffer.from('{"id":"e","name":"go","data":{"account":"b","urgent":true},"ts":1}');
  const id = (await replay(db, run.jobId, { body }))!;
  const { rows } = await db.script(
    `select key.key, job.deadline_at is not null as limited, job.due_at < payload.run_at - interval '50 seconds' as early
       from rotor.jobs job join rotor.payloads payload on payload.job_id = job.id left join rotor.keys key on key.id = job.key_id where job.id = '${id}'`,
  );
  expect(rows).toEqual([{ key: '0:"b"', limited: true, early: true }]);
  await publishOne(db, "stop", { account: "a" });
  expect((await readJob(db, id)).state).toBe("waiting");
  await publishOne(db, "stop", { account: "b" });
  expect((await readJob(db, id)).state).toBe("cancelled");
});

test("a replay with another input has that one", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  const id = await replay(db, run.jobId, { body: Buffer.from('{"other":true}') });
  expect(
    (await db.script(`select convert_from(body, 'UTF8') as body from rotor.payloads where job_id = '${id}'`)).rows[0]
      .body,
  ).toBe('{"other":true}');
});

test("a replay from a step has the results before it, in their order, and nothing after", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  for (const key of ["c", "a", "b", "d"]) await checkpointOne(db, run, [ran(key, key)]);
  await checkpointOne(db, run, [waitFor("wait", "ping")]);
  const id = (await replay(db, run.jobId, { fromStep: "b" }))!;
  const copied = (await loadHistories(db, [id])).get(id)!.steps;
  expect(copied.map((step) => [step.key, step.output])).toEqual([
    ["c", '"c"'],
    ["a", '"a"'],
  ]);
  expect(Number(copied[0]!.seq)).toBeLessThan(Number(copied[1]!.seq));
  expect(Object.keys(await readSteps(db, run.jobId))).toEqual(["c", "a", "b", "d", "wait"]);
});

test("from a step that is unfinished, or was dropped, all results are copied; the wait begins anew", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  await checkpointOne(db, run, [ran("a"), ran("b"), waitFor("wait", "ping")]);
  const waiting = (await replay(db, run.jobId, { fromStep: "wait" }))!;
  expect(Object.keys(await readSteps(db, waiting))).toEqual(["a", "b"]);
  await settleOne(db, run, failedWith("no", true));
  const dropped = (await replay(db, run.jobId, { fromStep: "wait" }))!;
  expect(Object.keys(await readSteps(db, dropped))).toEqual(["a", "b"]);
});

test("from a step that failed, it runs anew, and one that failed before it and was got by stays", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  const broken = (key: string) =>
    ({ kind: "run", key, attempt: 4, duration_ms: 1, outcome: "failed", error: { name: "E", message: "no" } }) as const;
  await checkpointOne(db, run, [broken("caught"), ran("instead"), broken("fatal")]);
  await settleOne(db, run, failedWith("no", true));
  const id = (await replay(db, run.jobId, { fromStep: "fatal" }))!;
  expect(await readSteps(db, id)).toMatchObject({
    caught: { state: "failed", error: { name: "E" } },
    instead: { state: "completed" },
  });
  expect(Object.keys(await readSteps(db, id))).toEqual(["caught", "instead"]);
});

describe("a wait of a run that is replayed from a step", () => {
  /** A run that rendered, mailed, and saw the mail opened. */
  async function opened() {
    const { db } = database;
    const run = await activeRun(db, runs);
    await checkpointOne(db, run, [ran("render")]);
    await checkpointOne(db, run, [ran("mail")]);
    await publishOne(db, "opened", "first mail");
    await checkpointOne(db, run, [waitFor("wait", "opened", { after: "render" })]);
    expect((await readSteps(db, run.jobId)).wait).toMatchObject({ output: "first mail" });
    await settleOne(db, run, { kind: "done", output: null });
    await database.shiftClock(MINUTE);
    return run.jobId;
  }

  const waitOf = async (jobId: string) => {
    const { db } = database;
    await checkpointOne(db, await claimOne(db, runs, jobId), [waitFor("wait", "opened", { after: "render" })]);
    return (await readSteps(db, jobId)).wait;
  };

  test("sees what came since the step before it, where that step was copied", async () => {
    const id = (await replay(database.db, await opened(), { fromStep: "wait" }))!;
    expect(await waitOf(id)).toMatchObject({ state: "completed", output: "first mail" });
  });

  test("does not see what came of the step before it, where that step runs anew", async () => {
    const { db } = database;
    const id = (await replay(db, await opened(), { fromStep: "mail" }))!;
    const run = await claimOne(db, runs, id);
    await checkpointOne(db, run, [ran("mail")]);
    await checkpointOne(db, run, [waitFor("wait", "opened", { after: "render" })]);
    expect((await readSteps(db, id)).wait).toMatchObject({ state: "waiting" });
    await publishOne(db, "opened", "second mail");
    expect((await readSteps(db, id)).wait).toMatchObject({ state: "completed", output: "second mail" });
  });

  test("does not see what came before a replay from the start", async () => {
    const { db } = database;
    const id = (await replay(db, await opened(), {}))!;
    const run = await claimOne(db, runs, id);
    await checkpointOne(db, run, [ran("render"), ran("mail")]);
    await checkpointOne(db, run, [waitFor("wait", "opened", { after: "render" })]);
    expect((await readSteps(db, id)).wait).toMatchObject({ state: "waiting" });
  });

  test("that stands first behind what was copied sees what came since the old run began", async () => {
    const { db } = database;
    const run = await activeRun(db, runs);
    await checkpointOne(db, run, [ran("mail")]);
    await publishOne(db, "opened", "early");
    await settleOne(db, run, failedWith("no", true));
    // It failed before it waited: from a step that is not there nothing is replayed, from its only one nothing is copied.
    expect(await replay(db, run.jobId, { fromStep: "wait" })).toBeUndefined();
    const late = await activeRun(db, runs);
    await checkpointOne(db, late, [ran("mail")]);
    await publishOne(db, "opened", "in time");
    await checkpointOne(db, late, [waitFor("wait", "opened")]);
    await database.shiftClock(MINUTE);
    const id = (await replay(db, late.jobId, { fromStep: "wait" }))!;
    await checkpointOne(db, await claimOne(db, runs, id), [waitFor("wait", "opened")]);
    expect((await readSteps(db, id)).wait).toMatchObject({ state: "completed", output: "in time" });
    // A replay of a replay looks as far back.
    const again = (await replay(db, id, { fromStep: "wait" }))!;
    await checkpointOne(db, await claimOne(db, runs, again), [waitFor("wait", "opened")]);
    expect((await readSteps(db, again)).wait).toMatchObject({ output: "in time" });
  });

  test("gets none of the events that its copied waits had, and the next ones in their order", async () => {
    const { db } = database;
    const run = await activeRun(db, runs);
    for (const n of [1, 2, 3]) await publishOne(db, "item", n);
    const wait = (n: number) =>
      waitFor(
        `wait#${n}`,
        "item",
        n === 1 ? {} : { previous: `wait#${n - 1}`, ...(n > 2 && { after: `wait#${n - 2}` }) },
      );
    for (const n of [1, 2, 3]) await checkpointOne(db, run, [wait(n)]);
    await settleOne(db, run, { kind: "done", output: null });
    await database.shiftClock(MINUTE);
    await publishOne(db, "item", 4);
    const id = (await replay(db, run.jobId, { fromStep: "wait#3" }))!;
    const again = await claimOne(db, runs, id);
    for (const n of [3, 4]) await checkpointOne(db, again, [wait(n)]);
    const steps = await readSteps(db, id);
    expect([1, 2, 3, 4].map((n) => steps[`wait#${n}`]!.output)).toEqual([1, 2, 3, 4]);
  });
});

test("a replay from a step that is not there, or of no run, makes nothing", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  await checkpointOne(db, run, [waitFor("wait", "ping")]);
  const before = await storedRows(db);
  expect(await replay(db, run.jobId, { fromStep: "none" })).toBeUndefined();
  expect(await replay(db, newId(), {})).toBeUndefined();
  expect(await storedRows(db)).toEqual(before);
});

test("a replay has its queue's rate, its function's time limit of today, and asks for approval where the queue does", async () => {
  const { db } = database;
  const { id: queueId } = await callbackQueue(db, "rated", {
    rate: { limit: 1, periodMs: MINUTE, key: "payload.customer" },
  });
  const job = newJob(queueId, { body: Buffer.from('{"customer":1}') });
  await enqueueAll(db, [job]);
  await claimOne(db, queueId, job.id);
  const copy = (await replay(db, job.id, {}))!;
  expect(await claimAll(db, queueId)).toEqual([]);
  await db.script(`update rotor.queues set approval_required = true where id = ${queueId}`);
  expect((await readJob(db, (await replay(db, copy, {}))!)).state).toBe("pending_approval");

  const limited = await functionQueue(db, "limited");
  const run = await activeRun(db, limited);
  await db.script(`update rotor.queues set starting = '{"timeout_ms":60000}' where id = ${limited}`);
  const id = (await replay(db, run.jobId, {}))!;
  await database.shiftClock(2 * MINUTE);
  await endLate(db);
  expect([(await readJob(db, id)).state, (await readJob(db, run.jobId)).state]).toEqual(["failed", "active"]);
});

test("a batch keeps its events, unless its input is another", async () => {
  const { db } = database;
  const run = newRun(runs);
  await enqueueAll(db, [run]);
  await db.script(
    `insert into rotor.batched (job_id, place, event_id, body) values ('${run.id}', 2, gen_random_uuid(), '{}'), ('${run.id}', 3, gen_random_uuid(), '{}')`,
  );
  const [same, other] = await replayAll(db, [{ jobId: run.id }, { jobId: run.id, body: Buffer.from("{}") }]);
  const { rows } = await db.script("select job_id, count(*)::int as count from rotor.batched group by 1");
  expect(Object.fromEntries(rows.map((row) => [row.job_id, row.count]))).toEqual({ [run.id]: 2, [same!]: 2 });
  expect(other).toBeDefined();
  await db.script("delete from rotor.batched");
});

test("many are replayed at once, one with a key only once, and one that is gone leaves a gap", async () => {
  const { db } = database;
  const [one, two] = [newRun(runs), newRun(runs)];
  await enqueueAll(db, [one, two]);
  const first = await replayAll(db, [{ jobId: one.id, key: "once" }, { jobId: newId() }, { jobId: two.id }]);
  expect(first).toEqual([expect.any(String), undefined, expect.any(String)]);
  expect(await replayAll(db, [{ jobId: one.id, key: "once" }])).toEqual([first[0]]);
});
