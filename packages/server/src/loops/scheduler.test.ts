import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Db } from "../store/db.js";
import { violations } from "../store/invariants.js";
import { writeSchedule } from "../store/schedules.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, clearJobs, WORKSPACE } from "../testing-kit/fixtures.js";
import { createScheduler } from "./scheduler.js";

const HOUR_MS = 3_600_000;
let database: TestDatabase;
let queueId: number;

beforeAll(async () => {
  database = await testDatabase();
  queueId = (await callbackQueue(database.db)).id;
  const body = Buffer.from("{}");
  const settings = { queueId, cron: "0 * * * *", timezone: "UTC", body, contentType: "application/json" };
  await writeSchedule(database.db, WORKSPACE, "hourly", settings, "create");
});

beforeEach(async () => {
  await clearJobs(database.db);
  await database.shiftClock(0);
  await database.db.script(
    "update rotor.schedules set next_at = date_trunc('hour', rotor.clock()) + interval '1 hour'",
  );
});

afterAll(() => database.close());

const scheduler = (db: Db = database.db, held = false) =>
  createScheduler({
    db,
    held: () => held,
    onDue: () => undefined,
    onError: (error) => expect.unreachable(String(error)),
  });

const jobs = async (): Promise<number> => (await database.db.script("select 1 from rotor.payloads")).rows.length;

test("one tick on three schedulers enqueues once, and the next tick once more", async () => {
  const three = [scheduler(), scheduler(), scheduler()];
  await database.shiftClock(HOUR_MS);
  await Promise.all(three.map((loop) => loop.tick()));
  expect(await jobs()).toBe(1);
  await database.shiftClock(2 * HOUR_MS);
  await Promise.all(three.map((loop) => loop.tick()));
  expect(await jobs()).toBe(2);
  expect(await violations(database.db)).toEqual([]);
});

test("ticks that were missed are caught up once", async () => {
  await database.shiftClock(10 * HOUR_MS);
  await scheduler().tick();
  await scheduler().tick();
  expect(await jobs()).toBe(1);
});

test("a clock that is set back does not repeat a tick", async () => {
  await database.shiftClock(HOUR_MS);
  await scheduler().tick();
  await database.shiftClock(0);
  await database.db.script("update rotor.schedules set next_at = last_at");
  await database.shiftClock(HOUR_MS);
  await scheduler().tick();
  expect(await jobs()).toBe(1);
});

test("it sleeps until the next tick, and never longer than a poll", async () => {
  expect(await scheduler().tick()).toBeGreaterThan(0);
  expect(await scheduler().tick()).toBeLessThanOrEqual(1_000);
});

test("a held database ticks nothing", async () => {
  await database.shiftClock(HOUR_MS);
  await scheduler(database.db, true).tick();
  expect(await jobs()).toBe(0);
});

test("a fan-out that cannot be finished stops no schedule", async () => {
  await database.shiftClock(HOUR_MS);
  const broken: Db = {
    ...database.db,
    transact: (work) =>
      database.db.transact((t) =>
        work({
          async query(statement, values) {
            if (statement.name === "publish.unfinished") throw new Error("a bad event");
            return t.query(statement, values);
          },
        }),
      ),
  };
  await expect(scheduler(broken).tick()).rejects.toThrow("a bad event");
  expect(await jobs()).toBe(1);
});
