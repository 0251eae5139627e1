/** Races for keys: turns, grants, rates. What a race is: testing-kit/races.ts. */
import { afterAll, beforeAll, beforeEach } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  callbackQueue,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  newJob,
  settleOne,
} from "../testing-kit/fixtures.js";
import { inOrder, race, value, without } from "../testing-kit/races.js";
import { limitKey } from "./concurrency-keys.js";
import { cancel } from "./control.js";
import type { Db } from "./db.js";

let database: TestDatabase;
/** Two queues, so that the lock on a queue does not keep two claims apart. */
let a: number;
let b: number;
let rated: number;
beforeAll(async () => {
  database = await testDatabase();
  a = (await callbackQueue(database.db, "a", { concurrency: null })).id;
  b = (await callbackQueue(database.db, "b", { concurrency: null })).id;
  const rate = { limit: 3, periodMs: 60_000, key: null };
  rated = (await callbackQueue(database.db, "rated", { concurrency: null, rate })).id;
});
beforeEach(async () => {
  await clearJobs(database.db);
  await database.db.script("delete from rotor.keys");
});
afterAll(() => database.close());

const compete = race.bind(undefined, () => database);
const done = { kind: "done", output: null } as const;
const keyed = (queueId: number) => newJob(queueId, { concurrencyKey: "one" });

const active = async (db: Db): Promise<number> =>
  (await db.script("select count(*)::int as count from rotor.jobs where state = 'active'")).rows[0].count;
const stranded = async (db: Db): Promise<number> =>
  (await db.script("select count(*)::int as count from rotor.jobs where blocked_on is not null")).rows[0].count;

compete(
  "two claimers of two queues, and one turn",
  async (db) => {
    // Both may ask: neither has waited for the other yet.
    await limitKey(db, "default", "one", 2);
    await enqueueAll(db, [keyed(a), keyed(b)]);
    await limitKey(db, "default", "one", 1);
    await inOrder(
      { after: "keys.turns" },
      db,
      (each) => claimAll(each, a),
      (each) => claimAll(each, b),
    );
    return (await active(db)) === 1 && (await stranded(db)) === 1;
  },
  { "no lock on the key": (db) => without(db, "keys.lock-ids", "for no key update of key") },
);

compete(
  "a job that comes while the holder of its turn ends",
  async (db) => {
    const holder = keyed(a);
    await enqueueAll(db, [holder]);
    const held = await claimOne(db, a, holder.id);
    // It has seen that the turn is taken, and waits; the end must see it.
    await inOrder(
      { after: "keys.turns" },
      db,
      (each) => enqueueAll(each, [keyed(b)]),
      (each) => settleOne(each, held, done),
    );
    return (await stranded(db)) === 0 && (await claimAll(db, b)).length === 1;
  },
  { "no lock before the grant": (db) => without(db, "keys.lock", "for no key update") },
);

compete("the end of a turn while a job comes", async (db) => {
  const holder = keyed(a);
  await enqueueAll(db, [holder]);
  const held = await claimOne(db, a, holder.id);
  await inOrder(
    "commit",
    db,
    (each) => settleOne(each, held, done),
    (each) => enqueueAll(each, [keyed(b)]),
  );
  return (await stranded(db)) === 0 && (await claimAll(db, b)).length === 1;
});

compete("a cancel of a job that a grant is about to wake", async (db) => {
  const jobs = [keyed(a), keyed(a), keyed(b)];
  for (const job of jobs) await enqueueAll(db, [job]);
  const held = await claimOne(db, a, jobs[0]!.id);
  const [cancelled, settled] = await inOrder(
    { after: "resume.lock" },
    db,
    (each) => cancel(each, [jobs[1]!.id]),
    (each) => settleOne(each, held, done),
  );
  value(cancelled);
  value(settled);
  // Whoever was in the way of the grant, or the cancel itself, has let the third go on.
  return (await stranded(db)) === 0 && (await claimAll(db, b)).length === 1;
});

compete(
  "two claimers, and a rate",
  async (db) => {
    await db.script(`update rotor.queues set rate_counts = '{}', rate_bucket = null, rate_open_at = '-infinity'`);
    await enqueueAll(
      db,
      Array.from({ length: 10 }, () => newJob(rated)),
    );
    await inOrder(
      { after: "claim.take" },
      db,
      (each) => claimAll(each, rated),
      (each) => claimAll(each, rated),
    );
    await claimAll(db, rated);
    return (await active(db)) === 3;
  },
  { "no lock on the queue": (db) => without(db, "claim.lock", "for no key update skip locked") },
);
