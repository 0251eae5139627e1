/**
 * What the pruner goes through and how far it is, in rows that nodes share: one step of one sweep at a time, by whoever
 * holds its row. What a step deletes is in `prune.ts` and `prune-rest.ts`.
 */
import { type Queryable, sql } from "./db.js";

export type Sweep = {
  readonly what: "jobs" | "events" | "audit" | "keys" | "rest";
  /** Of jobs; else 0. */
  readonly queueId: number;
  /** The last row that was looked at; null: from the start. */
  readonly cursor: string | null;
  /** The database's clock, in ms. */
  readonly nowMs: number;
  /** When the sweep under way began, likewise; before its first step: now. */
  readonly beganMs: number;
};

/** The sweep that has waited longest, of those that are due and in nobody's hands. A later version may have further ones. */
const take = sql(
  "sweeps.take",
  `select what, queue_id as "queueId", cursor, (extract(epoch from rotor.clock()) * 1000)::float8 as "nowMs",
          (extract(epoch from coalesce(began_at, rotor.clock())) * 1000)::float8 as "beganMs"
     from rotor.sweeps where what in ('jobs', 'events', 'audit', 'keys', 'rest') and next_at <= rotor.clock() order by next_at limit 1 for update skip locked`,
);

export const takeSweep = async (t: Queryable): Promise<Sweep | undefined> => (await t.query<Sweep>(take))[0];

/** Due again at once, behind the others that are due. */
const goOn = sql(
  "sweeps.go-on",
  `update rotor.sweeps set cursor = $3, began_at = coalesce(began_at, rotor.clock()), next_at = rotor.clock()
    where what = $1 and queue_id = $2`,
);

/** The sweep goes on behind this row. */
export const goOnBehind = (t: Queryable, sweep: Sweep, cursor: string): Promise<unknown> =>
  t.query(goOn, [sweep.what, sweep.queueId, cursor]);

/** A sweep that took long is not begun again sooner than ten times that: what is kept must not be read all the time. */
const end = sql(
  "sweeps.end",
  `update rotor.sweeps
      set cursor = null, began_at = null,
          next_at = rotor.clock() + greatest($3 * interval '1 millisecond', 10 * (rotor.clock() - coalesce(began_at, rotor.clock())))
    where what = $1 and queue_id = $2`,
);

/** The sweep has come to its end; the next begins in `everyMs`. */
export const endSweep = (t: Queryable, sweep: Sweep, everyMs: number): Promise<unknown> =>
  t.query(end, [sweep.what, sweep.queueId, everyMs]);

const until = sql(
  "sweeps.until",
  `select (extract(epoch from min(next_at) - rotor.clock()) * 1000)::float8 as ms from rotor.sweeps`,
);

/** Milliseconds until a sweep is due. */
export const untilSweep = async (db: Queryable): Promise<number> =>
  (await db.query<{ ms: number | null }>(until))[0]?.ms ?? 0;

/** Queues that have jobs, also those that are gone themselves: found by steps through an index, one for each. */
const add = sql(
  "sweeps.add",
  `with recursive walk (queue_id) as (
     (select queue_id from rotor.payloads order by queue_id limit 1)
     union all
     select (select queue_id from rotor.payloads where queue_id > walk.queue_id order by queue_id limit 1)
       from walk where walk.queue_id is not null
   )
   insert into rotor.sweeps (what, queue_id)
   select 'jobs', queue_id from walk where queue_id is not null
   on conflict do nothing`,
);

/** A queue that is gone, with all its jobs, has nothing to sweep. */
const remove = sql(
  "sweeps.remove",
  `delete from rotor.sweeps sweep
    where what = 'jobs' and not exists (select 1 from rotor.queues where id = sweep.queue_id)
      and not exists (select 1 from rotor.payloads where queue_id = sweep.queue_id)`,
);

/** Makes the sweeps of queues that are new to it, and forgets those of queues that are no more. */
export async function matchSweeps(t: Queryable): Promise<void> {
  void t.query(add);
  await t.query(remove);
}
