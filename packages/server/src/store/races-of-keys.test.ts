/** Races for keys: turns, grants, rates. What a race is: testing-kit/races.ts. */
import { afterAll, beforeAll, beforeEach } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  callbackQueue,
  claimAll,
  claimOne,
  clearJobs,
  enqueueAll,
  functionQueue,
  newJob,
  newRun,
  settleOne,
} from "../testing-kit/fixtures.js";
import { mutantDb } from "../testing-kit/mutants.js";
import { inOrder, race, value, without } from "../testing-kit/races.js";
import { limitKey } from "./concurrency-keys.js";
import { cancel } from "./control.js";
import type { Db } from "./db.js";

let database: TestDatabase;
/** Two queues, so that the lock on a queue does not keep two claims apart. */
let a: number;
let b: number;
let rated: number;
let late: number;
/** Two functions, for the same reason. */
let f: number;
let g: number;
beforeAll(async () => {
  database = await testDatabase();
  a = (await callbackQueue(database.db, "a", { concurrency: null })).id;
  b = (await callbackQueue(database.db, "b", { concurrency: null })).id;
  const rate = { limit: 3, periodMs: 60_000, key: null };
  late = (await callbackQueue(database.db, "late", { concurrency: null })).id;
  f = await functionQueue(database.db, "f");
  g = await functionQueue(database.db, "g");
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

/** A run whose keys are these, one of each at a time. */
const run = (queueId: number, ...keys: string[]) =>
  newRun(queueId, {}, { functionKeys: keys.map((key) => ({ key, limit: 1 })) });

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

compete(
  "two claimers of two functions, and one turn of a second key",
  async (db) => {
    await enqueueAll(db, [run(f, "one", "both"), run(g, "other", "both")]);
    // A function's keys are its own. Were they not, the lock on a queue would not keep two claims apart.
    await db.script(
      "update rotor.jobs set second_key_id = (select id from rotor.keys where key = '1:both' order by id limit 1)",
    );
    await inOrder(
      { after: "keys.turns" },
      db,
      (each) => claimAll(each, f),
      (each) => claimAll(each, g),
    );
    return (await active(db)) === 1 && (await stranded(db)) === 1;
  },
  { "no lock on the key": (db) => without(db, "keys.lock-ids", "for no key update of key") },
);

compete(
  "a run that comes while the holder of its second key ends",
  async (db) => {
    const holder = run(f, "one", "both");
    await enqueueAll(db, [holder]);
    const held = await claimOne(db, f, holder.id);
    await inOrder(
      { after: "keys.turns" },
      db,
      (each) => enqueueAll(each, [run(f, "other", "both")]),
      (each) => settleOne(each, held, done),
    );
    return (await stranded(db)) === 0 && (await claimAll(db, f)).length === 1;
  },
  {
    "no lock before the grant": (db) => without(db, "keys.lock", "for no key update"),
    "a grant that is for first keys only": (db) =>
      mutantDb(db, "settle.move", (text) => text.replace("job.second_key_id as", "null::int as")),
  },
);

compete(
  "a run that comes while a claim leaves it the turn that another cannot use",
  async (db) => {
    const holder = run(f, "one", "both");
    await enqueueAll(db, [holder]);
    const held = await claimOne(db, f, holder.id);
    const first = run(f, "two", "both");
    const next = run(f, "two", "free");
    await enqueueAll(db, [first]);
    // As a grant leaves one whose other key was taken meanwhile.
    await db.script(`update rotor.jobs set blocked_on = null where id = '${first.id}'`);
    await inOrder(
      { after: "keys.turns" },
      db,
      (each) => enqueueAll(each, [next]),
      (each) => claimAll(each, f),
    );
    const taken = await claimAll(db, f);
    await settleOne(db, held, done);
    return taken.length === 1 && taken[0]!.jobId === next.id;
  },
  { "no lock on the key": (db) => without(db, "keys.lock-ids", "for no key update of key") },
);

compete(
  "a claim that binds what came before its rate had a key, and an enqueue under the same keys",
  async (db) => {
    const customer = (n: number, concurrencyKey: string) =>
      newJob(late, { concurrencyKey, body: Buffer.from(JSON.stringify({ n })) });
    const rate = (key: string | null) =>
      db.script(
        `update rotor.queues set rate_limit = ${key && 5}, rate_period_ms = ${key && 60_000}, rate_key = ${key && `'${key}'`} where id = ${late}`,
      );
    await rate(null);
    const before = customer(2, "before");
    await enqueueAll(db, [before]);
    await rate("payload.n");
    // Its key is older than that of the rate which the claim binds to.
    const bound = customer(1, "bound");
    await enqueueAll(db, [bound]);
    await enqueueAll(db, [customer(2, "any")]);
    let begun = 0;
    const counted: Db = {
      ...db,
      transact: (work) =>
        db.transact((t) => {
          begun++;
          return work(t);
        }),
    };
    const [claimed] = await inOrder(
      { after: "keys.lock-named" },
      counted,
      (each) => claimAll(each, late),
      (each) => enqueueAll(each, [customer(2, "bound")]),
    );
    // No deadlock that Postgres had to break up, and nobody was left out for fear of one.
    return begun === 2 && value(claimed).length === 3;
  },
  {
    "the keys of the others locked later": (db) =>
      without(
        db,
        "keys.lock-named",
        `
        union all
        select unnest($5::int[])`,
      ),
  },
);
