/** Jobs and events in people's own transactions, with the libraries themselves: there is a job if, and only if, theirs committed. */
import { enqueueBatchIn, enqueueIn, type InboxOptions, type InboxTransaction, sendIn } from "@rotorsh/sdk/inbox";
import { sql as drizzleSql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import knexOf from "knex";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { readInboxRow } from "../http/inbox-row.js";
import { moveRows } from "../store/inbox.js";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { callbackQueue } from "../testing-kit/fixtures.js";

/** What a user does in a transaction; `end` decides how it ends. */
type Work = (tx: InboxTransaction, insertOwn: () => PromiseLike<unknown>) => Promise<void>;
type Library = { readonly transact: (work: Work) => Promise<unknown>; readonly root: unknown };

let database: TestDatabase;
let inbox: InboxOptions;
let pool: pg.Pool;
const libraries: Record<string, Library> = {};
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  database = await testDatabase();
  const { db, url, schema } = database;
  inbox = { schema };
  await callbackQueue(db, "mails");
  await db.script("create table rotor.orders (id int generated always as identity)");
  const insertOrder = db.resolve("insert into rotor.orders default values");
  pool = new pg.Pool({ connectionString: url, max: 5 });
  // A connection that dies in the middle tells whoever uses it; without a listener the process would end, too.
  for (const event of ["connect", "error"] as const)
    pool.on(event, (of: Error | pg.PoolClient) => "on" in of && of.on("error", () => undefined));
  const drizzleDb = drizzle({ client: pool });
  const kysely = new Kysely<Record<string, never>>({ dialect: new PostgresDialect({ pool }) });
  const knex = knexOf({ client: "pg", connection: url, pool: { min: 0, max: 2 }, log: { warn: () => undefined } });
  closers.push(() => knex.destroy());

  libraries.pg = {
    root: pool,
    async transact(work) {
      const client = await pool.connect();
      let broken: Error | undefined;
      try {
        await client.query("begin");
        await work(client, () => client.query(insertOrder));
        await client.query("commit");
      } catch (error) {
        await client.query("rollback").catch((lost: Error) => {
          broken = lost;
        });
        throw error;
      } finally {
        client.release(broken);
      }
    },
  };
  libraries.Drizzle = {
    root: drizzleDb,
    transact: (work) => drizzleDb.transaction((tx) => work(tx, async () => tx.execute(drizzleSql.raw(insertOrder)))),
  };
  libraries.Kysely = {
    root: kysely,
    transact: (work) =>
      kysely.transaction().execute((trx) =>
        work(trx, () =>
          trx
            .insertInto(`${schema}.orders` as never)
            .defaultValues()
            .execute(),
        ),
      ),
  };
  libraries.Knex = {
    root: knex,
    transact: (work) => knex.transaction((trx) => work(trx, async () => trx.raw(insertOrder))),
  };
});
beforeEach(async () => {
  await database.db.script(
    "delete from rotor.jobs; delete from rotor.payloads; delete from rotor.events; delete from rotor.orders",
  );
});
afterAll(async () => {
  for (const close of closers) await close();
  await pool.end();
  await database.close();
});

/** What there is, once the inbox is empty. */
async function there(): Promise<{ orders: number; jobs: unknown[]; events: unknown[] }> {
  const { db } = database;
  while ((await moveRows(db, readInboxRow)).more);
  const { rows: orders } = await db.script("select from rotor.orders");
  const { rows: jobs } = await db.script(
    "select key, convert_from(body, 'utf8')::json as payload, tags, max_attempts as attempts from rotor.payloads join rotor.jobs on id = job_id order by job_id",
  );
  const { rows: events } = await db.script("select name, key, data::json as data from rotor.events");
  return { orders: orders.length, jobs, events };
}

const nothing = { orders: 0, jobs: [], events: [] };

