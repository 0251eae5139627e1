/** What a list of events comes to is what its events come to one by one. `ROTOR_SEED=…` plays the same lists again. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { clearJobs, functionQueue } from "../testing-kit/fixtures.js";
import { violations } from "./invariants.js";
import { type NewEvent, type Published, publish } from "./publish.js";

const SEED = Number(process.env.ROTOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const cancel_on = [{ event: "cancel", match: "data.id == trigger.data.id" }, { event: "stop" }];
const FUNCTIONS = {
  plain: { cancel_on },
  single: { cancel_on, singleton: { key: "data.id", mode: "skip" } },
  debounced: { cancel_on, debounce: { key: "data.id", period_ms: 3_600_000 } },
  batched: { cancel_on, batch: { size: 3, timeout_ms: 3_600_000, key: "data.id" } },
  batchedAll: { cancel_on, batch: { size: 4, timeout_ms: 3_600_000 } },
  waking: { cancel_on: [{ event: "start", match: "data.id > trigger.data.id" }] },
} as const;
const EACH = ["one", "list"] as const;

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
  for (const workspace of EACH)
    for (const [name, starting] of Object.entries(FUNCTIONS))
      await functionQueue(database.db, name, { workspace, triggers: [{ event: "start" }], starting });
});
afterAll(async () => {
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

type Sent = { readonly name: string; readonly id: number };
const event = fc.record({
  name: fc.constantFrom("start", "start", "start", "cancel", "cancel", "stop", "other"),
  id: fc.integer({ min: 1, max: 3 }),
});

const eventIn =
  (workspace: string) =>
  ({ name, id }: Sent): NewEvent => ({ workspace, name, key: newId(), data: JSON.stringify({ id }) });

const states = {
  name: "publish-lists-test.states",
  text: "select id, state from rotor.jobs where id = any($1::uuid[])",
};

/** Of each event the runs that it is in, by their place among all, with their state; and how many runs it cancelled. */
async function told(published: readonly Published[]) {
  const ids = [...new Set(published.flatMap(({ runs }) => runs.map((run) => run.id)))];
  const rows = await database.db.query<{ id: string; state: string }>(states, [ids]);
  const stateOf = new Map(rows.map((row) => [row.id, row.state]));
  return published.map(({ runs, cancelled }) => ({
    runs: runs.map((run) => `${run.function} ${ids.indexOf(run.id)} ${stateOf.get(run.id)}`),
    cancelled: cancelled.length,
  }));
}

test(`a list comes to what its events come to one by one (seed ${SEED})`, async () => {
  const lists = fc.array(fc.array(event, { minLength: 2, maxLength: 12 }), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(lists, async (sent) => {
      await clearJobs(database.db);
      const { db } = database;
      const one: Published[] = [];
      for (const each of sent.flat()) one.push((await publish(db, [eventIn("one")(each)]))[0]!);
      const list: Published[] = [];
      for (const each of sent) list.push(...(await publish(db, each.map(eventIn("list")))));
      expect(await told(list)).toEqual(await told(one));
    }),
    { seed: SEED, numRuns: 30 },
  );
});
