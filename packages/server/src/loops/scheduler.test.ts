import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Db } from "../store/db.js";
import { violations } from "../store/invariants.js";
import { createSchedule, getSchedule, type ScheduleSettings } from "../store/schedules.js";
import { type Ticked, tick } from "../store/ticks.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, clearJobs, WORKSPACE } from "../testing-kit/fixtures.js";
import { createScheduler } from "./scheduler.js";

const HOUR_MS = 3_600_000;
let database: TestDatabase;
let queueId: number;

const hourly = (more: Partial<ScheduleSettings> = {}): ScheduleSettings => ({
  queueId,
  cron: "0 * * * *",
  timezone: "UTC",
  body: Buffer.from("{}"),
  contentType: "application/json",
  overlap: "allow",
  catchUp: "last",
  ...more,
});

beforeAll(async () => {
  database = await testDatabase();
  queueId = (await callbackQueue(database.db)).id;
  await createSchedule(database.db, WORKSPACE, "hourly", hourly());
});

beforeEach(async () => {
  await clearJobs(database.db);
  await database.shiftClock(0);
  await database.db.script("delete from rotor.schedules where name <> 'hourly'");
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

/** A schedule beside the one that every test has, due at this hour from now. */
async function second(more: Partial<ScheduleSettings>): Promise<void> {
  await createSchedule(database.db, WORKSPACE, "second", hourly(more));
}
const read = async () => (await getSchedule(database.db, WORKSPACE, "second"))!;
const ticked = async (): Promise<Ticked | undefined> =>
  (await tick(database.db)).find(({ schedule }) => schedule === "second");

test("a tick whose job before is not finished is left out and counted, until it is finished", async () => {
  await second({ overlap: "skip" });
  await database.shiftClock(HOUR_MS);
  const first = await ticked();
  expect(first?.jobIds).toHaveLength(1);
  expect((await read()).lastJobId).toBe(first?.jobIds[0]);
  await database.shiftClock(2 * HOUR_MS);
  expect(await ticked()).toMatchObject({ jobIds: [], skipped: { count: 1 } });
  const skipping = await read();
  expect(skipping).toMatchObject({ skipped: 1, missed: 0, lastJobId: first?.jobIds[0] });
  expect(skipping.skippedAt!.getTime() - skipping.lastAt!.getTime()).toBe(HOUR_MS);
  await database.db.script("update rotor.jobs set state = 'completed', due_at = null");
  await database.shiftClock(3 * HOUR_MS);
  expect((await ticked())?.jobIds).toHaveLength(1);
  expect((await read()).skipped).toBe(1);
});

test("of missed ticks all are made, the latest, or none, and the rest counted", async () => {
  for (const [catchUp, made, missed] of [
    ["all", 10, 0],
    ["last", 1, 9],
    ["none", 0, 10],
  ] as const) {
    await database.shiftClock(0);
    await database.db.script("delete from rotor.schedules where name = 'second'");
    // Half an hour past the full hour, so that no tick has just come, whenever this runs.
    const [row] = (
      await database.db.script("select extract(minute from rotor.clock() + interval '30 minutes')::int as it")
    ).rows;
    await second({ catchUp, cron: `${row.it} * * * *` });
    await database.shiftClock(10 * HOUR_MS);
    expect((await ticked())?.jobIds).toHaveLength(made);
    expect(await read()).toMatchObject({ missed });
  }
});

test("a job bears the time of its tick, so that one that is caught up can be told from the others", async () => {
  await second({ catchUp: "all" });
  await database.shiftClock(3 * HOUR_MS);
  await tick(database.db);
  const { rows } = await database.db.script(
    "select distinct run_at, run_at = date_trunc('hour', run_at) as full, run_at <= rotor.clock() as past from rotor.payloads",
  );
  expect(rows).toHaveLength(3);
  expect(rows.every((row) => row.full && row.past)).toBe(true);
});

test("large payloads are enqueued a few at a time, and all of them", async () => {
  await second({ catchUp: "all", body: Buffer.from(JSON.stringify("x".repeat(1_000_000))) });
  await database.shiftClock(10 * HOUR_MS);
  const counts: number[] = [];
  for (let all = 0; all < 10; all += counts.at(-1)!) counts.push((await ticked())!.jobIds.length);
  expect(counts).toEqual([8, 2]);
  expect(await ticked()).toBeUndefined();
});

test("a zone that this node does not know is left to those that do, and stops no other schedule", async () => {
  await second({});
  await database.db.script("update rotor.schedules set timezone = 'Mars/Olympus' where name = 'second'");
  await database.shiftClock(HOUR_MS);
  await scheduler().tick();
  expect(await jobs()).toBe(1);
  expect(await scheduler().tick()).toBeGreaterThan(0);
  await database.db.script("update rotor.schedules set timezone = 'UTC' where name = 'second'");
  expect((await ticked())?.jobIds).toHaveLength(1);
});

test("10,000 schedules of one second tick once each, however many schedulers there are", async () => {
  await database.db.script(
    `insert into rotor.schedules (workspace_id, queue_id, name, cron, timezone, body, content_type, next_at)
     select workspace_id, queue_id, 'crowd-' || n, cron, timezone, body, content_type, next_at
       from rotor.schedules, generate_series(1, 9999) n where name = 'hourly'`,
  );
  await database.shiftClock(HOUR_MS);
  const due = async (): Promise<number> =>
    (await database.db.script("select 1 from rotor.schedules where next_at <= rotor.clock() limit 1")).rows.length;
  const three = [scheduler(), scheduler(), scheduler()];
  while ((await due()) > 0) await Promise.all(three.map((loop) => loop.tick()));
  expect(await jobs()).toBe(10_000);
  const { rows } = await database.db.script(
    "select count(distinct last_job_id)::int as jobs, min(last_at) = max(last_at) as same from rotor.schedules",
  );
  expect(rows).toEqual([{ jobs: 10_000, same: true }]);
});
