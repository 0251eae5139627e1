/** Values of a rate key: what waits for one goes on in the measure in which there is room, whatever else holds it up. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, claimAll, enqueueAll, newJob } from "../testing-kit/fixtures.js";
import { claim } from "./claim.js";
import { pauseQueue, type QueueSettings, updateQueue } from "./queues.js";
import { openRateKeys } from "./rate-keys.js";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.close());

let named = 0;
const queueOf = (settings: Partial<QueueSettings> = {}) =>
  callbackQueue(database.db, `q${++named}`, { concurrency: null, ...settings });

test("a rate key lets no more go than there is room for while its queue is paused or full, on however many nodes", async () => {
  const { db } = database;
  const rate = { limit: 2, periodMs: 2_000, key: "payload.customer" };
  for (const why of ["paused", "full"] as const) {
    const queue = await queueOf({ rate, concurrency: why === "full" ? 1 : null });
    const jobs = Array.from({ length: 20 }, () => newJob(queue.id));
    await enqueueAll(db, jobs);
    await claimAll(db, queue.id);
    const waits = async () => {
      const { rows } = await db.script(
        `select count(*)::int as count from rotor.jobs where queue_id = ${queue.id} and state = 'waiting' and blocked_on is null`,
      );
      return rows[0].count;
    };
    if (why === "paused") await pauseQueue(db, "default", "callback", queue.name, true);
    for (let second = 3; second < 10; second++) {
      await database.shiftClock(second * 1_000);
      await Promise.all(Array.from({ length: 3 }, () => openRateKeys(db)));
      expect(await waits()).toBe(2);
    }
    if (why === "paused") {
      await pauseQueue(db, "default", "callback", queue.name, false);
      expect(await claimAll(db, queue.id)).toHaveLength(2);
      // It was looked at half a minute ago at most while it was paused; whoever resumes it does not wait for that.
      await pauseQueue(db, "default", "callback", queue.name, true);
      await database.shiftClock(14_000);
      await openRateKeys(db);
      await pauseQueue(db, "default", "callback", queue.name, false);
      expect(await claimAll(db, queue.id)).toHaveLength(2);
      await database.shiftClock(18_000);
      await openRateKeys(db);
      expect(await claimAll(db, queue.id)).toHaveLength(2);
    }
    await database.shiftClock(0);
  }
});

test("a backlog that gets a rate key is bound to it in bounded steps, and none of it goes beside the limit", async () => {
  const { db } = database;
  const queue = await queueOf();
  await enqueueAll(
    db,
    Array.from({ length: 700 }, () => newJob(queue.id)),
  );
  await updateQueue(db, "default", queue.name, {
    ...queue,
    rate: { limit: 3, periodMs: 60_000, key: "payload.customer" },
  });
  const bound = async (): Promise<number> => {
    const { rows } = await db.script(
      `select count(*)::int as count from rotor.jobs where queue_id = ${queue.id} and rate_key_id is not null`,
    );
    return rows[0].count;
  };
  const first = await claim(db, newId(), [queue.id], 1_000);
  expect(first.taken).toHaveLength(3);
  expect(await bound()).toBe(100);
  let taken = 0;
  for (let claimed = first; claimed.blocked > 0; taken += claimed.taken.length)
    claimed = await claim(db, newId(), [queue.id], 1_000);
  expect([taken, await bound()]).toEqual([0, 700]);
});
