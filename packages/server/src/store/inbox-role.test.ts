/** The role `rotor_producer`: it may insert into the inbox, and nothing else whatsoever. Roles are the whole cluster's. */
import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type TestDatabase, testDatabase } from "../testing-kit/database.js";
import { type Db, openDb } from "./db.js";
import { ensureProducer } from "./inbox-role.js";

let databases: TestDatabase[] = [];
const extraRoles: string[] = [];
beforeAll(async () => {
  databases = await Promise.all([testDatabase(), testDatabase(), testDatabase()]);
});
afterAll(async () => {
  await Promise.all(databases.slice(1).map((each) => each.close()));
  for (const role of extraRoles) await databases[0]!.db.script(`drop owned by ${role} cascade; drop role ${role}`);
  await databases[0]!.close();
});
const clients: { end(): Promise<void> }[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.end();
});

/** A user that can log in by a password of its own. */
async function login(options = ""): Promise<{ role: string; url: string }> {
  const { db, url } = databases[0]!;
  const role = `u_${randomBytes(6).toString("hex")}`;
  await db.script(`create role ${role} login password 'p' ${options}`);
  extraRoles.push(role);
  const address = new URL(url);
  address.username = role;
  address.password = "p";
  return { role, url: String(address) };
}

test("several nodes of several schemas that start at once make the role and give it its rights", async () => {
  const nodes = databases.flatMap(({ db }) => [db, db, db]);
  expect(await Promise.all(nodes.map((db) => ensureProducer(db)))).toEqual(nodes.map(() => undefined));
  const { rows } = await databases[0]!.db.script("select rolcanlogin from pg_roles where rolname = 'rotor_producer'");
  expect(rows).toEqual([{ rolcanlogin: false }]);
});

test("who has the role inserts in his own transaction, and can do nothing else here", async () => {
  const { db, schema } = databases[0]!;
  await ensureProducer(db);
  const { role, url } = await login();
  await db.script(`grant rotor_producer to ${role}`);
  const client = new pg.Client({ connectionString: url });
  clients.push(client);
  await client.connect();
  const run = (text: string) => client.query(db.resolve(text));
  await run(
    "begin; insert into rotor.inbox (kind, target, id, payload, options) values ('job', 'mails', 'a', '{}', '{}')",
  );
  await run("commit");
  await run("begin; insert into rotor.inbox (workspace_id, kind, target) values ('other', 'event', 'b')");
  await run("rollback");
  expect((await db.script("select id, workspace_id from rotor.inbox")).rows).toEqual([
    { id: "a", workspace_id: "default" },
  ]);

  const tables = await db.script(
    `select table_name as name from information_schema.tables where table_schema = '${schema}'`,
  );
  expect(tables.rows.length).toBeGreaterThan(20);
  for (const { name } of tables.rows) {
    await expect(run(`select from rotor.${name}`), name).rejects.toThrow("permission denied");
    await expect(run(`delete from rotor.${name}`), name).rejects.toThrow("permission denied");
    await expect(run(`truncate rotor.${name}`), name).rejects.toThrow("permission denied");
    await expect(run(`update rotor.${name} set ${await columnOf(name)} = default`), name).rejects.toThrow(
      "permission denied",
    );
    if (name !== "inbox")
      await expect(run(`insert into rotor.${name} default values`), name).rejects.toThrow("permission denied");
  }
  for (const text of [
    "insert into rotor.inbox (kind, target) values ('job', 'mails') returning seq",
    "insert into rotor.inbox (seq, kind, target) overriding system value values (-1, 'job', 'mails')",
    "insert into rotor.inbox (inserted_at, kind, target) values ('2020-01-01', 'job', 'mails')",
    "select nextval('rotor.inbox_seq_seq')",
    "select setval('rotor.step_seq', 1)",
    "create table rotor.mine ()",
    "drop table rotor.inbox",
    "alter table rotor.inbox disable trigger all",
    "begin; lock table rotor.inbox in share mode",
  ]) {
    await expect(run(text), text).rejects.toThrow(/permission denied|must be owner/);
  }
});

const columnOf = async (table: string): Promise<string> =>
  (
    await databases[0]!.db.script(
      `select column_name as name from information_schema.columns
        where table_schema = '${databases[0]!.schema}' and table_name = '${table}' and is_identity = 'NO' limit 1`,
    )
  ).rows[0].name;

test("a server whose database user may not make it goes on, and says what to run; after that it says nothing", async () => {
  const { db, schema, url } = databases[1]!;
  // A table that belongs to another: this user may neither make the role nor grant.
  await db.script(`revoke all on rotor.inbox from rotor_producer; revoke all on schema ${schema} from rotor_producer`);
  const { role, url: own } = await login();
  await db.script(`grant usage on schema ${schema} to ${role}; grant all on all tables in schema ${schema} to ${role}`);
  const weak: Db = openDb({ url: own, schema });
  clients.push({ end: () => weak.close() });
  const advice = await ensureProducer(weak);
  expect(advice).toContain(`${schema}.inbox`);
  const [create, ...grants] = advice!.slice(advice!.indexOf("create role")).split("; ");
  expect([create, grants.length]).toEqual(["create role rotor_producer nologin", 2]);
  const admin = new pg.Client({ connectionString: url });
  clients.push(admin);
  await admin.connect();
  for (const grant of grants) await admin.query(grant);
  expect(await ensureProducer(weak)).toBeUndefined();
});
