/** Publishing: once an id, to every wait and function that it concerns, in as many commits as it takes. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { eventKey } from "../core/wait-key.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  checkpointOne,
  claimAll,
  clearJobs,
  functionQueue,
  notYet,
  publishOne,
  readJob,
  readSteps,
  settleOne,
  WORKSPACE,
  waitFor,
} from "../testing-kit/fixtures.js";
import { mutantDb } from "../testing-kit/mutants.js";
import type { Db } from "./db.js";
import { violations } from "./invariants.js";
import { publish, publishRest } from "./publish.js";

let database: TestDatabase;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  const { db } = database;
  runs = await functionQueue(db);
  await functionQueue(db, "always", { triggers: [{ event: "go" }] });
  await functionQueue(db, "large", { triggers: [{ event: "go", if: "data.size > 10" }, { event: "stop" }] });
  await functionQueue(db, "broken", { triggers: [{ event: "go", if: "data.none.at.all == 1" }] });
  await functionQueue(db, "stranger", { triggers: [{ event: "go" }], workspace: "other" });
});
beforeEach(() => clearJobs(database.db));
afterAll(async () => {
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

const count = async (what: string): Promise<number> =>
  (await database.db.script(`select count(*)::int as count from rotor.${what}`)).rows[0].count;

test("an event starts one run of each function that listens in its workspace, and whose condition holds", async () => {
  const small = await publishOne(database.db, "go", { size: 1 });
  const large = await publishOne(database.db, "go", { size: 11 });
  expect(small.runs.map((run) => run.function)).toEqual(["always"]);
  expect(large.runs.map((run) => run.function).sort()).toEqual(["always", "large"]);
  expect(await count("jobs")).toBe(3);
});

test("a run gets the event as it was sent", async () => {
  const data = '{"n":9007199254740993,"b":1,"a":"\\u00e9"}';
  await publish(database.db, [{ workspace: WORKSPACE, name: "stop", key: "mine", data, tsMs: 1_700_000_000_123 }]);
  const { rows } = await database.db.script("select convert_from(body, 'UTF8') as body from rotor.payloads");
  expect(rows[0].body).toBe(`{"id":"mine","name":"stop","data":${data},"ts":1700000000123}`);
});

test("an id that is sent again answers with the first event and its runs, and does nothing", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  await checkpointOne(db, run, [waitFor("a", "go")]);
  const first = await publishOne(db, "go", {}, { key: "same" });
  await checkpointOne(db, run, [waitFor("b", "go")]);
  const again = await publishOne(db, "go", { other: true }, { key: "same" });
  expect(again).toMatchObject({ id: first.id, duplicate: true, runs: first.runs, resumed: [], cancelled: [] });
  expect((await readSteps(db, run.jobId)).b?.state).toBe("waiting");
});

test("an id of another workspace is another event", async () => {
  const first = await publishOne(database.db, "go", {}, { key: "same" });
  const other = await publishOne(database.db, "go", {}, { key: "same", workspace: "other" });
  expect(other.duplicate).toBe(false);
  expect(other.id).not.toBe(first.id);
  expect(other.runs.map((run) => run.function)).toEqual(["stranger"]);
});

test("one id twice in one send is one event", async () => {
  const event = { workspace: WORKSPACE, name: "go", key: "same", data: "{}" };
  const [first, second] = await publish(database.db, [event, event]);
  expect([first?.duplicate, second?.duplicate, second?.id]).toEqual([false, true, first?.id]);
  expect(second?.runs).toEqual(first?.runs);
  expect(await count("jobs")).toBe(1);
});

test("fifty racers with one id start one run, and all learn of it", async () => {
  const all = await Promise.all(Array.from({ length: 50 }, () => publishOne(database.db, "go", {}, { key: "same" })));
  expect(new Set(all.map((each) => each.id)).size).toBe(1);
  expect(new Set(all.map((each) => each.runs[0]?.id)).size).toBe(1);
  expect(all.filter((each) => !each.duplicate)).toHaveLength(1);
  expect(await count("jobs")).toBe(1);
});

test("an id that is sent under two names at once is one event", async () => {
  const all = await Promise.all(
    ["go", "stop", "go", "stop"].map((name) => publishOne(database.db, name, {}, { key: "same" })),
  );
  expect(new Set(all.map((each) => each.id)).size).toBe(1);
  expect(await count("events")).toBe(1);
});

/** Runs that wait for `ping`, stored at once: two waits each, the second of which is later. */
async function crowd(size: number): Promise<void> {
  const key = eventKey(WORKSPACE, "ping");
  await database.db.script(
    `with ids as (select gen_random_uuid() as id from generate_series(1, ${size})),
     jobs as (insert into rotor.jobs (id, queue_id, state, due_at) select id, ${runs}, 'waiting', rotor.clock() + interval '1 hour' from ids)
     insert into rotor.steps (job_id, key, kind, state, due_at, wait_key, wait, asked_at, asked)
     select id, 'wait:' || n, 'event', 'waiting', rotor.clock() + interval '1 hour', '${key}', '{"event":"ping"}', rotor.clock() - interval '1 minute' / n, 1
       from ids, generate_series(1, 2) n`,
  );
}

