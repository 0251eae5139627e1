/** Which data meets which condition, with the wait first and with the event first; and that keys find all of it. */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { matches } from "../core/match.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import {
  activeRun,
  cancelOn,
  checkpointOne,
  clearJobs,
  functionQueue,
  type Holder,
  publishOne,
  readJob,
  readSteps,
  waitFor,
  waitForAny,
} from "../testing-kit/fixtures.js";
import { violations } from "./invariants.js";

let database: TestDatabase;
let queueId: number;
beforeAll(async () => {
  database = await testDatabase();
  queueId = await functionQueue(database.db);
});
beforeEach(() => clearJobs(database.db));
afterAll(async () => {
  expect(await violations(database.db)).toEqual([]);
  await database.close();
});

const start = (data: unknown = {}) => activeRun(database.db, queueId, data);
const send = (data: unknown, name = "ping") => publishOne(database.db, name, data);
const report = (holder: Holder, ...reports: Parameters<typeof checkpointOne>[2]) =>
  checkpointOne(database.db, holder, reports);
/** What the wait got: the event's data; undefined while it waits. */
async function got(holder: Holder): Promise<unknown> {
  const { wait } = await readSteps(database.db, holder.jobId);
  return wait?.state === "completed" ? wait.output : undefined;
}

/** The same, of a wait or of a part of one. */
async function gotData(holder: Holder): Promise<unknown> {
  const { wait } = await readSteps(database.db, holder.jobId);
  if (wait?.state !== "completed") return undefined;
  return wait.kind === "any" ? (wait.output as { data: unknown }).data : wait.output;
}

