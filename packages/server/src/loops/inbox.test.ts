/** When the mover looks, and when it does not. What it moves: `store/inbox.test.ts`. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { readInboxRow } from "../http/inbox-row.js";
import type { Moved } from "../store/inbox.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue } from "../testing-kit/fixtures.js";
import { createInbox } from "./inbox.js";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
  await callbackQueue(database.db, "mails");
});
beforeEach(() => database.db.script("delete from rotor.inbox; delete from rotor.jobs; delete from rotor.payloads"));
afterAll(() => database.close());

const put = (count: number) =>
  database.db.script(`insert into rotor.inbox (kind, target) select 'job', 'mails' from generate_series(1, ${count})`);
const count = async (table: "inbox" | "jobs"): Promise<number> =>
  (await database.db.script(`select count(*)::int as count from rotor.${table}`)).rows[0].count;

function mover(options: { held?: () => boolean; onMoved?: (moved: Moved) => void } = {}) {
  return createInbox({
    db: database.db,
    held: () => false,
    read: readInboxRow,
    onMoved: () => undefined,
    onError: (error) => {
      throw error;
    },
    ...options,
  });
}

test("a server whose database belongs to another environment moves nothing, until it is adopted", async () => {
  await put(1);
  let held = true;
  const inbox = mover({ held: () => held });
  expect(await inbox.tick()).toBe(limits.pollMs);
  expect([await count("inbox"), await count("jobs")]).toEqual([1, 0]);
  held = false;
  await inbox.tick();
  expect([await count("inbox"), await count("jobs")]).toEqual([0, 1]);
});

test("it looks often enough for 200 ms, tells what it moved, and goes on at once while a batch was full", async () => {
  const told: number[] = [];
  const inbox = mover({ onMoved: ({ rows }) => told.push(rows) });
  expect(await inbox.tick()).toBe(limits.inboxPollMs);
  expect(limits.inboxPollMs).toBeLessThan(200);
  expect(told).toEqual([]);
  await put(limits.inboxRows + 5);
  expect(await inbox.tick()).toBe(0);
  expect(await inbox.tick()).toBe(limits.inboxPollMs);
  expect(told).toEqual([limits.inboxRows, 5]);
  expect(await count("jobs")).toBe(limits.inboxRows + 5);
});
