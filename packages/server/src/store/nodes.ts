/** Nodes and their leases: one row a running server, renewed each second; O(nodes) writes, not O(jobs). */
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";

/** The clock that others go by, and not the one that tests set: what we sign is judged by the time of day. */
const NOW = "(extract(epoch from clock_timestamp()) * 1000)::float8 as now";

const register = sql(
  "nodes.register",
  `insert into rotor.nodes (id, label, started_at, lease_until)
   values ($1, $2, rotor.clock(), rotor.clock() + $3 * interval '1 millisecond')
   returning ${NOW}`,
);

/** Renews a lease that has not run out. No row: the node counts as dead, whatever it holds is not its own any more. */
const renew = sql(
  "nodes.renew",
  `update rotor.nodes set lease_until = rotor.clock() + $2 * interval '1 millisecond'
    where id = $1 and lease_until > rotor.clock()
   returning (select count(*)::int from rotor.nodes where lease_until > rotor.clock()) as alive, ${NOW}`,
);

const alive = sql("nodes.alive", "select count(*)::int as count from rotor.nodes where lease_until > rotor.clock()");

const remove = sql("nodes.remove", "delete from rotor.nodes where id = $1");

/** Answers the time of day by the database, in milliseconds. */
export async function registerNode(db: Queryable, id: string, label: string): Promise<number> {
  const [row] = await db.query<{ now: number }>(register, [id, label, limits.leaseMs]);
  return row!.now;
}

/** Living nodes, this one among them, and the time of day by the database; undefined: this one is dead. */
export async function renewNode(db: Queryable, id: string): Promise<{ alive: number; now: number } | undefined> {
  const [row] = await db.query<{ alive: number; now: number }>(renew, [id, limits.leaseMs]);
  return row;
}

/** Nodes whose lease is good. */
export const countNodes = async (db: Queryable): Promise<number> =>
  (await db.query<{ count: number }>(alive))[0]!.count;

export const removeNode = (db: Queryable, id: string): Promise<unknown> => db.query(remove, [id]);
