import { randomBytes } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { callbackQueue, claimAll, enqueueAll, functionQueue, newJob, publishOne } from "../testing-kit/fixtures.js";
import { pausedDb } from "../testing-kit/mutants.js";
import { type Db, openDb } from "./db.js";
import { migrate, nextMigration, readMigrations } from "./migrate.js";

const opened: Db[] = [];
const open = (schema = `t_${randomBytes(6).toString("hex")}`): Db => {
  const db = openDb({ url: process.env.ROTOR_TEST_DATABASE_URL!, schema, maxConnections: 4 });
  opened.push(db);
  return db;
};
afterEach(async () => {
  for (const schema of new Set(opened.map((db) => db.schema)))
    await opened[0]!.script(`drop schema if exists ${schema} cascade`);
  for (const db of opened.splice(0)) await db.close();
});

test("several nodes that start at once apply each file once", async () => {
  const first = open();
  const nodes = [first, ...Array.from({ length: 4 }, () => open(first.schema))];
  const applied = await Promise.all(nodes.map((db) => migrate(db)));
  const names = (await readMigrations()).map((migration) => migration.name);
  expect(applied.flat().sort()).toEqual(names);
  const { rows } = await first.script("select name from rotor.migrations order by number");
  expect(rows.map((row) => row.name)).toEqual(names);
});

test("a second start finds nothing to do", async () => {
  const db = open();
  expect((await migrate(db)).length).toBeGreaterThan(0);
  expect(await migrate(db)).toEqual([]);
});

test("a file that was changed after it was applied stops the start, and says so", async () => {
  const db = open();
  await migrate(db);
  await db.script("update rotor.migrations set checksum = 'another' where number = 1");
  await expect(migrate(db)).rejects.toThrow("was changed after this database applied it");
});

test("a database of a newer version stops the start, and says so", async () => {
  const db = open();
  await migrate(db);
  await db.script("insert into rotor.migrations (number, name, checksum) values (9999, '9999_future.sql', 'x')");
  await expect(migrate(db)).rejects.toThrow("9999");
});

test("a migration that fails half-way leaves nothing behind, and may be tried again", async () => {
  const db = open();
  // The name of one of its last tables is taken by something else.
  await db.script(`create schema ${db.schema}; create view rotor.schedules as select 1 as one`);
  await expect(migrate(db)).rejects.toThrow("schedules");
  const { rows } = await db.script(
    `select table_name from information_schema.tables where table_schema = '${db.schema}'`,
  );
  expect(rows.map((row) => row.table_name)).toEqual(["schedules"]);
  await db.script("drop view rotor.schedules");
  expect((await migrate(db)).length).toBeGreaterThan(0);
});

test("the first file that the ledger does not know is next", () => {
  const files = [1, 2, 3].map((number) => ({ number, name: `000${number}_x.sql`, text: "" }));
  const checksum = "e3b0c44298fc1c14";
  expect(nextMigration(files, [])?.number).toBe(1);
  expect(nextMigration(files, [{ number: 1, checksum }])?.number).toBe(2);
  expect(
    nextMigration(
      files,
      files.map(({ number }) => ({ number, checksum })),
    ),
  ).toBeUndefined();
});

test("two schemas in one database do not notice each other", async () => {
  const [one, two] = [open(), open()];
  await Promise.all([migrate(one), migrate(two)]);
  const queues = [];
  for (const db of [one, two]) {
    await functionQueue(db, "listening", { triggers: [{ event: "ping" }] });
    queues.push((await callbackQueue(db)).id);
  }
  await enqueueAll(one, [newJob(queues[0]!, { key: "same" })]);
  const [answer] = await enqueueAll(two, [newJob(queues[1]!, { key: "same" })]);
  expect(answer?.duplicate).toBe(false);
  expect(await claimAll(two, queues[1]!)).toHaveLength(1);
  expect(await claimAll(one, queues[0]!)).toHaveLength(1);
  // While one holds the event's name, the other publishes it.
  const paused = pausedDb(one, "commit");
  const first = publishOne(paused.db, "ping", {}, { key: "same" });
  await paused.reached;
  const second = await publishOne(two, "ping", {}, { key: "same" });
  paused.go();
  expect([second.duplicate, second.runs.length, (await first).runs.length]).toEqual([false, 1, 1]);
});

test.each(["", "Rotor", "a-b", "1a", "a.b", 'a"b', "a;drop", "a".repeat(64)])("%j is no schema's name", (schema) => {
  expect(() => openDb({ url: "postgres://127.0.0.1/x", schema })).toThrow("ROTOR_SCHEMA");
});
