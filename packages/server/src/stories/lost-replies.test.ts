/** What a server owes a run whose app did not get its replies, or of which two deliveries speak at once. On the store. */
import type { Report } from "@rotorsh/sdk/protocol";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { End } from "../core/job.js";
import { AGAIN } from "../store/batch.js";
import { checkpoint } from "../store/checkpoint.js";
import { violations } from "../store/invariants.js";
import { settle } from "../store/settle.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  checkpointOne,
  claimOne,
  clearJobs,
  failedWith,
  functionQueue,
  notYet,
  ran,
  readJob,
  readSteps,
  settlement,
  settleOne,
  waitFor,
} from "../testing-kit/fixtures.js";

let database: TestDatabase;
let queueId: number;
let aheadMs = 0;

beforeAll(async () => {
  database = await testDatabase();
  queueId = await functionQueue(database.db);
});
beforeEach(() => clearJobs(database.db));
afterAll(async () => {
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

/** A run in its second delivery, and its first, which is over. */
async function twoDeliveries() {
  const first = await activeRun(database.db, queueId);
  await settleOne(database.db, first, failedWith("lost"));
  aheadMs += 2_000;
  await database.shiftClock(aheadMs);
  return { first, second: await claimOne(database.db, queueId, first.jobId) };
}

test.each(["first", "last"])(
  "a stale delivery whose report shares a batch records nothing, it comes %s",
  async (place) => {
    const { first, second } = await twoDeliveries();
    const of = (holder: typeof first, output: string) => ({
      jobId: holder.jobId,
      delivery: holder.delivery,
      reports: [ran("a", output)],
      knownSeq: 0,
    });
    const items = [of(second, "living"), of(first, "stale")];
    if (place === "first") items.reverse();
    const waiting = new Set(items);
    while (waiting.size > 0) {
      const batch = [...waiting];
      const results = await checkpoint(database.db, batch, () => false);
      for (const [n, result] of results.entries()) {
        if (result === AGAIN) continue;
        waiting.delete(batch[n]!);
        expect(result.verdict).toBe(batch[n]!.delivery === second.delivery ? "go" : "stale");
      }
    }
    expect((await readSteps(database.db, first.jobId)).a).toMatchObject({ output: "living" });
  },
);

test.each(["first", "last"])("a stale settlement that shares a batch changes nothing, it comes %s", async (place) => {
  const { first, second } = await twoDeliveries();
  const items = [
    settlement(second, { kind: "done", output: '"living"' }),
    settlement(first, { kind: "done", output: '"stale"' }),
  ];
  if (place === "first") items.reverse();
  const waiting = new Set(items);
  while (waiting.size > 0) {
    const batch = [...waiting];
    const results = await settle(database.db, batch);
    for (const [n, result] of results.entries()) {
      if (result === AGAIN) continue;
      waiting.delete(batch[n]!);
      expect(result.kind).toBe(batch[n]!.delivery === second.delivery ? "settled" : "stale");
    }
  }
  const { rows } = await database.db.script(
    `select output from rotor.deliveries where job_id = '${first.jobId}' and delivery = ${second.delivery}`,
  );
  expect(rows).toEqual([{ output: '"living"' }]);
});

test("a report that comes again is answered with what is stored, since another may have brought that", async () => {
  const holder = await activeRun(database.db, queueId);
  await checkpointOne(database.db, holder, [ran("a", "stored")]);
  const again = await checkpointOne(database.db, holder, [ran("a", "of its twin")]);
  expect(again.steps).toMatchObject([{ key: "a", output: "stored" }]);
});

/** "Not yet", of an app whose code has been given the results up to this one. */
const seen = (seenSeq: number, reports: readonly Report[] = []): End => ({
  kind: "waiting",
  reports,
  knownSeq: 0,
  seenSeq,
});

test("a result whose reply was lost lets the run go on, though another step waits for long", async () => {
  const holder = await activeRun(database.db, queueId);
  await checkpointOne(database.db, holder, [ran("a"), waitFor("w", "never")]);
  const settled = await settleOne(database.db, holder, seen(0, [ran("a"), waitFor("w", "never")]));
  expect(settled).toMatchObject({ kind: "settled", next: holder.delivery + 1 });
});

test("so does a sleep whose end was told in a reply that was lost", async () => {
  const holder = await activeRun(database.db, queueId);
  await checkpointOne(database.db, holder, [{ kind: "sleep", key: "z", delay_ms: 0 }, waitFor("w", "never")]);
  await checkpointOne(database.db, holder, []);
  expect((await readSteps(database.db, holder.jobId)).z).toMatchObject({ state: "completed" });
  const settled = await settleOne(database.db, holder, seen(0));
  expect(settled).toMatchObject({ kind: "settled", next: holder.delivery + 1 });
});

test("its end is told to the next report, too", async () => {
  const holder = await activeRun(database.db, queueId);
  await checkpointOne(database.db, holder, [{ kind: "sleep", key: "z", delay_ms: 0 }, waitFor("w", "never")]);
  await checkpointOne(database.db, holder, []);
  const { steps } = await checkpointOne(database.db, holder, [ran("a")]);
  expect(steps.map(({ key }) => key)).toEqual(["z", "a", "w"]);
});

test("a run whose code has seen all that ended sleeps at once, without another delivery", async () => {
  const holder = await activeRun(database.db, queueId);
  await checkpointOne(database.db, holder, [{ kind: "sleep", key: "z", delay_ms: 0 }]);
  const { steps } = await checkpointOne(database.db, holder, []);
  const seenSeq = steps.at(-1)!.seq!;
  const end = seen(seenSeq, [waitFor("w", "never")]);
  expect(await settleOne(database.db, holder, end)).toMatchObject({ kind: "settled", next: null, state: "waiting" });
});

test("a sleep until a time in the past is no failed attempt, however short the delivery was", async () => {
  const holder = await activeRun(database.db, queueId);
  // No time at all between the delivery's begin and its answer: what the settle itself takes is longer.
  await settleOne(database.db, holder, notYet([{ kind: "sleep", key: "z", until_ms: 0 }], 0), { durationMs: 0 });
  expect(await readJob(database.db, holder.jobId)).toMatchObject({ state: "waiting", attempt: 0 });
  await claimOne(database.db, queueId, holder.jobId);
  expect((await readSteps(database.db, holder.jobId)).z).toMatchObject({ state: "completed" });
});
