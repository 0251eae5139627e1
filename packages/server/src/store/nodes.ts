/** Nodes and their leases: one row a running server, renewed each second; O(nodes) writes, not O(jobs). */
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";

const register = sql(
  "nodes.register",
  `insert into rotor.nodes (id, label, started_at, lease_until)
   values ($1, $2, rotor.clock(), rotor.clock() + $3 * interval '1 millisecond')`,
);

/** Renews a lease that has not run out. No row: the node counts as dead, whatever it holds is not its own any more. */
const renew = sql(
  "nodes.renew",
  `update rotor.nodes set lease_until = rotor.clock() + $2 * interval '1 millisecond'
    where id = $1 and lease_until > rotor.clock()
   returning (select count(*)::int from rotor.nodes where lease_until > rotor.clock()) as alive`,
);

const remove = sql("nodes.remove", "delete from rotor.nodes where id = $1");

export const registerNode = (db: Queryable, id: string, label: string): Promise<unknown> =>
  db.query(register, [id, label, limits.leaseMs]);

/** Living nodes, this one among them; undefined: this one is dead. */
export async function renewNode(db: Queryable, id: string): Promise<number | undefined> {
  const [row] = await db.query<{ alive: number }>(renew, [id, limits.leaseMs]);
  return row?.alive;
}

export const removeNode = (db: Queryable, id: string): Promise<unknown> => db.query(remove, [id]);
