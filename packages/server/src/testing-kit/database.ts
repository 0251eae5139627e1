/** A schema of its own in the test run's Postgres, and its clock in the test's hand. */
import { randomBytes } from "node:crypto";
import { type Db, openDb } from "../store/db.js";
import { migrate } from "../store/migrate.js";

export type TestDatabase = {
  readonly db: Db;
  readonly url: string;
  readonly schema: string;
  /** Moves the database's clock, for every connection and process, this far ahead of real time. */
  shiftClock(ms: number): Promise<void>;
  /** Drops the schema and closes all connections. */
  close(): Promise<void>;
};

export async function testDatabase(): Promise<TestDatabase> {
  const url = process.env.ROTOR_TEST_DATABASE_URL;
  if (!url) throw new Error("Tests that need Postgres run under vitest with its global setup.");
  const schema = `t_${randomBytes(6).toString("hex")}`;
  const db = openDb({ url, schema });
  await migrate(db);
  return {
    db,
    url,
    schema,
    async shiftClock(ms) {
      await db.script(
        `create or replace function rotor.clock() returns timestamptz language sql stable parallel safe
           as 'select clock_timestamp() + interval ''${ms} milliseconds'''`,
      );
    },
    async close() {
      await db.script(`drop schema rotor cascade`.replace("rotor", schema));
      await db.close();
    },
  };
}