test("a fan-out that is too large for one commit goes on by its cursor: each run is resumed once, by the wait stored last", async () => {
  const { db } = database;
  // Waits of one run lie across every border that is not between two runs.
  const size = limits.effects + 501;
  await crowd(size);
  const first = await publishOne(db, "ping", { n: 1 });
  expect(first.resumed.length).toBeLessThan(size);
  expect(await count("jobs where due_at <= rotor.clock()")).toBe(first.resumed.length);
  let steps = 0;
  while (await publishRest(db)) steps++;
  expect(steps).toBeGreaterThan(0);
  expect(await count("jobs where due_at <= rotor.clock()")).toBe(size);
  expect(await count("steps where key = 'wait:2' and state = 'completed'")).toBe(size);
  expect(await count("steps where key = 'wait:1' and state = 'waiting'")).toBe(size);
  expect(await count("events where due_at is not null or cursor is not null")).toBe(0);
});

/** A wait of a run from before an event, one that the look-back ended with it, and one from after it: their states after the rest. */
async function afterTheRest(db: Db): Promise<(string | undefined)[]> {
  await crowd(limits.effects);
  // Random ids are greater than those of version 7 that are made now, so the rest is about this run only if it comes last.
  const late = await activeRun(db, runs);
  await db.script(`update rotor.jobs set id = 'ffffffff-ffff-7fff-bfff-ffffffffffff' where id = '${late.jobId}';
                   update rotor.payloads set job_id = 'ffffffff-ffff-7fff-bfff-ffffffffffff' where job_id = '${late.jobId}'`);
  const run = { ...late, jobId: "ffffffff-ffff-7fff-bfff-ffffffffffff" };
  await checkpointOne(db, run, [waitFor("early", "ping")]);
  const published = await publishOne(db, "ping", { n: 1 });
  expect(published.resumed).not.toContain(run.jobId);
  // The look-back of a wait that is stored meanwhile finds the event first.
  await checkpointOne(db, run, [waitFor("late", "ping"), waitFor("now", "ping", { since_ms: 0 })]);
  while (await publishRest(db));
  const { early, late: after, now } = await readSteps(db, run.jobId);
  return [early?.state, after?.state, now?.state];
}

test("the rest of a fan-out ends nothing that was stored after its event, or whose run has consumed it", async () => {
  expect(await afterTheRest(database.db)).toEqual(["waiting", "completed", "waiting"]);
});

test("without either guard, it would", async () => {
  const consumed = (db: Db): Db =>
    mutantDb(db, "event-ends.by-keys", (text) =>
      text.replace("and not exists", "and $5::uuid is not null or false and exists"),
    );
  const after = (db: Db): Db =>
    mutantDb(db, "event-ends.by-keys", (text) => text.replace("step.asked_at <= $4", "$4::timestamptz is not null"));
  expect(await afterTheRest(consumed(database.db))).toEqual(["completed", "completed", "waiting"]);
  await clearJobs(database.db);
  expect(await afterTheRest(consumed(after(database.db)))).toEqual(["waiting", "completed", "completed"]);
  await clearJobs(database.db);
});

test("the rest of a fan-out counts as having come when its event came", async () => {
  const { db } = database;
  await crowd(limits.effects);
  const run = await activeRun(db, runs);
  const last = "ffffffff-ffff-7fff-bfff-fffffffffffe";
  await checkpointOne(db, run, [waitFor("wait", "ping", { timeout_ms: 30_000 })]);
  await db.script(`update rotor.jobs set id = '${last}' where id = '${run.jobId}'; update rotor.steps set job_id = '${last}' where job_id = '${run.jobId}';
                   update rotor.payloads set job_id = '${last}' where job_id = '${run.jobId}'`);
  await publishOne(db, "ping", { n: 1 });
  try {
    await database.shiftClock(31_000);
    while (await publishRest(db));
    expect((await readSteps(db, last)).wait?.output).toEqual({ n: 1 });
  } finally {
    await database.shiftClock(0);
  }
});

test("two nodes share the rest of a fan-out without ending anything twice", async () => {
  const { db } = database;
  await crowd(limits.effects * 2 + 10);
  await publishOne(db, "ping");
  const rest = async (): Promise<void> => {
    while (await publishRest(db));
  };
  await Promise.all([rest(), rest()]);
  // One of them may have found the row in the other's hands, and looked no further.
  await rest();
  expect(await count("steps where state = 'completed'")).toBe(limits.effects * 2 + 10);
});

test("a run that is held keeps its due time, and its result", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  await checkpointOne(db, run, [waitFor("wait", "ping")]);
  await settleOne(db, run, { kind: "diverged", error: { name: "DivergedError", message: "" } });
  await publishOne(db, "ping", 1);
  expect(await readJob(db, run.jobId)).toMatchObject({ held: true, state: "waiting" });
  expect((await readJob(db, run.jobId)).dueInMs).toBeGreaterThan(86_400_000);
  expect((await readSteps(db, run.jobId)).wait?.output).toBe(1);
});

test("a step that sends the same events again has sent them once", async () => {
  const { db } = database;
  const run = await activeRun(db, runs);
  const report = {
    kind: "send" as const,
    key: "send",
    events: [
      { name: "go", data: { size: 11 } },
      { name: "go", data: null, id: newId() },
    ],
  };
  await checkpointOne(db, run, [report]);
  const { send } = await readSteps(db, run.jobId);
  await settleOne(db, run, notYet([report]));
  expect(await count("events")).toBe(2);
  expect((await readSteps(db, run.jobId)).send).toEqual(send);
  const output = send?.output as { events: { id: string; runs: string[] }[] };
  expect(output.events.map((event) => event.runs.length)).toEqual([2, 1]);
  expect(await claimAll(db, runs)).toEqual([]);
});
