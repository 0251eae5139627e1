/** When looks begin at floors: only where they are slow because of dead rows, not on a busy machine. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { NO_FLOORS } from "../store/floors.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue } from "../testing-kit/fixtures.js";
import { eventually } from "../testing-kit/server.js";
import { createFooting } from "./footing.js";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
  await callbackQueue(database.db, "plain");
});
afterAll(() => database.close());

/** Of a look that took a second. */
const afterSlowLook = async (deadRows: number, lookMs = 0) => {
  const footing = createFooting(database.db, { lookMs, deadRows });
  await footing.looked(performance.now() - 1_000);
  return footing.floors;
};

test("a look that was slow on a machine with few dead rows is followed by one from the beginning", async () => {
  expect(await afterSlowLook(1_000_000)).toBe(NO_FLOORS);
});

test("nor where all can be read as quickly as a look should take", async () => {
  expect(await afterSlowLook(0, 500)).toBe(NO_FLOORS);
});

test("where rows are dead it is followed by looks from floors, of queues without anything due, too", async () => {
  expect((await afterSlowLook(0)).size).toBe(1);
});

test("and they end soon after all can be read quickly again", async () => {
  const slow = { lookMs: 0, deadRows: 0 };
  const footing = createFooting(database.db, slow);
  await footing.looked(performance.now() - 1_000);
  expect(footing.floors.size).toBe(1);
  slow.lookMs = 10_000;
  await eventually("the end of floors", async () => {
    await footing.renew();
    return footing.floors === NO_FLOORS;
  });
});
