/** What a list of events comes to is what its events come to one by one. `ROTOR_SEED=…` plays the same lists again. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { activeRun, checkpointOne, clearJobs, functionQueue, waitFor, waitForAny } from "../testing-kit/fixtures.js";
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
/** By workspace, functions whose runs wait. */
const waiting = new Map<string, number>();
beforeAll(async () => {
  database = await testDatabase();
  for (const workspace of EACH) {
    waiting.set(workspace, await functionQueue(database.db, "waiting", { workspace }));
    for (const [name, starting] of Object.entries(FUNCTIONS))
      await functionQueue(database.db, name, { workspace, triggers: [{ event: "start" }], starting });
  }
});
afterAll(async () => {
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

type Sent = { readonly name: "start" | "cancel" | "stop" | "other"; readonly id: number };
const event: fc.Arbitrary<Sent> = fc.record({
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

/** Waits of one run: stored one after the other, each alone or as the first of two. */
type Wait = {
  readonly name: "cancel" | "other";
  readonly id: number | undefined;
  readonly or: "cancel" | "other" | "stop" | undefined;
};
const wait: fc.Arbitrary<Wait> = fc.record({
  name: fc.constantFrom("cancel", "other"),
  id: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
  or: fc.option(fc.constantFrom("cancel", "other", "stop"), { nil: undefined }),
});

/** The second of these finds its wait ended by the first; the other one is its own then, and not the third's. */
const IN_TURN: Sent[] = [
  { name: "cancel", id: 1 },
  { name: "other", id: 2 },
  { name: "other", id: 1 },
];
const WHILE_ANOTHER_WAITS: Wait[][] = [
  [
    { name: "cancel", id: undefined, or: "other" },
    { name: "other", id: 2, or: "cancel" },
  ],
];

const ends = {
  name: "publish-lists-test.ends",
  text: `select key, state, output::text, (select key from rotor.events where id = step.event_id) as event,
                rank() over (order by seq) as place
           from rotor.steps step where job_id = $1 order by key`,
};

test(`of waits, too, a list ends those that its events end one by one (seed ${SEED})`, async () => {
  const runs = fc.array(fc.array(wait, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 });
  const list = fc.array(event, { minLength: 2, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(runs, list, async (runs, sent) => {
      const { db } = database;
      await clearJobs(db);
      const ids = new Map<string, string[]>(EACH.map((workspace) => [workspace, []]));
      for (const workspace of EACH)
        for (const waits of runs) {
          const run = await activeRun(db, waiting.get(workspace)!);
          ids.get(workspace)!.push(run.jobId);
          for (const [n, { name, id, or }] of waits.entries()) {
            const part = { event: name, ...(id !== undefined && { match: { id } }) };
            const parts = [{ name: "first", ...part }, ...(or === undefined ? [] : [{ name: "second", event: or }])];
            const key = `w${n}`;
            await checkpointOne(db, run, [or === undefined ? waitFor(key, name, part) : waitForAny(key, parts)]);
          }
        }
      const keyed = (workspace: string) => sent.map((each, n) => ({ ...eventIn(workspace)(each), key: `${n}` }));
      for (const each of keyed("one")) await publish(db, [each]);
      await publish(db, keyed("list"));
      const endsOf = (workspace: string) => Promise.all(ids.get(workspace)!.map((id) => db.query(ends, [id])));
      expect(await endsOf("list")).toEqual(await endsOf("one"));
    }),
    { seed: SEED, numRuns: 30, examples: [[WHILE_ANOTHER_WAITS, IN_TURN]] },
  );
});
