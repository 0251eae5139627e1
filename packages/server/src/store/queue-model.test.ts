/**
 * The queue against a plain model of it, over random histories; and histories of many at once. `npm run model` plays
 * thousands. What a failure prints, `--seed` and `--path`, plays it again.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue, functionQueue } from "../testing-kit/fixtures.js";
import { mutantDb } from "../testing-kit/mutants.js";
import { histories } from "../testing-kit/queue-model-commands.js";
import { crowds, loose, watchLimits } from "../testing-kit/queue-model-crowd.js";
import { play } from "../testing-kit/queue-model-play.js";
import { openTheatre, type Theatre } from "../testing-kit/queue-model-stage.js";
import { without } from "../testing-kit/races.js";
import type { Db } from "./db.js";
import { BLOCKS } from "./keys.js";

const seed = Number(process.env.ROTOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const numRuns = Number(process.env.ROTOR_HISTORIES ?? 100);
const path = process.env.ROTOR_PATH;
const options = {
  seed,
  numRuns,
  ...(path === undefined ? {} : { path }),
  endOnFailure: process.env.ROTOR_SHRINK === undefined,
};

let theatre: Theatre;
beforeAll(async () => {
  theatre = await openTheatre();
});
afterAll(() => theatre.close());

test(`the store keeps to the model over ${numRuns} histories`, { timeout: 60_000 + numRuns * 2_000 }, async () => {
  console.log(`queue model: ${numRuns} histories of seed ${seed}`);
  await fc.assert(
    fc.asyncProperty(histories, (history) => play(theatre.db, history)),
    options,
  );
});

/** One guard of the store left out, what the model says then, and a seed of histories that come to it soon. */
const mutants: Readonly<Record<string, readonly [mutate: (db: Db) => Db, says: RegExp, seed?: number]>> = {
  "the count of active jobs under a queue's concurrency": [
    (db) => without(without(db, "claim.take", " - active.count"), "claim.candidates", " - active.count"),
    /jobs are active in q\d/,
  ],
  "the count of turns that the jobs of a key have": [
    (db) => without(db, "keys.turns", " - taken.count"),
    /have a turn of (key-|q\d)/,
  ],
  "the count of runs that have a turn by their second key": [
    (db) => mutantDb(db, "keys.turns", (text) => text.replace("where job.second_key_id = key.id", "where false")),
    /have a turn of q\d/,
    7,
  ],
  "the first delivery of a run as the one that its rate counts": [
    (db) =>
      without(
        db,
        "claim.take-these",
        ",\n          rate_key_id = case when queue.kind = 'callback' then job.rate_key_id end",
      ),
    /waits for its rate without a reason|were claimed, which has room for/,
  ],
  "the grant by a claim, of a turn that waits for another key in vain": [
    (db) => mutantDb(db, "keys.turns", (text) => text.replace(`${BLOCKS} as blocks`, "false as blocks")),
    /turns of .* are free while jobs wait/,
  ],
  "the state that a retry expects": [
    (db) => without(db, "control.retry", " and job.state = 'failed'"),
    /a retry of \S+, which is \w+, moved/,
  ],
  "the state that a settle expects, where it is looked at and where it is written": [
    (db) =>
      mutantDb(without(db, "settle.move", " and (job.state || '') = 'active'"), "checkpoint.lock", (text) =>
        text.replace("select id, state", "select id, 'active' as state"),
      ),
    /delivery \d+ of \S+ was settled/,
  ],
};

// A history that is given up goes on upon the theatre's one connection, under the next one: each has time on a busy machine, too.
describe("the model notices the lack of", { timeout: 180_000 }, () => {
  test.each(Object.entries(mutants))("%s", async (_, [mutate, says, soon = 5]) => {
    const found = await fc.check(
      fc.asyncProperty(histories, (history) => play(theatre.db, history, mutate(theatre.db))),
      // The same hundred each time: whether a lack is noticed is not left to luck.
      { seed: soon, numRuns: 100, endOnFailure: true },
    );
    expect(String(found.errorInstance)).toMatch(says);
  });
});

describe("with many at once", () => {
  let database: TestDatabase;
  let queues: [number, number];
  beforeAll(async () => {
    database = await testDatabase();
    const queue = await callbackQueue(database.db, "a", { concurrency: 2 });
    queues = [queue.id, await functionQueue(database.db, "b", { concurrency: 3 })];
    await watchLimits(database.db);
  });
  afterAll(() => database.close());

  test("no limit is exceeded at any commit, and every job ends", async () => {
    await fc.assert(
      fc.asyncProperty(crowds, (crowd) => loose(database.db, database.db, queues, crowd)),
      { seed, numRuns: 4, endOnFailure: true },
    );
  });

  test("a limit would be exceeded if claims did not lock their queues", async () => {
    const mutant = without(database.db, "claim.lock", " for no key update skip locked");
    const found = await fc.check(
      fc.asyncProperty(crowds, (crowd) => loose(mutant, database.db, queues, crowd)),
      { seed, numRuns: 20, endOnFailure: true },
    );
    expect(String(found.errorInstance)).toMatch(/more jobs are active than/);
  });
});
