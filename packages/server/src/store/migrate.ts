/** Brings the schema up to date: numbered files, forward only, safe when several nodes start at once. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import type { Db } from "./db.js";

const FOLDER = new URL("../../migrations/", import.meta.url);

/** A file of `migrations/`: `0001_first.sql`. */
export type Migration = { readonly number: number; readonly name: string; readonly text: string };

export async function readMigrations(): Promise<Migration[]> {
  const files = (await readdir(FOLDER)).filter((file) => /^\d{4}_\w+\.sql$/.test(file)).sort();
  return Promise.all(
    files.map(async (name) => ({
      number: Number(name.slice(0, 4)),
      name,
      text: await readFile(new URL(name, FOLDER), "utf8"),
    })),
  );
}

/**
 * Applies what is missing and returns the names of what it applied. Each file is one transaction, its ledger row first,
 * under a lock for this schema: a second node waits, then finds nothing to do; a killed one leaves nothing behind.
 * Throws where the database knows a file that this version does not, or another text under a known number.
 */
export async function migrate(db: Db): Promise<string[]> {
  const applied: string[] = [];
  const client = await db.connect();
  try {
    // Waiting for another node's migration is no failure, and a large index may take its time.
    await client.query("set lock_timeout = 0; set statement_timeout = 0");
    const migrations = await readMigrations();
    for (;;) {
      await client.query("begin");
      await client.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [`rotor.migrate.${db.schema}`]);
      await client.query(`create schema if not exists ${db.schema}`);
      await client.query(
        db.resolve(
          "create table if not exists rotor.migrations (number int primary key, name text not null, checksum text not null, applied_at timestamptz not null default clock_timestamp())",
        ),
      );
      const known = await client.query<{ number: number; checksum: string }>(
        db.resolve("select number, checksum from rotor.migrations order by number"),
      );
      const next = nextMigration(migrations, known.rows);
      if (next === undefined) {
        await client.query("commit");
        return applied;
      }
      await client.query(db.resolve("insert into rotor.migrations (number, name, checksum) values ($1, $2, $3)"), [
        next.number,
        next.name,
        checksum(next),
      ]);
      await client.query(db.resolve(next.text));
      await client.query("commit");
      applied.push(next.name);
    }
  } finally {
    await client.end();
  }
}

const checksum = (migration: Migration): string =>
  createHash("sha256").update(migration.text).digest("hex").slice(0, 16);

/** The first file that is not in the ledger; throws where ledger and files disagree. */
export function nextMigration(
  migrations: readonly Migration[],
  ledger: readonly { readonly number: number; readonly checksum: string }[],
): Migration | undefined {
  const done = new Map(ledger.map((row) => [row.number, row.checksum]));
  for (const migration of migrations) {
    const sum = done.get(migration.number);
    if (sum === undefined) return migration;
    if (sum !== checksum(migration))
      throw new Error(`Migration ${migration.name} was changed after this database applied it. Restore the file.`);
    done.delete(migration.number);
  }
  const [newer] = done.keys();
  if (newer !== undefined)
    throw new Error(
      `The database is at migration ${newer}, which this version of Rotor does not know. Start a newer version.`,
    );
  return undefined;
}
