/** Nodes that claim from one queue at the same time: its limit holds at every commit. */
import { afterAll, beforeAll, beforeEach } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, claimAll, clearJobs, enqueueAll, newJob } from "../testing-kit/fixtures.js";
import { mutantDb } from "../testing-kit/mutants.js";
import { inOrder, race, without } from "../testing-kit/races.js";
import { claimPlain } from "./claim-plain.js";
import type { Db } from "./db.js";

let database: TestDatabase;
/** A callback queue with a concurrency of 10. */
let ten: number;
beforeAll(async () => {
  database = await testDatabase();
  ten = (await callbackQueue(database.db, "ten", { concurrency: 10 })).id;
});
beforeEach(() => clearJobs(database.db));
afterAll(() => database.close());

const compete = race.bind(undefined, () => database);

compete(
  "two claimers, and a limit of 10",
  async (db) => {
    await enqueueAll(
      db,
      Array.from({ length: 40 }, () => newJob(ten)),
    );
    await inOrder(
      { after: "claim.take" },
      db,
      (each) => claimAll(each, ten),
      (each) => claimAll(each, ten),
    );
    await Promise.all(Array.from({ length: 8 }, () => claimAll(db, ten)));
    const { rows } = await db.script("select count(*)::int as count from rotor.jobs where state = 'active'");
    return rows[0].count === 10;
  },
  { "no lock on the queue": (db) => without(db, "claim.lock", "for no key update skip locked") },
);

/** Claims in one round trip. */
const claimAtOnce = async (db: Db): Promise<number> =>
  (await claimPlain(db, { nodeId: newId(), queueIds: [ten], shares: [100], room: 1_000, functions: false, bytes: 0 }))
    .jobs.length;

compete(
  "two claimers in one round trip, and a limit of 10",
  async (db) => {
    await enqueueAll(
      db,
      Array.from({ length: 40 }, () => newJob(ten)),
    );
    await inOrder("commit", db, claimAtOnce, claimAtOnce);
    await Promise.all(Array.from({ length: 8 }, () => claimAtOnce(db)));
    const { rows } = await db.script("select count(*)::int as count from rotor.jobs where state = 'active'");
    return rows[0].count === 10;
  },
  {
    "no lock on the queue": (db) => without(db, "claim-plain.lock", "for no key update skip locked"),
    "queues taken that were not locked": (db) =>
      mutantDb(db, "claim-plain.take", (text) =>
        text.replace(/and queue\.id = any\(\(select string_to_array[^\n]*::int\[\]\)/, ""),
      ),
  },
);
