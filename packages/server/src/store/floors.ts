/**
 * Where looking may begin. While somebody's transaction stays open, Postgres keeps every dead version of a row, and what
 * looks for the first due job, or counts the active ones, passes all those that have long left its index. A floor is a due
 * time below which a queue has nothing of the kind.
 *
 * Nothing that is active is ever due before the floor of the active: what is made active is due after the time at which it
 * was, and no statement takes longer than its time limit. What waits may come below its floor (a head start, a turn that was
 * waited for, a commit that took long), so this one is taken anew every few seconds, and only of queues without keys.
 */
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";
import { PLAIN } from "./take.js";

export type Floor = { readonly queueId: number; readonly due: Date; readonly active: Date };
export type Floors = ReadonlyMap<number, Floor>;
export const NO_FLOORS: Floors = new Map();

const read = sql(
  "floors.read",
  `with clock as materialized (select rotor.clock() as now)
   select queue.id as "queueId",
          least(clock.now - interval '2 seconds',
                (select due_at from rotor.jobs where queue_id = queue.id and state = 'waiting' and blocked_on is null order by due_at limit 1)) as due,
          least(clock.now - interval '${limits.statementTimeoutMs} milliseconds',
                (select due_at from rotor.jobs
                  where queue_id = queue.id and state = 'active' and due_at >= coalesce(before.active, '-infinity') order by due_at limit 1)) as active
     from clock, rotor.queues queue left join unnest($2::int[], $3::timestamptz[]) as before (id, active) on before.id = queue.id
    where queue.url is not null and ${PLAIN} limit $1`,
);

/** An estimate, as Postgres keeps it of each table for its own vacuum. */
const dead = sql("floors.dead", "select pg_stat_get_dead_tuples('rotor.jobs'::regclass)::float8 as rows");

/** Whether so many dead versions of jobs are left that a look is slow because of them, and not of a busy machine. */
export const hasDeadRows = async (db: Queryable, rows: number): Promise<boolean> =>
  (await db.query<{ rows: number }>(dead))[0]!.rows >= rows;

/**
 * Of so many queues at most: one that has nothing due may be the one with the dead rows. That of the active is had from the one
 * `before`, below which none came; that of what waits from the beginning.
 */
export async function readFloors(db: Queryable, before: Floors = NO_FLOORS): Promise<Floors> {
  const ids = [...before.keys()];
  const floors = await db.query<Floor>(read, [limits.queuesPerLook, ids, floorsOf(before, ids)[1]]);
  return new Map(floors.map((floor) => [floor.queueId, floor]));
}

/** Of these queues, in their order: the floors of what waits, and of what is active. */
export const floorsOf = (floors: Floors, queueIds: readonly number[]): [string[], string[]] => [
  queueIds.map((id) => floors.get(id)?.due.toISOString() ?? "-infinity"),
  queueIds.map((id) => floors.get(id)?.active.toISOString() ?? "-infinity"),
];
