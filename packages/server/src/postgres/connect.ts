/** Asks a Postgres for a sign of life, and makes the database of Rotor in it. It starts and stops nothing. */
import pg from "pg";

/** The database that Rotor uses in its own Postgres. */
export const DATABASE = "rotor";

/**
 * - `ready`: it answered a query.
 * - `busy`: a Postgres is there but takes no sessions: it recovers from a crash, starts, or stops.
 * - `missing`: it works, but has no such database.
 * - `silent`: nobody answered.
 */
export type Answer =
  | { readonly kind: "ready" }
  | { readonly kind: "busy"; readonly why: string }
  | { readonly kind: "missing" }
  | { readonly kind: "silent"; readonly why: string };

const CANNOT_CONNECT_NOW = "57P03";
const TOO_MANY_CONNECTIONS = "53300";
const NO_SUCH_DATABASE = "3D000";

/** One attempt to connect and run `select 1`, of at most 2 s. */
export const ask = async (url: string): Promise<Answer> => {
  try {
    await withClient(url, (client) => client.query("select 1"));
    return { kind: "ready" };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (!(error instanceof pg.DatabaseError)) return { kind: "silent", why };
    switch (error.code) {
      case NO_SUCH_DATABASE:
        return { kind: "missing" };
      case CANNOT_CONNECT_NOW:
      case TOO_MANY_CONNECTIONS:
        return { kind: "busy", why };
      case undefined:
        return { kind: "silent", why };
      default:
        throw error;
    }
  }
};

/**
 * Makes Rotor's database unless it is there; `url` is one of `template1`. The empty database `postgres` of a new cluster
 * becomes it: to rename takes 5 ms, to copy a template 100 to 200. Where someone removed that one, it is copied.
 */
export const createDatabase = async (url: string): Promise<void> => {
  try {
    await withClient(url, (client) => client.query(`alter database postgres rename to ${DATABASE}`));
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== NO_SUCH_DATABASE) throw error;
    await withClient(url, (client) => client.query(`create database ${DATABASE} template template0`));
  }
};

const withClient = async (url: string, use: (client: pg.Client) => Promise<unknown>): Promise<void> => {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 2_000,
    application_name: "rotor start",
  });
  // Without a listener a connection that breaks between two calls would end the process; the calls fail on their own.
  client.on("error", () => undefined);
  try {
    await client.connect();
    await use(client);
  } finally {
    await client.end();
  }
};