const cases: readonly (readonly [string, Parameters<typeof waitFor>[2], unknown, boolean])[] = [
  ["nothing asked", {}, null, true],
  ["an object", { match: { id: 7 } }, { id: 7, more: true }, true],
  ["an object, another value", { match: { id: 7 } }, { id: 8 }, false],
  ["an object with two parts, one of which differs", { match: { id: 7, kind: "a" } }, { id: 7, kind: "b" }, false],
  ["a nested path", { match: { "user.id": 7 } }, { user: { id: 7 } }, true],
  ["a dotted name is no path", { match: { "user.id": 7 } }, { "user.id": 7 }, false],
  ["a dotted name beside the path", { match: { "user.id": 7 } }, { "user.id": 8, user: { id: 7 } }, true],
  ["a path through a list", { match: { "list.0": 7 } }, { list: [7] }, false],
  ["CEL on data", { match: "data.id == 7" }, { id: 7 }, true],
  ["CEL on event", { match: "event.data.id == 7 && event.name == 'ping'" }, { id: 7 }, true],
  ["CEL on the trigger", { match: "data.contact == trigger.data.contact" }, { contact: "me" }, true],
  ["CEL on the trigger, another", { match: "data.contact == trigger.data.contact" }, { contact: "you" }, false],
  ["CEL on a field that the trigger has not", { match: "data.id == trigger.data.none" }, { id: 7 }, false],
  ["CEL without an equality", { match: "data.id > 6" }, { id: 7 }, true],
  ["CEL with ||", { match: "data.id == 7 || data.id == 8" }, { id: 8 }, true],
  ["CEL with !", { match: "!(data.id == 7)" }, { id: 8 }, true],
  ["CEL, the literal first", { match: '"a" == data.id' }, { id: "a" }, true],
  ["1 is 1.0", { match: "data.id == 1.0" }, { id: 1 }, true],
  ["1.5 is 1.5", { match: "data.id == 1.5" }, { id: 1.5 }, true],
  ["1 is not a text", { match: { id: 1 } }, { id: "1" }, false],
  ["CEL: 1 is not a text", { match: "data.id == 1" }, { id: "1" }, false],
  ["true is not a text", { match: { id: true } }, { id: "true" }, false],
  ["null is null", { match: { id: null } }, { id: null }, true],
  ["CEL: null is null", { match: "data.id == null" }, { id: null }, true],
  ["what is missing is not null", { match: { id: null } }, {}, false],
  ["CEL: what is missing is not null", { match: "data.id == null" }, {}, false],
  ["what is missing is no error", { match: "data.a.b.c == 7" }, { a: 1 }, false],
  ["data that is no object", { match: { id: 7 } }, 7, false],
  ["data that is null", { match: "data.id == 7" }, null, false],
  ["a text that would be code", { match: { id: 'x" || "a" == "a' } }, { id: "y" }, false],
  ["a text that would be code, found", { match: { id: 'x" || "a" == "a' } }, { id: 'x" || "a" == "a' }, true],
  ["a quote in a text", { match: { name: 'O"Brien' } }, { name: 'O"Brien' }, true],
  ["a quote in CEL", { match: 'data.name == "O\\"Brien"' }, { name: 'O"Brien' }, true],
  ["a line break in CEL", { match: 'data.name == "a\\nb"' }, { name: "a\nb" }, true],
  ["an emoji", { match: { name: "\u{1f600}" } }, { name: "\u{1f600}" }, true],
  ["__proto__ that is not there", { match: JSON.parse('{"__proto__":7}') }, {}, false],
  ["__proto__ that is there", { match: JSON.parse('{"__proto__":7}') }, JSON.parse('{"__proto__":7}'), true],
  ["constructor.name", { match: { "constructor.name": "Object" } }, {}, false],
  ["CEL: constructor", { match: 'data.constructor.name == "Object"' }, {}, false],
  ["zero and minus zero", { match: { id: -0 } }, { id: 0 }, true],
  ["a large number", { match: { id: 9007199254740991 } }, { id: 9007199254740991 }, true],
];
test.each(cases)("%s", async (_, more, data, expected) => {
  // Both ways: the wait first, and the event first; and so as a part of a wait.
  const asPart = (key: string) =>
    waitForAny(key, [
      { name: "never", event: "pong" },
      { name: "p", event: "ping", ...more },
    ]);
  const [forward, back, part, partBack] = [
    await start({ contact: "me" }),
    await start({ contact: "me" }),
    await start({ contact: "me" }),
    await start({ contact: "me" }),
  ];
  await report(forward, waitFor("wait", "ping", more));
  await report(part, asPart("wait"));
  await send(data);
  await report(back, waitFor("wait", "ping", more));
  await report(partBack, asPart("wait"));
  const wanted = expected ? data : undefined;
  for (const run of [forward, back, part, partBack]) expect(await gotData(run)).toEqual(wanted);
});

test("an expression that is none fails its own step, and no other", async () => {
  const run = await start();
  await report(
    run,
    waitFor("bad", "ping", { match: "data.id ==" }),
    waitFor("good", "ping", { match: "data.id == 7" }),
  );
  await send({ id: 7 });
  const { bad, good } = await readSteps(database.db, run.jobId);
  expect([bad?.state, bad?.error?.name]).toEqual(["failed", "InvalidMatchError"]);
  expect(good?.output).toEqual({ id: 7 });
});

test("an event with more leaves than are looked up still ends the wait for its last one", async () => {
  const run = await start();
  await report(run, waitFor("wait", "ping", { match: { last: 7 } }));
  const data = Object.fromEntries([...Array.from({ length: 1_500 }, (_, n) => [`field${n}`, n]), ["last", 7]]);
  const other = await functionQueue(database.db, "other", { workspace: "other" });
  const stranger = await activeRun(database.db, other);
  await checkpointOne(database.db, stranger, [waitFor("wait", "ping")]);
  await send(data);
  expect(await got(run)).toMatchObject({ last: 7 });
  expect(await got(stranger)).toBeUndefined();
});

