/**
 * Refuses a pooler that gives each transaction whatever session is free (PgBouncer's and Supavisor's transaction mode). Rotor
 * prepares statements, listens, and sets time limits, each of which belongs to a session. It looks and throws.
 */
import type { ClientBase } from "pg";
import { limits } from "../core/limits.js";

/** Of one node: both pools, its lease, its listener. */
const CONNECTIONS = limits.connections + limits.hotConnections + 2;

const REFUSAL = `DATABASE_URL leads to a connection pooler in transaction mode, which gives each transaction another session: prepared statements, LISTEN and time limits get lost in it. Point it to Postgres itself, or to the pooler's session mode; a node holds ${CONNECTIONS} connections at most.`;

const pidOf = async (client: ClientBase): Promise<number> =>
  (await client.query<{ pid: number }>("select pg_backend_pid() as pid")).rows[0]!.pid;

/**
 * Throws where two connections do not have a session each, from first to last. While one is idle, the other opens a
 * transaction: a pooler gives it the session that became free last, which was the first one's.
 */
export const refusePooler = async (one: ClientBase, other: ClientBase): Promise<void> => {
  const before = await pidOf(one);
  await other.query("begin");
  try {
    const others = await pidOf(other);
    const after = await pidOf(one);
    if (before !== after || others === before) throw new Error(REFUSAL);
  } finally {
    await other.query("rollback");
  }
};
