/** Random histories of gathered events against a model: no event is lost or doubled, and each is in the run that it belongs to. */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newId } from "../core/ids.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { claimAll, clearJobs, functionQueue, WORKSPACE } from "../testing-kit/fixtures.js";
import { cancel } from "./control.js";
import { violations } from "./invariants.js";
import { publish } from "./publish.js";

const SIZE = 3;
const TIMEOUT = 10;
const PERIOD = 10;
const MAX_WAIT = 25;

let database: TestDatabase;
const queues = { batch: 0, debounce: 0 };
beforeAll(async () => {
  database = await testDatabase();
  const { db } = database;
  queues.batch = await functionQueue(db, "batch", {
    triggers: [{ event: "batch" }],
    starting: { batch: { size: SIZE, timeout_ms: TIMEOUT * 1_000, key: "data.of" } },
  });
  queues.debounce = await functionQueue(db, "debounce", {
    triggers: [{ event: "debounce" }],
    starting: { debounce: { period_ms: PERIOD * 1_000, max_wait_ms: MAX_WAIT * 1_000, key: "data.of" } },
  });
});
beforeEach(() => clearJobs(database.db));
afterAll(() => database.close());

/** Time stands still but for these: so a slow machine changes no history. */
const setClock = (seconds: number) =>
  database.db.script(
    `create or replace function rotor.clock() returns timestamptz language sql stable parallel safe
       as 'select timestamptz ''2030-01-01'' + interval ''${seconds} seconds'''`,
  );

type Kind = keyof typeof queues;
type Command =
  /** Events of these values, in one send; some with an id that was sent before. */
  | { readonly kind: "send"; readonly values: readonly { readonly of: string; readonly repeats: boolean }[] }
  | { readonly kind: "pass"; readonly seconds: number }
  | { readonly kind: "claim" }
  | { readonly kind: "cancel"; readonly of: string };

const value = fc.constantFrom("a", "b");
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("send" as const),
      values: fc.array(fc.record({ of: value, repeats: fc.integer({ min: 0, max: 4 }).map((n) => n === 0) }), {
        minLength: 1,
        maxLength: 5,
      }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("pass" as const), seconds: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "claim" as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel" as const), of: value }) },
);

/** A run as the model has it: its events in their order. */
type Group = {
  readonly of: string;
  readonly events: string[];
  readonly openedAt: number;
  dueAt: number;
  closed: boolean;
};

function add(kind: Kind, groups: Group[], now: number, of: string, id: string): void {
  let open = groups.findLast((group) => group.of === of);
  if (open !== undefined && (open.closed || open.dueAt <= now)) open = undefined;
  if (open === undefined) {
    open = { of, events: [], openedAt: now, dueAt: now + (kind === "batch" ? TIMEOUT : PERIOD), closed: false };
    groups.push(open);
  } else if (kind === "debounce") open.dueAt = Math.min(now + PERIOD, open.openedAt + MAX_WAIT);
  open.events.push(id);
  if (kind === "batch" && open.events.length === SIZE) {
    open.closed = true;
    open.dueAt = now;
  }
}

type Stored = {
  readonly id: string;
  readonly first: string;
  readonly payload: string;
  readonly joined: string[];
  readonly bodies: string[];
  readonly due: number;
};

/** The runs in the order in which they were opened. */
const stored = async (): Promise<Stored[]> =>
  (
    await database.db.script(
      `select payload.job_id as id, first.key as first, convert_from(payload.body, 'UTF8')::json ->> 'id' as payload,
              array(select event.key from rotor.batched join rotor.events event on event.id = batched.event_id where batched.job_id = payload.job_id order by place) as joined,
              array(select convert_from(body, 'UTF8')::json ->> 'id' from rotor.batched where job_id = payload.job_id and body is not null order by place) as bodies,
              extract(epoch from job.due_at - timestamptz '2030-01-01')::float8 as due
         from rotor.payloads payload join rotor.events first on first.id = payload.event_id join rotor.jobs job on job.id = payload.job_id
        order by first.received_at, payload.job_id`,
    )
  ).rows;

test.each<Kind>(["batch", "debounce"])("%s: each event is in one run, and in the right one", async (kind) => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 25 }), async (commands) => {
      const { db } = database;
      await clearJobs(db);
      const groups: Group[] = [];
      const sent: string[] = [];
      let now = 0;
      await setClock(now);
      for (const each of commands) {
        if (each.kind === "pass") {
          now += each.seconds;
          await setClock(now);
        }
        if (each.kind === "claim") await claimAll(db, queues[kind]);
        if (each.kind === "cancel") {
          const open = groups.findLast((group) => group.of === each.of);
          const run = open && (await stored()).find((one) => one.first === open.events[0]);
          if (run !== undefined && (await cancel(db, [run.id], { active: false })).length > 0) open!.closed = true;
        }
        if (each.kind === "send") {
          const events = each.values.map(({ of, repeats }) => {
            const known = repeats ? sent[sent.length >> 1] : undefined;
            const key = known ?? newId();
            if (known === undefined) {
              sent.push(key);
              add(kind, groups, now, of, key);
            }
            return { workspace: WORKSPACE, name: kind, key, data: JSON.stringify({ of }) };
          });
          await publish(db, events);
        }
      }
      const runs = await stored();
      const byFirst = new Map(runs.map((run) => [run.first, run]));
      expect(runs).toHaveLength(groups.length);
      for (const { events, dueAt, closed } of groups) {
        const run = byFirst.get(events[0]!)!;
        expect([run.first, ...run.joined]).toEqual(events);
        expect(run.payload).toBe(kind === "batch" ? events[0] : events.at(-1));
        expect(run.bodies).toEqual(kind === "batch" ? events.slice(1) : []);
        if (!closed && dueAt > now) expect(run.due).toBeCloseTo(dueAt, 2);
      }
      expect(groups.flatMap((group) => group.events).sort()).toEqual([...sent].sort());
      expect(await violations(db)).toEqual([]);
    }),
    { numRuns: 40 },
  );
});
