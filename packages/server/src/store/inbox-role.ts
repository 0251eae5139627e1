/** The role `rotor_producer`, which may insert into the inbox and do nothing else here. Who is given it is not said here. */
import type pg from "pg";
import { type Db, sql } from "./db.js";

/** Roles belong to the cluster, grants to the schema: several schemas share this one. */
export const PRODUCER = "rotor_producer";

/** Whether the role is not there, and whether it lacks any of its rights in this schema. */
const lacking = sql(
  "inbox-role.lacking",
  `select role.oid is null as role,
          role.oid is null or not has_schema_privilege(role.oid, $1, 'usage')
                           or not has_column_privilege(role.oid, $1 || '.inbox', 'payload', 'insert') as grants
     from (select) as one left join pg_roles role on role.rolname = 'rotor_producer'`,
);

const create = sql("inbox-role.create", "create role rotor_producer nologin");
const use = (schema: string): string => `grant usage on schema ${schema} to rotor_producer`;
/** Columns only: whoever could write `seq` could jump the queue, or take the numbers of others. */
const insert = sql(
  "inbox-role.insert",
  "grant insert (workspace_id, kind, target, id, payload, options) on rotor.inbox to rotor_producer",
);

/** SQLSTATE: another node, or another schema's server, made it just now. */
const MADE = new Set(["42710", "23505"]);
const FORBIDDEN = "42501";

/**
 * Makes the role and gives it what it may, where this is not done yet. Safe for any number of nodes and schemas at once.
 * Answers a sentence with what to run instead, where this database user may not; nothing else of Rotor needs the role.
 */
export async function ensureProducer(db: Db): Promise<string | undefined> {
  const before = await look(db);
  if (!before.grants) return undefined;
  const client = await db.connect();
  try {
    // Waiting for another node's migration is no failure.
    await client.query("set lock_timeout = 0");
    if (before.role) await createRole(client);
    // Two that grant on one table at once would get in each other's way: the same lock as a migration's.
    await client.query("begin");
    await client.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [`rotor.migrate.${db.schema}`]);
    await client.query(use(db.schema));
    await client.query(db.resolve(insert.text));
    await client.query("commit");
  } catch (error) {
    if (codeOf(error) !== FORBIDDEN) throw error;
  } finally {
    await client.end();
  }
  // Who has other rights on a table than to give them away is only warned by Postgres: the look decides.
  return (await look(db)).grants ? adviceFor(db) : undefined;
}

const adviceFor = (db: Db): string =>
  `This database user may not make the role ${PRODUCER}, which lets others insert into ${db.schema}.inbox and nothing else. Where you want it, let an administrator run: ${create.text}; ${use(db.schema)}; ${db.resolve(insert.text)};`;

const look = async (db: Db): Promise<{ role: boolean; grants: boolean }> =>
  (await db.query<{ role: boolean; grants: boolean }>(lacking, [db.schema]))[0]!;

async function createRole(client: pg.Client): Promise<void> {
  try {
    await client.query(create.text);
  } catch (error) {
    if (!MADE.has(codeOf(error))) throw error;
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