test.each(["pg", "Drizzle", "Kysely", "Knex"])(
  "%s: what was enqueued and sent is there when the transaction committed",
  async (name) => {
    const payload = { text: 'it\'s $1 ? :x \\ "q" ü 🦆', n: 0.1, none: null, list: [1, "2"] };
    await libraries[name]!.transact(async (tx, insertOwn) => {
      await insertOwn();
      expect(await enqueueIn(tx, "mails", { jobId: "a", payload, tags: ["eu"], maxAttempts: 3 }, inbox)).toEqual({
        jobId: "a",
      });
      const many = await enqueueBatchIn(tx, "mails", [{ payload: 1 }, { payload: "two" }, {}], inbox);
      expect(new Set(many.map(({ jobId }) => jobId)).size).toBe(3);
      expect(await sendIn(tx, { name: "x", data: payload, id: "e" }, inbox)).toEqual({ id: "e" });
      expect(await sendIn(tx, [{ name: "y" }], inbox)).toHaveLength(1);
      expect(await enqueueBatchIn(tx, "mails", [], inbox)).toEqual([]);
    });
    expect(await there()).toEqual({
      orders: 1,
      jobs: [
        { key: "a", payload, tags: ["eu"], attempts: 3 },
        ...[1, "two", null].map((each) => ({ key: expect.any(String), payload: each, tags: [], attempts: null })),
      ],
      events: [
        { name: "x", key: "e", data: payload },
        { name: "y", key: expect.any(String), data: null },
      ],
    });
  },
);

test.each(["pg", "Drizzle", "Kysely", "Knex"])("%s: nothing is there when it rolled back", async (name) => {
  const thrown = new Error("no");
  const work: Work = async (tx, insertOwn) => {
    await insertOwn();
    await enqueueIn(tx, "mails", {}, inbox);
    await sendIn(tx, { name: "x" }, inbox);
    throw thrown;
  };
  await expect(libraries[name]!.transact(work)).rejects.toBe(thrown);
  expect(await there()).toEqual(nothing);
});

test.each(["pg", "Drizzle", "Kysely", "Knex"])(
  "%s: nothing is there when its connection was killed in the middle",
  async (name) => {
    const kill = {
      name: "libraries.kill",
      text: `select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction' and query like $1`,
    };
    const work: Work = async (tx, insertOwn) => {
      await insertOwn();
      await enqueueIn(tx, "mails", {}, inbox);
      expect(await database.db.query(kill, [`insert into ${database.schema}.inbox %`])).toHaveLength(1);
      await enqueueIn(tx, "mails", {}, inbox);
    };
    await expect(libraries[name]!.transact(work)).rejects.toThrow();
    expect(await there()).toEqual(nothing);
  },
);

test.each(["pg", "Drizzle", "Kysely", "Knex"])(
  "%s: a transaction that is made again with the same id enqueues once",
  async (name) => {
    for (let tries = 1; tries <= 2; tries++) {
      await libraries[name]!.transact(async (tx) => void (await enqueueIn(tx, "mails", { jobId: "same" }, inbox)));
    }
    expect((await there()).jobs).toHaveLength(1);
  },
);

test.each(["pg", "Drizzle", "Kysely", "Knex"])(
  "%s: what is no transaction is refused, with a word on how to come by one",
  async (name) => {
    const root = libraries[name]!.root as InboxTransaction;
    await expect(enqueueIn(root, "mails", {}, inbox)).rejects.toThrow(
      /outside of your transaction: pass .*transaction/,
    );
    expect(await there()).toEqual(nothing);
  },
);

test("a payload that cannot be stored is refused before it is sent: the transaction stays whole", async () => {
  await libraries.pg!.transact(async (tx, insertOwn) => {
    for (const payload of ["\u0000", "\\\ud800", { "a\udfff": 1 }])
      await expect(enqueueIn(tx, "mails", { payload }, inbox)).rejects.toThrow("cannot be stored");
    await insertOwn();
    await enqueueIn(tx, "mails", { payload: "\\u0000 \\\\ud800 🦆" }, inbox);
  });
  expect(await there()).toMatchObject({ orders: 1, jobs: [{ payload: "\\u0000 \\\\ud800 🦆" }] });
});