const scalar = fc.oneof(
  fc.constantFrom(0, -0, 1, 1.5, -1, 1e21, "", "1", "a", 'x" || "a" == "a', "\u0001", true, false, null),
  fc.integer({ min: -2, max: 2 }),
);
const name = fc.constantFrom("a", "b", "c", "a.b", "__proto__");
const object = <T>(inner: fc.Arbitrary<T>) =>
  fc
    .array(fc.tuple(name, inner), { maxLength: 3 })
    .map((fields) =>
      JSON.parse(`{${fields.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join()}}`),
    );
const data = fc.oneof(scalar, object(fc.oneof(scalar, object(scalar), fc.array(scalar, { maxLength: 2 }))));
const path = fc.constantFrom("a", "b", "c", "a.b", "b.a", "a.a");
const literal = scalar.map((value) => JSON.stringify(value));
const atom = fc.oneof(
  fc.tuple(path, literal).map(([at, value]) => `data.${at} == ${value}`),
  fc.tuple(path, literal).map(([at, value]) => `${value} == event.data.${at}`),
  fc.tuple(path, path).map(([at, from]) => `data.${at} == trigger.data.${from}`),
  fc.tuple(path, literal).map(([at, value]) => `data.${at} != ${value}`),
  fc.tuple(path, fc.integer({ min: -1, max: 2 })).map(([at, value]) => `data.${at} < ${value}`),
);
const expression = fc.letrec<{ tree: string }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 2 },
    atom,
    fc.tuple(tie("tree"), tie("tree")).map(([a, b]) => `(${a}) && (${b})`),
    fc.tuple(tie("tree"), tie("tree")).map(([a, b]) => `(${a}) || (${b})`),
    tie("tree").map((a) => `!(${a})`),
  ),
})).tree;
const equals = fc
  .uniqueArray(fc.tuple(path, scalar), { maxLength: 2, selector: ([at]) => at })
  .map((parts) => Object.fromEntries(parts));
const condition = fc.oneof(expression, equals, fc.constant(undefined));

test("finds by key exactly what evaluating everything finds", async () => {
  const { db } = database;
  let found = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(condition, { minLength: 6, maxLength: 15 }),
      data,
      fc.array(data, { minLength: 1, maxLength: 3 }),
      async (conditions, trigger, sent) => {
        await clearJobs(db);
        const waiting: Holder[] = [];
        const doomed: Holder[] = [];
        for (const [index, match] of conditions.entries()) {
          const run = await activeRun(db, queueId, trigger);
          const given = match === undefined ? {} : { match };
          // By turns a wait, a part of one beside one that never comes, and an event that cancels.
          if (index % 3 === 2) {
            await cancelOn(db, run.jobId, "ping", { ...given, trigger: { id: "", name: "", data: trigger, ts: 0 } });
            doomed.push(run);
            continue;
          }
          const parts = [
            { name: "never", signal: run.jobId },
            { name: "ping", event: "ping", ...given },
          ];
          await checkpointOne(db, run, [index % 3 === 0 ? waitFor("wait", "ping", given) : waitForAny("wait", parts)]);
          waiting.push(run);
        }
        const stored = await db.script(
          `select job_id, wait from rotor.steps where state = 'waiting' and kind = 'event'
            union all select job_id, wait from rotor.watches where kind = 'event'`,
        );
        const first = new Map<string, unknown>();
        for (const each of sent) {
          for (const row of stored.rows) {
            const event = { id: "", name: "ping", data: JSON.parse(JSON.stringify(each)), ts: 0 };
            if (!first.has(row.job_id) && matches(row.wait, event)) first.set(row.job_id, event.data);
          }
          await send(each);
        }
        for (const run of waiting) expect(await gotData(run)).toEqual(first.get(run.jobId));
        for (const run of doomed)
          expect((await readJob(db, run.jobId)).state).toBe(first.has(run.jobId) ? "cancelled" : "active");
        found += first.size;
      },
    ),
    { numRuns: 40 },
  );
  // Else the property would be true of nothing.
  expect(found).toBeGreaterThan(20);
});
