/** What a lost connection means for whoever uses it: his statements fail, and nothing else does. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { atOnce, type Queryable, sql } from "./db.js";

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

const note = sql("db-test.note", "insert into rotor.settings (name, value) values ($1, $2) returning name");
const names = sql("db-test.names", "select name from rotor.settings where name like 'together%' order by name");
const setting = sql("db-test.setting", "select set_config('rotor.locked_queues', $1, true)");
const ofSetting = sql("db-test.of-setting", "select current_setting('rotor.locked_queues', true) as value");
const stored = async (): Promise<string[]> =>
  (await database.db.query<{ name: string }>(names)).map(({ name }) => name);

test("statements that are sent at once are one transaction, each sees what those before it did, and what is local to it ends", async () => {
  const { db } = database;
  const sent = await atOnce(db, (t) => [
    t.query(setting, ["7"]),
    t.query<{ name: string }>(note, ["together 1", "a"]),
    t.query<{ name: string }>(names),
    t.query<{ value: string }>(ofSetting),
  ]);
  expect(sent.slice(1)).toEqual([[{ name: "together 1" }], [{ name: "together 1" }], [{ value: "7" }]]);
  const [[after]] = await atOnce(db, (t) => [t.query<{ value: string | null }>(ofSetting)]);
  expect(after!.value ?? "").toBe("");
});

test("of statements that are sent at once, one that fails undoes all, and is the one that is told of", async () => {
  const { db } = database;
  const failed = atOnce(db, (t) => [t.query(note, ["together 2", "a"]), t.query(wrong, [0]), t.query(backend)]);
  await expect(failed).rejects.toMatchObject({ code: "22012" });
  // Statements that Postgres has not come to are told to it again; the connection goes on.
  for (let turn = 0; turn < 20; turn++)
    expect(await atOnce(db, (t) => [t.query(wrong, [1]), t.query(backend)])).toHaveLength(2);
  expect(await stored()).not.toContain("together 2");
});

test("of statements that are sent at once, one whose value cannot be put into words keeps all of them from being sent", async () => {
  const { db } = database;
  const endless: unknown[] = [{}];
  (endless[0] as { self?: unknown }).self = endless[0];
  const failed = atOnce(db, (t) => [t.query(note, ["together 5", "a"]), t.query(note, ["b", endless[0] as never])]);
  await expect(failed).rejects.toThrow("circular");
  expect(await stored()).not.toContain("together 5");
  expect(await atOnce(db, (t) => [t.query(note, ["together 6", "a"]), t.query(names)])).toHaveLength(2);
});

test("where something is awaited after all, nothing is different but the number of messages", async () => {
  const { db } = database;
  const rows = await db.transact(async (t) => {
    void t.query(note, ["together 3", "a"]);
    await new Promise((resolve) => setImmediate(resolve));
    return t.query(names);
  });
  expect(rows).toContainEqual({ name: "together 3" });
  const failed = db.transact(async (t) => {
    void t.query(note, ["together 4", "a"]);
    throw new Error("no");
  });
  await expect(failed).rejects.toThrow("no");
  expect(await stored()).not.toContain("together 4");
});

test("a connection that is lost under statements that were sent at once fails them all", async () => {
  const { db } = database;
  const failed = expect(atOnce(db, (t) => [t.query(backend), t.query(slow)])).rejects.toThrow();
  const busy = sql(
    "db-test.busy",
    "select pid from pg_stat_activity where state = 'active' and query like '%pg_sleep(60)%' and pid <> pg_backend_pid()",
  );
  let pid: number | undefined;
  while (pid === undefined) pid = (await db.query<{ pid: number }>(busy))[0]?.pid;
  await db.query(terminate, [pid]);
  await failed;
  expect(await atOnce(db, (t) => [t.query(backend)])).toHaveLength(1);
});
