/**
 * Races: two real transactions that meet, brought into each order by stopping one of them, without sleeps or luck; and
 * proof that a race can be lost, by databases with one statement changed.
 */
import { describe, expect, test } from "vitest";
import type { Db } from "../store/db.js";
import { violations } from "../store/invariants.js";
import type { TestDatabase } from "./database.js";
import { endedOrBlocked, mutantDb, pausedDb, type Stop, TestFault } from "./mutants.js";

/** Answers whether all went well. */
export type Race = (db: Db) => Promise<boolean>;

/** Lets `first` come to its stop, then starts `second`; lets `first` go on once `second` has ended or waits for it. */
export async function inOrder<A, B>(
  stop: Stop,
  db: Db,
  first: (db: Db) => Promise<A>,
  second: (db: Db) => Promise<B>,
): Promise<[PromiseSettledResult<A>, PromiseSettledResult<B>]> {
  const paused = pausedDb(db, stop);
  const one = first(paused.db);
  const never = one.then(() => Promise.reject(new TestFault("It never came to its stop.")));
  const pid = await Promise.race([paused.reached, never]);
  never.catch(() => undefined);
  const two = second(db);
  const settled = Promise.allSettled([one, two]);
  await endedOrBlocked(db, pid, two);
  paused.go();
  return settled;
}

/** What a transaction answered; throws what it threw. */
export const value = <T>(result: PromiseSettledResult<T>): T => {
  if (result.status === "rejected") throw result.reason;
  return result.value;
};

/** The same database, with a part of one statement left out. */
export const without = (db: Db, name: string, part: string): Db => mutantDb(db, name, (text) => text.replace(part, ""));

/** An error loses the race, unless the test itself is wrong: no mutant at all, no stop, no SQL. */
function lost(error: Error & { code?: string }): false {
  if (error instanceof TestFault || error.code?.startsWith("42")) throw error;
  return false;
}

/** Declares a race that the store wins, and that it would lose with each of these mutants. */
export function race(
  database: () => TestDatabase,
  name: string,
  run: Race,
  mutants: Readonly<Record<string, (db: Db) => Db>> = {},
): void {
  describe(name, () => {
    test("holds", async () => {
      expect(await run(database().db)).toBe(true);
      expect(await violations(database().db)).toEqual([]);
    });
    for (const [change, mutate] of Object.entries(mutants)) {
      test(`would be lost with ${change}`, async () => {
        expect(await run(mutate(database().db)).catch(lost)).toBe(false);
      });
    }
  });
}
