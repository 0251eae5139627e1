/**
 * How deliveries of each queue went, by minute, as its nodes saw it: what charts are drawn of, and what says that a queue is
 * failing. A node writes its own counts down every few seconds, so the rows of jobs are not looked at for it.
 */
import { type Queryable, sql } from "./db.js";

/** How deliveries of a queue went since they were last written down. */
export type Tally = {
  readonly queueId: number;
  readonly ended: number;
  readonly failed: number;
  /** The longest that one of them had waited, from being due until it was sent off. */
  readonly waitMs: number;
};

/** Adds to what other nodes saw in the same minute. A queue that is gone has none. */
const add = sql(
  "tallies.add",
  `insert into rotor.tallies as tally (queue_id, at, ended, failed, wait_ms)
   select queue.id, date_trunc('minute', rotor.clock()), item.ended, item.failed, item.wait_ms
     from unnest($1::int[], $2::int[], $3::int[], $4::int[]) as item (queue_id, ended, failed, wait_ms)
     join rotor.queues queue on queue.id = item.queue_id and queue.system is null
    order by queue.id
   on conflict (queue_id, at) do update
      set ended = tally.ended + excluded.ended, failed = tally.failed + excluded.failed, wait_ms = greatest(tally.wait_ms, excluded.wait_ms)`,
);

/** Writes down how deliveries went on this node. */
export async function writeTallies(db: Queryable, tallies: readonly Tally[]): Promise<void> {
  if (tallies.length === 0) return;
  await db.query(add, [
    tallies.map(({ queueId }) => queueId),
    tallies.map(({ ended }) => ended),
    tallies.map(({ failed }) => failed),
    tallies.map(({ waitMs }) => Math.min(Math.round(waitMs), MOST_MS)),
  ]);
}

/** Three weeks: what the column holds. */
const MOST_MS = 2 ** 31 - 1;

/** Of one queue in the span: how many deliveries ended and failed, and since when they fail more often than not. */
export type QueueTally = {
  readonly queueId: number;
  readonly ended: number;
  readonly failed: number;
  /** Of the last minutes, by which a queue counts as failing. */
  readonly recentEnded: number;
  readonly recentFailed: number;
  readonly recentFailedAt: Date | null;
};

const byQueue = sql(
  "tallies.by-queue",
  `with clock as materialized (select rotor.clock() as now)
   select tally.queue_id as "queueId", sum(tally.ended)::int as ended, sum(tally.failed)::int as failed,
          coalesce(sum(tally.ended) filter (where tally.at > clock.now - $3 * interval '1 millisecond'), 0)::int as "recentEnded",
          coalesce(sum(tally.failed) filter (where tally.at > clock.now - $3 * interval '1 millisecond'), 0)::int as "recentFailed",
          min(tally.at) filter (where tally.at > clock.now - $3 * interval '1 millisecond' and tally.failed > 0) as "recentFailedAt"
     from clock, rotor.tallies tally
    where tally.queue_id = any($1::int[]) and tally.at > clock.now - $2 * interval '1 millisecond'
    group by tally.queue_id`,
);

/** How each of these queues did in a span up to now. */
export const talliesByQueue = (
  db: Queryable,
  queueIds: readonly number[],
  spanMs: number,
  recentMs: number,
): Promise<QueueTally[]> => db.query<QueueTally>(byQueue, [[...queueIds], spanMs, recentMs]);

/** Of all these queues together, in one part of the span. */
export type Point = {
  readonly at: Date;
  readonly ended: number;
  readonly failed: number;
  /** Null where nothing ended. */
  readonly waitMs: number | null;
};

/** Parts begin at whole multiples of their length; those in which nothing happened are there, too. */
const byTime = sql(
  "tallies.by-time",
  `with clock as materialized (select rotor.clock() as now),
   part as (
     select to_timestamp(n) as at
       from clock, generate_series((floor(extract(epoch from clock.now - $2 * interval '1 millisecond') / $3) + 1) * $3,
                                   floor(extract(epoch from clock.now) / $3) * $3, $3) n
   ),
   seen as (
     select to_timestamp(floor(extract(epoch from tally.at) / $3) * $3) as at, sum(tally.ended)::int as ended, sum(tally.failed)::int as failed,
            max(tally.wait_ms) as wait_ms
       from clock, rotor.tallies tally
      where tally.queue_id = any($1::int[]) and tally.at > clock.now - ($2 * interval '1 millisecond' + $3 * interval '1 second')
      group by 1
   )
   select part.at, coalesce(seen.ended, 0) as ended, coalesce(seen.failed, 0) as failed, case when seen.ended > 0 then seen.wait_ms end as "waitMs"
     from part left join seen on seen.at = part.at order by part.at`,
);

/** The span up to now in parts of so many seconds, the oldest first. */
export const talliesByTime = (
  db: Queryable,
  queueIds: readonly number[],
  spanMs: number,
  partS: number,
): Promise<Point[]> => db.query<Point>(byTime, [[...queueIds], spanMs, partS]);

const forgetOld = sql(
  "tallies.forget",
  `delete from rotor.tallies where (queue_id, at) in
     (select queue_id, at from rotor.tallies where at < rotor.clock() - $1 * interval '1 millisecond' order by at limit $2) returning 1`,
);

/** Forgets what is older; answers how many rows that were. */
export const forgetTallies = async (t: Queryable, keptMs: number, limit: number): Promise<number> =>
  (await t.query(forgetOld, [keptMs, limit])).length;
