/** Of several equalities, the one that the fewest waits share becomes the key. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { eventKey } from "../core/wait-key.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  cancelOn,
  checkpointOne,
  functionQueue,
  publishOne,
  readSteps,
  WORKSPACE,
  waitFor,
  waitForAny,
} from "../testing-kit/fixtures.js";
import { unindexedWaits } from "./unindexed.js";
import { chooseKeys } from "./wait-keys.js";

let database: TestDatabase;
let runs: number;
beforeAll(async () => {
  database = await testDatabase();
  runs = await functionQueue(database.db);
});
afterAll(() => database.close());

const keyOf = (path: string, value: string | number) => eventKey(WORKSPACE, "ping", { path, value });
const chosen = async (...equalities: { path: string; value: string | number }[]) =>
  (await chooseKeys(database.db, [{ workspace: WORKSPACE, event: "ping", equalities }]))[0];
const country = { path: "country", value: "se" };
const contact = { path: "contact", value: 7 };

async function crowd(key: string, count: number, table: "steps" | "watches") {
  const row =
    table === "steps"
      ? `insert into rotor.steps (job_id, key, kind, state, due_at, asked_at, wait_key, wait)
         select gen_random_uuid(), 'w', 'event', 'waiting', rotor.clock() + interval '1 h', rotor.clock(), '${key}', '{"event":"ping","cel":"false"}'`
      : `insert into rotor.watches (job_id, key, name, kind, wait_key, wait, asked_at)
         select gen_random_uuid(), 'w', 'p', 'event', '${key}', '{"event":"ping","cel":"false"}', rotor.clock()`;
  await database.db.script(`${row} from generate_series(1, ${count})`);
}

test("the rarest equality is the key; among equals the first; beyond the cap all are alike", async () => {
  expect(await chosen()).toBe(eventKey(WORKSPACE, "ping"));
  expect(await chosen(country, contact)).toBe(keyOf("country", "se"));
  await crowd(keyOf("country", "se"), 3, "steps");
  expect(await chosen(country, contact)).toBe(keyOf("contact", 7));
  await crowd(keyOf("contact", 7), 4, "watches");
  expect(await chosen(country, contact)).toBe(keyOf("country", "se"));
  await crowd(keyOf("country", "se"), limits.crowd, "steps");
  await crowd(keyOf("contact", 7), limits.crowd * 2, "steps");
  expect(await chosen(country, contact)).toBe(keyOf("country", "se"));
});

test("whichever is the key, the event finds the wait", async () => {
  const { db } = database;
  const [one, two] = [await activeRun(db, runs), await activeRun(db, runs)];
  const match = { kind: "a", id: 1 };
  await crowd(eventKey(WORKSPACE, "pong", { path: "kind", value: "a" }), 5, "steps");
  await checkpointOne(db, one, [waitFor("w", "pong", { match })]);
  await checkpointOne(db, two, [
    waitForAny("w", [{ name: "p", event: "pong", match: 'data.kind == "a" && data.id == 1' }]),
  ]);
  const { rows } = await db.script(`select wait_key from rotor.steps where job_id = '${one.jobId}'`);
  expect(rows[0].wait_key).toBe(eventKey(WORKSPACE, "pong", { path: "id", value: 1 }));
  await publishOne(db, "pong", { kind: "a", id: 2 });
  await publishOne(db, "pong", { kind: "a", id: 1 });
  expect((await readSteps(db, one.jobId)).w?.output).toEqual({ kind: "a", id: 1 });
  expect((await readSteps(db, two.jobId)).w?.output).toEqual({ name: "p", data: { kind: "a", id: 1 } });
});

test("waits without an equality are told by their condition", async () => {
  const { db } = database;
  for (let n = 0; n < 2; n++)
    await checkpointOne(db, await activeRun(db, runs), [waitFor("w", "metered", { match: "data.n > 1" })]);
  const run = await activeRun(db, runs);
  await cancelOn(db, run.jobId, "metered", { match: "data.n > 9" });
  await checkpointOne(db, run, [
    waitForAny("w", [
      { name: "a", event: "metered", match: "data.n > 1" },
      { name: "b", event: "metered", match: "data.n > 1 && data.id == 7" },
      { name: "c", event: "metered" },
    ]),
  ]);
  expect(await unindexedWaits(db)).toEqual([
    { workspace: WORKSPACE, event: "metered", match: "data.n > 1", waits: 3 },
    { workspace: WORKSPACE, event: "metered", match: "data.n > 9", waits: 1 },
  ]);
});
