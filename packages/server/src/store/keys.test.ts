/** Concurrency keys, rates, breakers and strict slots: who is claimed, who waits for what, and who goes on when. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, claimAll, claimOne, enqueueAll, newJob, settleOne } from "../testing-kit/fixtures.js";
import { claim, lookForDue } from "./claim.js";
import { limitKey } from "./concurrency-keys.js";
import { cancel, retry } from "./control.js";
import { grantStranded } from "./keys.js";
import { failQueue, pauseQueue, type QueueSettings, resetQueue, updateQueue } from "./queues.js";
import { openRateKeys } from "./rate-keys.js";
import { rescueDead } from "./rescue.js";
import { forgetSlots } from "./slots.js";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.close());

let named = 0;
const name = (): string => `q${++named}`;
const queueOf = (settings: Partial<QueueSettings> = {}) =>
  callbackQueue(database.db, name(), { concurrency: null, ...settings });

const done = { kind: "done", output: null } as const;
const failed = { kind: "failed", final: false, error: { name: "Error", message: "no" } } as const;

async function statesOf(ids: readonly string[]): Promise<{ state: string; blocked: boolean }[]> {
  const { rows } = await database.db.script(
    `select id, state, blocked_on is not null as blocked from rotor.jobs where id in ('${ids.join("','")}')`,
  );
  return ids.map((id) => {
    const { state, blocked } = rows.find((row) => row.id === id);
    return { state, blocked };
  });
}
const blockedOf = async (ids: readonly string[]): Promise<boolean[]> =>
  (await statesOf(ids)).map(({ blocked }) => blocked);

test("jobs of one key go one at a time, over two queues, in the order in which they came", async () => {
  const { db } = database;
  const [a, b] = [await queueOf(), await queueOf()];
  const jobs = [a, b, a, b].map((queue) => newJob(queue.id, { concurrencyKey: "customer-1" }));
  for (const job of jobs) await enqueueAll(db, [job]);
  const other = newJob(a.id, { concurrencyKey: "customer-2" });
  await enqueueAll(db, [other]);
  expect(await blockedOf(jobs.map((job) => job.id))).toEqual([false, true, true, true]);
  for (const [index, job] of jobs.entries()) {
    const { taken } = await claim(db, newId(), [a.id, b.id], 100);
    expect(taken.map((each) => each.jobId).filter((id) => id !== other.id)).toEqual([job.id]);
    const holder = { jobId: job.id, delivery: 1, attempt: 1, parentId: null, kind: "callback" as const };
    await settleOne(db, holder, done);
    expect(await blockedOf(jobs.map((each) => each.id))).toEqual(jobs.map((_, place) => place > index + 1));
  }
});

test("a key's limit says how many; a higher one lets more go on at once", async () => {
  const { db } = database;
  const queue = await queueOf();
  const key = name();
  await limitKey(db, "default", key, 2);
  const jobs = Array.from({ length: 6 }, () => newJob(queue.id, { concurrencyKey: key }));
  await enqueueAll(db, jobs);
  expect(await blockedOf(jobs.map((job) => job.id))).toEqual([false, false, true, true, true, true]);
  expect(await claimAll(db, queue.id)).toHaveLength(2);
  await limitKey(db, "default", key, 5);
  expect(await claimAll(db, queue.id)).toHaveLength(3);
  expect(await claimAll(db, queue.id)).toHaveLength(0);
});

test("a job in back-off gives up its turn, unless its key's order is strict", async () => {
  const { db } = database;
  for (const [keyOrder, goes] of [
    ["started", true],
    ["strict", false],
  ] as const) {
    const queue = await queueOf();
    const key = name();
    const [first, second] = [
      newJob(queue.id, { concurrencyKey: key, keyOrder }),
      newJob(queue.id, { concurrencyKey: key, keyOrder }),
    ];
    await enqueueAll(db, [first]);
    await enqueueAll(db, [second]);
    const holder = await claimOne(db, queue.id, first.id);
    await settleOne(db, holder, failed);
    expect((await claimAll(db, queue.id)).map((job) => job.jobId)).toEqual(goes ? [second.id] : []);
    await database.shiftClock(1_100);
    expect((await claimAll(db, queue.id)).map((job) => job.jobId)).toEqual(goes ? [] : [first.id]);
    await database.shiftClock(0);
  }
});

test("a strict job that failed for good lets the next go on, and waits for its turn when it is retried", async () => {
  const { db } = database;
  const queue = await queueOf();
  const key = name();
  const jobs = [1, 2].map(() => newJob(queue.id, { concurrencyKey: key, keyOrder: "strict" as const }));
  await enqueueAll(db, jobs);
  await settleOne(db, await claimOne(db, queue.id, jobs[0]!.id), { ...failed, final: true });
  const second = await claimOne(db, queue.id, jobs[1]!.id);
  expect(await retry(db, [jobs[0]!.id])).toHaveLength(1);
  expect(await blockedOf([jobs[0]!.id])).toEqual([true]);
  await settleOne(db, second, done);
  expect((await claimAll(db, queue.id)).map((job) => job.jobId)).toEqual([jobs[0]!.id]);
});

test("cancelling the holder of a turn passes it on; cancelling one that waits does not", async () => {
  const { db } = database;
  const queue = await queueOf();
  const key = name();
  const jobs = [1, 2, 3].map(() => newJob(queue.id, { concurrencyKey: key }));
  await enqueueAll(db, jobs);
  const ids = jobs.map((job) => job.id);
  await claimOne(db, queue.id, ids[0]!);
  await cancel(db, [ids[1]!]);
  expect(await blockedOf(ids)).toEqual([false, false, true]);
  await cancel(db, [ids[0]!]);
  expect((await claimAll(db, queue.id)).map((job) => job.jobId)).toEqual([ids[2]]);
});

test("a delayed job asks for its turn when it is due, and waits if it is taken", async () => {
  const { db } = database;
  const queue = await queueOf();
  const key = name();
  const [late, now] = [
    newJob(queue.id, { concurrencyKey: key, delayMs: 60_000 }),
    newJob(queue.id, { concurrencyKey: key }),
  ];
  await enqueueAll(db, [late]);
  await enqueueAll(db, [now]);
  const holder = await claimOne(db, queue.id, now.id);
  await database.shiftClock(61_000);
  expect(await claim(db, newId(), [queue.id], 10)).toEqual({ taken: [], blocked: 1 });
  await settleOne(db, holder, done);
  expect((await claimAll(db, queue.id)).map((job) => job.jobId)).toEqual([late.id]);
  await database.shiftClock(0);
});

test("jobs of a paused queue do not stand in the way of others of their key", async () => {
  const { db } = database;
  const [paused, open] = [await queueOf(), await queueOf()];
  const key = name();
  await pauseQueue(db, "default", "callback", paused.name, true);
  const waiting = Array.from({ length: 5 }, () => newJob(paused.id, { concurrencyKey: key }));
  await enqueueAll(db, waiting);
  const free = [newJob(open.id, { concurrencyKey: key }), newJob(open.id, { concurrencyKey: key })];
  await enqueueAll(db, free);
  await grantStranded(db, 0);
  const first = await claimAll(db, open.id);
  expect(first.map((job) => job.jobId)).toEqual([free[0]!.id]);
  await settleOne(db, { ...first[0]!, attempt: 1, parentId: null }, done);
  expect((await claimAll(db, open.id)).map((job) => job.jobId)).toEqual([free[1]!.id]);
});

test("a rate key whose limit gets a longer period while jobs wait for it opens after that period", async () => {
  const { db } = database;
  const rate = { limit: 1, periodMs: 4_000, key: "payload.customer" };
  const queue = await queueOf({ rate });
  const jobs = [1, 2].map(() => newJob(queue.id, { body: Buffer.from('{"customer":"acme"}') }));
  for (const job of jobs) await enqueueAll(db, [job]);
  await claimOne(db, queue.id, jobs[0]!.id);
  expect(await blockedOf([jobs[1]!.id])).toEqual([true]);
  await updateQueue(db, "default", queue.name, { ...queue, rate: { ...rate, periodMs: 10_000 } });
  expect((await openRateKeys(db)).opened).toBe(false);
  await database.shiftClock(9_000);
  expect((await openRateKeys(db)).opened).toBe(false);
  await database.shiftClock(12_000);
  expect((await openRateKeys(db)).opened).toBe(true);
  expect((await claimAll(db, queue.id)).map((job) => job.jobId)).toEqual([jobs[1]!.id]);
  await database.shiftClock(0);
});

test("of a queue's rate limit no span of its period sees more, and all of them begin in the end", async () => {
  const { db } = database;
  const queue = await queueOf({ rate: { limit: 10, periodMs: 1_000, key: null } });
  await enqueueAll(
    db,
    Array.from({ length: 45 }, () => newJob(queue.id)),
  );
  const nowMs = async (): Promise<number> =>
    (await db.script("select (extract(epoch from rotor.clock()) * 1000)::float8 as ms")).rows[0].ms;
  const begun: { before: number; after: number }[] = [];
  for (let at = 0; begun.length < 45 && at < 10_000; at += 37) {
    await database.shiftClock(at);
    for (let again = 0; again < 2; again++) {
      const before = await nowMs();
      const taken = await claimAll(db, queue.id);
      const after = await nowMs();
      begun.push(...taken.map(() => ({ before, after })));
    }
  }
  await database.shiftClock(0);
  expect(begun).toHaveLength(45);
  for (const [place, { before }] of begun.entries()) {
    // Those that surely began within a second of it: each began between its two times.
    const within = begun.slice(place).filter((other) => other.after < before + 1_000);
    expect(within.length).toBeLessThanOrEqual(10);
  }
});

test("a queue whose rate is used up is not visited before there is room again", async () => {
  const { db } = database;
  const queue = await queueOf({ rate: { limit: 1, periodMs: 60_000, key: null } });
  await enqueueAll(db, [newJob(queue.id), newJob(queue.id)]);
  expect(await claimAll(db, queue.id)).toHaveLength(1);
  const [due] = (await lookForDue(db)).filter((each) => each.queueId === queue.id);
  expect(due!.dueInMs).toBeGreaterThan(59_000);
  expect(due!.dueInMs).toBeLessThanOrEqual(63_000);
  expect(await claimAll(db, queue.id)).toHaveLength(0);
});

test("a rate with a key is one for each value of it, and what waits for one value holds up no other", async () => {
  const { db } = database;
  const queue = await queueOf({ rate: { limit: 2, periodMs: 60_000, key: "payload.customer" } });
  const of = (customer: string) => newJob(queue.id, { body: Buffer.from(JSON.stringify({ customer })) });
  const results = await enqueueAll(db, [of("a"), of("a"), of("a"), of("a"), of("b")]);
  expect(results.map((result) => result.blocked)).toEqual([false, false, true, true, false]);
  expect(await claimAll(db, queue.id)).toHaveLength(3);
  const [later] = await enqueueAll(db, [of("b")]);
  expect(later!.blocked).toBe(false);
  expect(await claimAll(db, queue.id)).toHaveLength(1);
  expect((await openRateKeys(db)).opened).toBe(false);
  await database.shiftClock(64_000);
  expect((await openRateKeys(db)).opened).toBe(true);
  expect(await claimAll(db, queue.id)).toHaveLength(2);
  await database.shiftClock(0);
});

test("a key that a rate gets later limits what waits already", async () => {
  const { db } = database;
  const queue = await queueOf({ rate: { limit: 2, periodMs: 60_000, key: null } });
  const of = (customer: string) => newJob(queue.id, { body: Buffer.from(JSON.stringify({ customer })) });
  await enqueueAll(db, [of("a"), of("a"), of("a"), of("b")]);
  const rate = { limit: 2, periodMs: 60_000, key: "payload.customer" };
  await updateQueue(db, "default", queue.name, { ...queue, rate });
  const begun: number[] = [];
  for (let look = 0; look < 4; look++) begun.push((await claimAll(db, queue.id)).length);
  expect(begun.reduce((sum, count) => sum + count, 0)).toBe(3);
});

test("an open breaker sends one job at a time until the endpoint is well again", async () => {
  const { db } = database;
  const queue = await queueOf({ breaker: { failures: 3, minMs: 10_000, maxMs: 30_000 } });
  await enqueueAll(
    db,
    Array.from({ length: 20 }, () => newJob(queue.id)),
  );
  for (let n = 0; n < 3; n++) await failQueue(db, queue.id, false);
  expect(await claimAll(db, queue.id)).toHaveLength(0);
  // Those that were on their way when it opened do not open it once more.
  await failQueue(db, queue.id, false);
  await database.shiftClock(10_500);
  expect(await claimAll(db, queue.id)).toHaveLength(1);
  expect(await claimAll(db, queue.id)).toHaveLength(0);
  await failQueue(db, queue.id, true);
  await database.shiftClock(21_500);
  expect(await claimAll(db, queue.id)).toHaveLength(0);
  await database.shiftClock(31_500);
  expect(await claimAll(db, queue.id)).toHaveLength(1);
  await resetQueue(db, queue.id, null);
  expect(await claimAll(db, queue.id)).toHaveLength(18);
  await database.shiftClock(0);
});

test("in a strict queue the slot of an unanswered delivery is kept until its limit has passed", async () => {
  const { db } = database;
  const queue = await queueOf({ concurrency: 1, strictConcurrency: true, timeoutMs: 30_000 });
  const jobs = [newJob(queue.id), newJob(queue.id)];
  await enqueueAll(db, jobs);
  const holder = await claimOne(db, queue.id, jobs[0]!.id);
  await settleOne(db, holder, failed, { lingers: true });
  expect(await claimAll(db, queue.id)).toHaveLength(0);
  await database.shiftClock(34_000);
  expect(await claimAll(db, queue.id)).toHaveLength(0);
  await database.shiftClock(36_000);
  const [next] = await claimAll(db, queue.id);
  expect(next!.jobId).toBe(jobs[1]!.id);
  // An operator who cancels it frees no slot either: its endpoint is at work.
  await cancel(db, [jobs[1]!.id]);
  expect(await claimAll(db, queue.id)).toHaveLength(0);
  await database.shiftClock(80_000);
  await forgetSlots(db);
  expect((await claimAll(db, queue.id)).map((job) => job.jobId)).toEqual([jobs[0]!.id]);
  await database.shiftClock(0);
});

test("a waiting job is replaced by a later one of its id; one that is active is not", async () => {
  const { db } = database;
  const queue = await queueOf();
  const send = (text: string, more = {}) =>
    newJob(queue.id, { key: "debounced", body: Buffer.from(text), replaces: true, ...more });
  const [first] = await enqueueAll(db, [send("1", { delayMs: 5_000 })]);
  const [second] = await enqueueAll(db, [send("2", { delayMs: 9_000, tags: ["late"] })]);
  expect(second).toMatchObject({ id: first!.id, duplicate: true, replaced: true, payloadDiffers: false });
  await database.shiftClock(6_000);
  expect(await claimAll(db, queue.id)).toHaveLength(0);
  await database.shiftClock(9_500);
  expect(await claimAll(db, queue.id)).toHaveLength(1);
  await database.shiftClock(0);
  const { rows } = await database.db.script(`select body, tags from rotor.payloads where job_id = '${first!.id}'`);
  expect([rows[0].body.toString(), rows[0].tags]).toEqual(["2", ["late"]]);
  const [third] = await enqueueAll(db, [send("3")]);
  expect(third).toMatchObject({
    id: first!.id,
    duplicate: true,
    replaced: false,
    payloadDiffers: true,
    state: "active",
  });
});

test("a strict job between its attempts waits while its key's place is taken: by its last delivery, or by a lower limit", async () => {
  const { db } = database;
  const queue = await queueOf({ strictConcurrency: true });
  const [key, lowered] = [name(), name()];
  const orphan = newJob(queue.id, { concurrencyKey: key, keyOrder: "strict" });
  await enqueueAll(db, [orphan]);
  const node = newId();
  expect(await claimAll(db, queue.id, node)).toHaveLength(1);
  await db.script(
    `insert into rotor.nodes (id, label, started_at, lease_until) values ('${node}', 'dead', now(), now() - interval '1 second')`,
  );
  expect(await rescueDead(db)).toBe(1);
  expect(await claimAll(db, queue.id)).toHaveLength(0);
  await enqueueAll(db, [newJob(queue.id, { concurrencyKey: key, keyOrder: "strict" })]);
  await database.shiftClock(60_000);
  await forgetSlots(db);
  expect((await claimAll(db, queue.id)).map((job) => job.jobId)).toEqual([orphan.id]);
  await limitKey(db, "default", lowered, 2);
  const jobs = [1, 2].map(() => newJob(queue.id, { concurrencyKey: lowered, keyOrder: "strict" }));
  await enqueueAll(db, jobs);
  // A claim answers in no order; whose back-off ends first is said here.
  expect(await claimAll(db, queue.id)).toHaveLength(2);
  for (const { id } of jobs)
    await settleOne(db, { jobId: id, delivery: 1, attempt: 1, parentId: null, kind: "callback" }, failed);
  await limitKey(db, "default", lowered, 1);
  await database.shiftClock(65_000);
  expect((await claimAll(db, queue.id)).map((job) => job.jobId)).toEqual([jobs[0]!.id]);
  await settleOne(db, { jobId: jobs[0]!.id, delivery: 2, attempt: 2, parentId: null, kind: "callback" }, done);
  expect((await claimAll(db, queue.id)).map((job) => job.jobId)).toEqual([jobs[1]!.id]);
  await database.shiftClock(0);
});
