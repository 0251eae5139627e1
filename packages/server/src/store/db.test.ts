/** What a lost connection means for whoever uses it: his statements fail, and nothing else does. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { type Queryable, sql } from "./db.js";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.close());

const backend = sql("db-test.backend", "select pg_backend_pid() as pid");
const terminate = sql("db-test.terminate", "select pg_terminate_backend($1, 5000)");
const slow = sql("db-test.slow", "select pg_sleep(60)");

const end = async (t: Queryable): Promise<void> => {
  const [row] = await t.query<{ pid: number }>(backend);
  await database.db.query(terminate, [row!.pid]);
};

test("a connection that is lost between two statements fails the transaction, and the next one works", async () => {
  const broken = database.db.transact(async (t) => {
    await end(t);
    return t.query(backend);
  });
  await expect(broken).rejects.toThrow();
  expect(await database.db.transact((t) => t.query(backend))).toHaveLength(1);
});

test("a connection that is lost while nothing is asked of it is no error of the process", async () => {
  await expect(
    database.db.transact(async (t) => {
      await end(t);
      // The news arrives, and nobody waits for it.
      for (let turn = 0; turn < 20; turn++) await database.db.query(backend);
    }),
  ).rejects.toThrow();
  expect(await database.db.query(backend)).toHaveLength(1);
});

test("a statement under way fails with its connection", async () => {
  const broken = database.db.transact(async (t) => {
    const [row] = await t.query<{ pid: number }>(backend);
    const answer = t.query(slow);
    await database.db.query(terminate, [row!.pid]);
    return answer;
  });
  await expect(broken).rejects.toThrow();
});

const wrong = sql("db-test.wrong", "select 1 / $1::int");

test("a transaction tells of the statement that failed, though nobody awaited it", async () => {
  const broken = database.db.transact(async (t) => {
    void t.query(wrong, [0]);
    return t.query(backend);
  });
  await expect(broken).rejects.toMatchObject({ code: "22012" });
});
