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

/** What a step did, and where the next one begins; null: that was the end of the sweep. */
export type Step = { readonly looked: number; readonly removed: number; readonly next: string | null };

/** Due again at once, behind the others that are due. */
const goOn = sql(
  "sweeps.go-on",
  `update rotor.sweeps
      set cursor = $3, looked = looked + $4, removed = removed + $5, began_at = coalesce(began_at, rotor.clock()), next_at = rotor.clock()
    where what = $1 and queue_id = $2`,
);

/**
 * What a sweep only looked at, since it is kept, must not be read all the time: ten times that time passes first. But one that took long
 * since the machine was busy must not have the next wait for many times as long as things are kept: twenty times the usual is
 * one term (`sweepEveryMs`).
 */
const end = sql(
  "sweeps.end",
  `update rotor.sweeps
      set cursor = null, looked = 0, removed = 0, began_at = null,
          next_at = rotor.clock()
            + greatest($3::float8 * interval '1 millisecond',
                       least(20 * $3::float8 * interval '1 millisecond',
                             10 * (rotor.clock() - coalesce(began_at, rotor.clock())) * (1 - (removed + $5)::float8 / greatest(looked + $4, 1))))
    where what = $1 and queue_id = $2`,
);

/** Writes down how far a sweep is. After its end the next begins in `everyMs`. */
export const writeStep = (
  t: Queryable,
  sweep: Sweep,
  { looked, removed, next }: Step,
  everyMs: number,
): Promise<unknown> =>
  next === null
    ? t.query(end, [sweep.what, sweep.queueId, everyMs, looked, removed])
    : t.query(goOn, [sweep.what, sweep.queueId, next, looked, removed]);

const postpone = sql(
  "sweeps.postpone",
  `update rotor.sweeps set next_at = rotor.clock() + interval '1 minute' where what = $1 and queue_id = $2`,
);

/** Puts a sweep off whose step failed. */
export const postponeSweep = (db: Queryable, sweep: Sweep): Promise<unknown> =>
  db.query(postpone, [sweep.what, sweep.queueId]);

const until = sql(
  "sweeps.until",
  `select (extract(epoch from min(next_at) - rotor.clock()) * 1000)::float8 as ms from rotor.sweeps`,
);

/** Milliseconds until a sweep is due. */
export const untilSweep = async (db: Queryable): Promise<number> =>
  (await db.query<{ ms: number | null }>(until))[0]?.ms ?? 0;

/**
 * A sweep for each queue that has jobs, also for those that are gone themselves; none for a queue that is gone with all its
 * jobs. The queues are found by steps through an index, one for each: counting, or joining, would read all jobs.
 */
const match = sql(
  "sweeps.match",
  `with recursive walk (queue_id) as (
     (select queue_id from rotor.payloads order by queue_id limit 1)
     union all
     select (select queue_id from rotor.payloads where queue_id > walk.queue_id order by queue_id limit 1)
       from walk where walk.queue_id is not null
   ),
   added as (
     insert into rotor.sweeps (what, queue_id)
     select 'jobs', queue_id from walk where queue_id is not null
     on conflict do nothing
   )
   delete from rotor.sweeps sweep
    where what = 'jobs' and not exists (select 1 from rotor.queues where id = sweep.queue_id)
      and queue_id not in (select queue_id from walk where queue_id is not null)`,
);

/** Makes the sweeps of queues that are new, and forgets those of queues that are no more. */
export const matchSweeps = (t: Queryable): Promise<unknown> => t.query(match);
