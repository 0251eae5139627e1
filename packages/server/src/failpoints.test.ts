import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigError } from "./config.js";
import type { DeliveryResult } from "./delivery/deliver.js";
import type { Pools } from "./delivery/pools.js";
import { createFailpoints, failpointNames, isOwnMachine, parseFailpoints } from "./failpoints.js";
import { startRotor } from "./main.js";
import { type Db, sql } from "./store/db.js";
import { type TestDatabase, testDatabase } from "./testing-kit/database.js";
import { testConfig } from "./testing-kit/server.js";

let database: TestDatabase;
let db: Db;
beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  await db.script("create table rotor.marks (name text)");
});
afterAll(() => database.close());

// A statement of the name that marks a transaction; this process declares the real one elsewhere, if at all.
const mark = { name: "settle.move", text: "insert into rotor.marks values ($1)" };
const names = sql("failpoints-test.names", "select name from rotor.marks");

const failing = (
  text: string,
): { db: Db; told: string[]; deliver: ReturnType<typeof createFailpoints>["aroundDeliveries"] } => {
  const told: string[] = [];
  const points = createFailpoints(parseFailpoints(text), ({ name }) => told.push(name));
  return { db: points.around(db), told, deliver: points.aroundDeliveries };
};
const write = (on: Db, name: string): Promise<void> =>
  on.transact(async (t) => {
    await t.query(mark, [name]);
  });
const written = async (name: string): Promise<boolean> =>
  (await db.query<{ name: string }>(names)).some((row) => row.name === name);

test("every mark is the name of a statement, so that none is left over when one is renamed", () => {
  const folder = join(dirname(fileURLToPath(import.meta.url)), "store");
  const texts = readdirSync(folder)
    .map((file) => readFileSync(join(folder, file), "utf8"))
    .join("\n");
  for (const name of failpointNames) {
    const statement = name.replace(/\.(before|after)$/, "");
    if (statement.includes(".")) expect(texts).toContain(`"${statement}"`);
  }
  expect(failpointNames.length).toBeGreaterThan(40);
});

test("an error before the commit rolls back, and strikes at the hit that it names alone", async () => {
  const { db: on, told } = failing("settle.move.before=error@2");
  await write(on, "first");
  await expect(write(on, "second")).rejects.toThrow("failpoint settle.move.before");
  await write(on, "third");
  expect([await written("first"), await written("second"), await written("third")]).toEqual([true, false, true]);
  expect(told).toEqual(["settle.move.before"]);
});

test("an error after the commit tells of a connection that is lost, although it happened", async () => {
  const { db: on } = failing("settle.move.after=error");
  await expect(write(on, "kept")).rejects.toMatchObject({ code: "08006" });
  expect(await written("kept")).toBe(true);
});

test("a transaction that is broken up is tried again, and happens once", async () => {
  const { db: on, told } = failing("settle.move.before=40P01 settle.move.before=40001@2");
  await write(on, "again");
  expect(told).toHaveLength(2);
  expect((await db.query<{ name: string }>(names)).filter((row) => row.name === "again")).toHaveLength(1);
});

test("a delay holds a POST up, at every hit that is a multiple", async () => {
  const { deliver, told } = failing("post.before=delay(30)/2");
  const result: DeliveryResult = { kind: "aborted", durationMs: 0, timing: {}, head: undefined };
  const post = deliver(async () => result);
  const request = { url: "http://127.0.0.1", headers: {}, body: "", timeoutMs: 1, maxBodyBytes: 1 };
  for (let n = 0; n < 4; n++) await post({} as Pools, request);
  expect(told).toEqual(["post.before", "post.before"]);
});

test.each([
  ["settle.move.between=crash", "there is no failpoint"],
  ["settle.move.before=explode", "is not <name>"],
  ["settle.move.before=error@0", "counted from 1"],
  ["settle.move.after=40P01", "before a transaction's commit only"],
  ["post.before=40001", "before a transaction's commit only"],
  ["post.after=error", "throws no error"],
])("%s is refused", (text, why) => {
  expect(() => parseFailpoints(text)).toThrow(ConfigError);
  expect(() => parseFailpoints(text)).toThrow(why);
});

test.each([
  ["postgres://db.example.com/app", false],
  ["postgres://10.0.0.5/app?host=db.example.com", false],
  ["not a url", false],
  ["postgres://127.0.0.1:5432/app", true],
  ["postgres:///app?host=/tmp/socket", true],
])("of the database %s, whether it is on this machine: %s", (url, own) => {
  expect(isOwnMachine(url)).toBe(own);
});

test("a server with failpoints says so, and refuses a database that is elsewhere", async () => {
  const lines: string[] = [];
  const log = { write: (line: string) => void lines.push(line) };
  const config = testConfig(database, { ROTOR_FAILPOINTS: "prune.jobs.after=crash@999999" });
  const server = await startRotor(config, { log });
  await server.stop();
  expect(lines.join("\n")).toContain("THIS SERVER FAILS ON PURPOSE");
  const elsewhere = { ...config, databaseUrl: "postgres://db.example.com/app" };
  await expect(startRotor(elsewhere, { log })).rejects.toThrow("not on this machine");
});
