/** Races for ticks: with other nodes, and with changes of their schedule. What a race is: testing-kit/races.ts. */
import { afterAll, beforeAll, beforeEach } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, clearJobs, functionQueue, WORKSPACE } from "../testing-kit/fixtures.js";
import { mutantDb } from "../testing-kit/mutants.js";
import { inOrder, race, value, without } from "../testing-kit/races.js";
import type { Db } from "./db.js";
import {
  changeSchedule,
  createSchedule,
  deleteSchedule,
  getSchedule,
  pauseSchedule,
  putTrigger,
  readClock,
  resumeSchedule,
  type ScheduleSettings,
} from "./schedules.js";
import { tick } from "./ticks.js";

let database: TestDatabase;
let queueId: number;
let now: Date;
/** Due now, and then not before tomorrow; due now too, and in an hour; not due before half a day has passed. */
let daily: string;
let hourly: string;
let elsewhen: string;

beforeAll(async () => {
  database = await testDatabase();
  queueId = (await callbackQueue(database.db)).id;
});
beforeEach(async () => {
  const { db } = database;
  await clearJobs(db);
  await db.script("delete from rotor.schedules");
  now = await readClock(db);
  const [minute, hour] = [now.getUTCMinutes(), now.getUTCHours()];
  daily = `${minute} ${hour} * * *`;
  hourly = `${minute} * * * *`;
  elsewhen = `${minute} ${(hour + 12) % 24} * * *`;
  await createSchedule(db, WORKSPACE, "it", settings("old"));
  await setDue(db, "it");
});
afterAll(() => database.close());

const settings = (body: string, more: Partial<ScheduleSettings> = {}): ScheduleSettings => ({
  queueId,
  cron: daily,
  timezone: "UTC",
  body: Buffer.from(JSON.stringify(body)),
  contentType: "application/json",
  overlap: "allow",
  catchUp: "last",
  ...more,
});

/** Due at the minute of `now`. */
const setDue = async (db: Db, name: string): Promise<void> => {
  const minute = `${now.toISOString().slice(0, 16)}Z`;
  await db.script(`update rotor.schedules set next_at = '${minute}' where name = '${name}'`);
};

const compete = race.bind(undefined, () => database);
const change = (body: string, cron: string) => (db: Db) =>
  changeSchedule(db, WORKSPACE, "it", { body: Buffer.from(JSON.stringify(body)), cron });

/** The payloads of all jobs once no tick is due any more, and the ticks that were reported since. */
async function settled(db: Db): Promise<{ bodies: string[]; late: number }> {
  let late = 0;
  for (let ticked = await tick(db); ticked.length > 0; ticked = await tick(db)) late += ticked.length;
  const { rows } = await db.script("select convert_from(body, 'utf8')::json #>> '{}' as body from rotor.payloads");
  return { bodies: rows.map((row) => row.body as string), late };
}
const only = (bodies: readonly string[], body?: string): boolean =>
  body === undefined ? bodies.length === 0 : bodies.length === 1 && bodies[0] === body;

/** What a change reads is not locked: what it writes is of another time. */
const unlocked = { "no lock on the schedule": (db: Db) => without(db, "schedules.lock", "for no key update") };

/** Two nodes that both see the tick: the lock keeps one away, and where it does not, the moved `next_at` does. */
const blind = (db: Db): Db => without(db, "ticks.due", "for no key update skip locked");
const twoNodes = async (db: Db): Promise<boolean> => {
  const [first, second] = await inOrder("commit", db, tick, tick);
  const { bodies, late } = await settled(db);
  return value(first).length === 1 && value(second).length === 0 && late === 0 && only(bodies, "old");
};
compete("two nodes on one tick", twoNodes, {
  "no lock, and no look at the tick that was seen": (db) =>
    without(blind(db), "ticks.advance", "and schedule.next_at = item.seen_at"),
});
compete("two nodes on one tick, without the lock", (db) => twoNodes(blind(db)));

compete(
  "a change during a tick, which is the old rule's",
  async (db) => {
    const [ticked, changed] = await inOrder({ after: "ticks.due" }, db, tick, change("new", hourly));
    const { bodies, late } = await settled(db);
    const after = await getSchedule(db, WORKSPACE, "it");
    return (
      value(ticked).length === 1 &&
      value(changed) === "changed" &&
      late === 0 &&
      after?.cron === hourly &&
      only(bodies, "old")
    );
  },
  unlocked,
);

