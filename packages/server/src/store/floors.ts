/**
 * Where looking may begin. While somebody's transaction stays open, Postgres keeps every dead version of a row, and what
 * looks for the first due job, or counts the active ones, passes all those that have long left its index. A floor is a time
 * below which a queue has nothing of the kind: by its due time what waits, by that since when it is so what is active.
 *
 * Nothing becomes active below the floor of the active: no statement takes longer than its time limit, and a claim, which holds
 * its queue's lock, comes after every other one of it, so each raises the floor for the next (`claim-plain.queues`). What waits
 * may come below its floor (a head start, a turn that was waited for, a commit that took long), so this one is taken anew every
 * few seconds, and only of queues without keys.
 */
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";
import { PLAIN } from "./take.js";

/** `active` as Postgres writes it: it may be no time at all, of what was active before there were these. */
export type Floor = { readonly queueId: number; readonly due: Date; readonly active: string; readonly readAt: string };
export type Floors = ReadonlyMap<number, Floor>;
export const NO_FLOORS: Floors = new Map();

/**
 * What comes to wait is due no longer ago than this: a head start, and a statement that took as long as it may. Whatever did all the
 * same is found by a whole reading.
 */
const BEFORE_S = limits.priority + limits.statementTimeoutMs / 1_000;

const read = sql(
  "floors.read",
  `with clock as materialized (select rotor.clock() as now)
   select queue.id as "queueId",
          least(clock.now - interval '2 seconds',
                (select due_at from rotor.jobs where queue_id = queue.id and state = 'waiting' and blocked_on is null
                    and due_at >= coalesce(least(before.due, before.read_at - interval '${BEFORE_S} seconds'), '-infinity') order by due_at limit 1)) as due,
          greatest(before.active, least(clock.now - interval '${limits.statementTimeoutMs} milliseconds',
                (select active_at from rotor.jobs
                  where queue_id = queue.id and state = 'active' and active_at >= coalesce(before.active, '-infinity') order by active_at limit 1)))::text as active, clock.now::text as "readAt"
     from clock, rotor.queues queue
     left join unnest($2::int[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[]) as before (id, active, due, read_at) on before.id = queue.id
    where queue.url is not null and ${PLAIN} limit $1`,
);

/** An estimate, as Postgres keeps it of each table for its own vacuum. */
const dead = sql("floors.dead", "select pg_stat_get_dead_tuples('rotor.jobs'::regclass)::float8 as rows");

/** Whether so many dead versions of jobs are left that a look is slow because of them, and not of a busy machine. */
export const hasDeadRows = async (db: Queryable, rows: number): Promise<boolean> =>
  (await db.query<{ rows: number }>(dead))[0]!.rows >= rows;

/**
 * Of so many queues at most: one that has nothing due may be the one with the dead rows. That of the active is had from the one
 * `before`, below which none came; so is that of what waits, but for a while before it was read. With `whole` what waits is read from the
 * beginning.
 */
export async function readFloors(db: Queryable, before: Floors = NO_FLOORS, whole = true): Promise<Floors> {
  const ids = [...before.keys()];
  const all = [...before.values()];
  const floors = await db.query<Floor>(read, [
    limits.queuesPerLook,
    ids,
    all.map(({ active }) => active),
    all.map(({ due }) => (whole ? null : due.toISOString())),
    all.map(({ readAt }) => (whole ? null : readAt)),
  ]);
  return new Map(floors.map((floor) => [floor.queueId, floor]));
}

/** Of these queues, in their order: the floors of what waits, and of what is active. */
export const floorsOf = (floors: Floors, queueIds: readonly number[]): [string[], string[]] => [
  queueIds.map((id) => floors.get(id)?.due.toISOString() ?? "-infinity"),
  queueIds.map((id) => floors.get(id)?.active ?? "-infinity"),
];
