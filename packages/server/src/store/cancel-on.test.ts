/** Runs that an event cancels: which ones, what stays to be seen, and what else the event does. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  cancelOn,
  checkpointOne,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  functionQueue,
  newRun,
  notYet,
  publishOne,
  readJob,
  readSteps,
  settleOne,
  waitFor,
  waitForAny,
} from "../testing-kit/fixtures.js";
import { cancel, retry } from "./control.js";
import { violations } from "./invariants.js";
import { removeJobs } from "./prune.js";
import { publishRest } from "./publish.js";
import { listCancelled, listDeliveries } from "./views.js";

let database: TestDatabase;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  runs = await functionQueue(database.db, "function", { triggers: [{ event: "begin" }] });
});
beforeEach(() => clearJobs(database.db));
afterAll(async () => {
  await database.close();
});

const start = (data: unknown = {}) => activeRun(database.db, runs, data);
const send = (name: string, data: unknown = {}) => publishOne(database.db, name, data);
const stateOf = async (run: { jobId: string }) => (await readJob(database.db, run.jobId)).state;
const watches = async (): Promise<number> =>
  (await database.db.script("select count(*)::int as n from rotor.watches")).rows[0].n;
const sound = async () => expect(await violations(database.db)).toEqual([]);

test("a run is cancelled by the event that it names, and its log and the event say so", async () => {
  const run = await start();
  await cancelOn(database.db, run.jobId, "stop", { match: { id: 7 } });
  await checkpointOne(database.db, run, [waitFor("w", "go")]);
  await settleOne(database.db, run, notYet());
  expect((await send("stop", { id: 8 })).cancelled).toEqual([]);
  const stopped = await send("stop", { id: 7 });
  expect(stopped).toMatchObject({ cancelled: [run.jobId], resumed: [], heard: true });
  expect(await stateOf(run)).toBe("cancelled");
  const last = (await listDeliveries(database.db, run.jobId)).at(-1)!;
  expect(last.outcome).toBe("cancelled");
  expect(JSON.parse(last.error!)).toMatchObject({ name: "CancelledByEventError", message: /^The event stop \(/ });
  expect(await listCancelled(database.db, stopped.id)).toEqual([{ jobId: run.jobId }]);
  expect((await readSteps(database.db, run.jobId)).w?.state).toBe("dropped");
  expect(await watches()).toBe(0);
  await sound();
  // What is known of it leaves with it.
  await database.db.transact((t) => removeJobs(t, [{ jobId: run.jobId, delivery: 2 }], true));
  expect(await listCancelled(database.db, stopped.id)).toEqual([]);
});

test("an active delivery learns of it at its next checkpoint", async () => {
  const run = await start();
  await cancelOn(database.db, run.jobId, "stop");
  await send("stop");
  expect(await checkpointOne(database.db, run, [])).toMatchObject({ verdict: "cancelled" });
  await sound();
});

test("a run that one event both resumes and cancels is cancelled; other runs get it all the same", async () => {
  const [run, other] = [await start(), await start()];
  await cancelOn(database.db, run.jobId, "stop");
  for (const each of [run, other])
    await checkpointOne(database.db, each, [waitFor("w", "stop"), waitForAny("any", [{ name: "p", event: "pong" }])]);
  expect(await send("stop")).toMatchObject({ cancelled: [run.jobId], resumed: [other.jobId] });
  expect((await readSteps(database.db, run.jobId)).w?.state).toBe("dropped");
  await sound();
});

test("it consumes nothing: two runs are cancelled by one event", async () => {
  const [one, two] = [await start(), await start()];
  for (const run of [one, two]) await cancelOn(database.db, run.jobId, "stop");
  expect([...(await send("stop")).cancelled].sort()).toEqual([one.jobId, two.jobId].sort());
});

test("after its time it cancels nothing any more", async () => {
  const run = await start();
  await cancelOn(database.db, run.jobId, "stop", { untilMs: 60_000 });
  try {
    await database.shiftClock(61_000);
    expect((await send("stop")).cancelled).toEqual([]);
    expect(await stateOf(run)).toBe("active");
  } finally {
    await database.shiftClock(0);
  }
});

test("the event that started a run does not cancel it; a later one of that name does", async () => {
  const first = await send("begin");
  const [started] = first.runs;
  await cancelOn(database.db, started!.id, "begin");
  // As if the run, with its cancelOn, had been stored in the commit that stored the event, and that were looked at again.
  await database.db.script(`update rotor.events set due_at = rotor.clock(), cursor = null, received_at = 'infinity'`);
  while (await publishRest(database.db));
  expect(await stateOf({ jobId: started!.id })).toBe("waiting");
  expect((await send("begin")).cancelled).toEqual([started!.id]);
});

test("a parent goes on when its child is cancelled so", async () => {
  const parent = await start();
  await checkpointOne(database.db, parent, [
    { kind: "invoke", key: "child", function: "function", data: null, timeout_ms: 60_000 },
  ]);
  await settleOne(database.db, parent, notYet());
  const [child] = await claimAll(database.db, runs);
  await cancelOn(database.db, child!.jobId, "stop");
  await send("stop");
  expect((await readSteps(database.db, parent.jobId)).child).toMatchObject({
    state: "failed",
    error: { name: "WorkflowCancelledError" },
  });
  expect((await readJob(database.db, parent.jobId)).dueInMs).toBeLessThanOrEqual(0);
  await sound();
});

test("it holds again for a run that failed and is retried, and is gone with one that was cancelled", async () => {
  const run = await start();
  await cancelOn(database.db, run.jobId, "stop");
  await settleOne(database.db, run, { kind: "failed", final: true, error: { name: "E", message: "m" } });
  await sound();
  expect((await send("stop")).cancelled).toEqual([]);
  expect(await stateOf(run)).toBe("failed");
  await retry(database.db, [run.jobId]);
  expect((await send("stop")).cancelled).toEqual([run.jobId]);
  expect(await watches()).toBe(0);
  const other = await start();
  await cancelOn(database.db, other.jobId, "stop");
  await cancel(database.db, [other.jobId]);
  expect(await watches()).toBe(0);
});

test("an event with more leaves than are looked up cancels, too, in its own workspace", async () => {
  const run = await start();
  await cancelOn(database.db, run.jobId, "stop", { match: { last: 1 } });
  await checkpointOne(database.db, run, [waitForAny("w", [{ name: "p", event: "big", match: { last: 1 } }])]);
  const many = Object.fromEntries(Array.from({ length: 1_500 }, (_, n) => [`field${n}`, n]));
  expect((await send("big", { ...many, last: 1 })).resumed).toEqual([run.jobId]);
  expect((await send("stop", { ...many, last: 2 })).cancelled).toEqual([]);
  expect((await send("stop", { ...many, last: 1 })).cancelled).toEqual([run.jobId]);
});

test("the turn of a run that is cancelled goes to the next of its key", async () => {
  const jobs = [1, 2].map(() => newRun(runs, {}, { concurrencyKey: "acme" }));
  await enqueueAll(database.db, jobs);
  const [first, second] = jobs.map((job) => job.id);
  await claimOne(database.db, runs, first!);
  expect(await claimAll(database.db, runs)).toEqual([]);
  await cancelOn(database.db, first!, "stop");
  await send("stop");
  expect((await claimAll(database.db, runs)).map((taken) => taken.jobId)).toEqual([second]);
});