compete("a tick during a change, which is the new rule's", async (db) => {
  const [changed, ticked] = await inOrder("commit", db, change("new", hourly), tick);
  const { bodies, late } = await settled(db);
  return value(changed) === "changed" && value(ticked).length === 0 && late === 1 && only(bodies, "new");
});

compete(
  "a tick that was due before a change of the payload alone is not forgotten",
  async (db) => {
    await change("new", daily)(db);
    return only((await settled(db)).bodies, "new");
  },
  {
    "the new rule asked from now": (db) =>
      mutantDb(db, "schedules.update", (text) =>
        text.replace("next_at = $9", "next_at = greatest($9, rotor.clock() + interval '1 minute')"),
      ),
  },
);

compete("a change to a rule without this tick, while it is made", async (db) => {
  await inOrder({ after: "ticks.due" }, db, tick, change("new", elsewhen));
  return only((await settled(db)).bodies, "old");
});
compete("a tick while the rule is changed to one without it", async (db) => {
  await inOrder("commit", db, change("new", elsewhen), tick);
  return only((await settled(db)).bodies);
});

compete(
  "two changes of two settings",
  async (db) => {
    await inOrder(
      { after: "schedules.list" },
      db,
      (each) => changeSchedule(each, WORKSPACE, "it", { cron: hourly }),
      (each) => changeSchedule(each, WORKSPACE, "it", { overlap: "skip" }),
    );
    const after = await getSchedule(db, WORKSPACE, "it");
    return after?.cron === hourly && after.overlap === "skip";
  },
  unlocked,
);

const paused = (db: Db): Promise<void> => pauseSchedule(db, WORKSPACE, "it");
compete("a pause during a tick", async (db) => {
  await inOrder({ after: "ticks.due" }, db, tick, paused);
  return only((await settled(db)).bodies, "old");
});
compete(
  "a tick during a pause",
  async (db) => {
    // As one transaction, so that there is something to stop before.
    const pausing = (each: Db): Promise<void> =>
      each.transact((t) => pauseSchedule({ ...each, ...t }, WORKSPACE, "it"));
    await inOrder("commit", db, pausing, tick);
    return only((await settled(db)).bodies);
  },
  {
    "a tick that looks at no pause": (db) =>
      without(without(db, "ticks.due", "paused_at is null and"), "ticks.load", "and schedule.paused_at is null"),
  },
);
compete("one that goes on after a pause makes up for nothing, and goes on once", async (db) => {
  await paused(db);
  await Promise.all([resumeSchedule(db, WORKSPACE, "it"), resumeSchedule(db, WORKSPACE, "it")]);
  return only((await settled(db)).bodies);
});
compete("one that was not paused loses no tick by going on", async (db) => {
  await resumeSchedule(db, WORKSPACE, "it");
  return only((await settled(db)).bodies, "old");
});
compete(
  "going on during a change",
  async (db) => {
    await paused(db);
    await inOrder("commit", db, change("new", elsewhen), (each) => resumeSchedule(each, WORKSPACE, "it"));
    const after = await getSchedule(db, WORKSPACE, "it");
    return after?.pausedAt === null && after.nextAt.getTime() - (await readClock(db)).getTime() < 12.1 * 3_600_000;
  },
  unlocked,
);

const deleted = (db: Db): Promise<boolean> => deleteSchedule(db, WORKSPACE, "it");
compete("a deletion during a tick", async (db) => {
  const [ticked] = await inOrder({ after: "ticks.due" }, db, tick, deleted);
  return value(ticked).length === 1 && only((await settled(db)).bodies, "old");
});
compete("a tick during a deletion", async (db) => {
  const deleting = (each: Db): Promise<boolean> =>
    each.transact((t) => deleteSchedule({ ...each, ...t }, WORKSPACE, "it"));
  await inOrder("commit", db, deleting, tick);
  return only((await settled(db)).bodies);
});

compete(
  "a sync that changes a function's trigger, during its tick",
  async (db) => {
    await deleted(db);
    const functionId = await functionQueue(db, `clocked-${Math.random().toString(36).slice(2)}`);
    const put = (cron: string) => (each: Db) =>
      each.transact((t) => putTrigger(t, WORKSPACE, "rotor:it", { queueId: functionId, cron, timezone: "UTC" }));
    await put(daily)(db);
    await setDue(db, "rotor:it");
    await inOrder({ after: "ticks.due" }, db, tick, put(hourly));
    const { bodies, late } = await settled(db);
    return bodies.length === 1 && late === 0;
  },
  unlocked,
);
