/**
 * Keys that jobs share beyond their queue: concurrency keys, whose jobs take turns, and values of a queue's rate key. A job
 * whose key is taken is `blocked_on` it and not in the index of what is due, so a million of them cost their neighbours
 * nothing; whoever frees the key unblocks the next in the same commit.
 *
 * A key's row is locked last of all, and under it only rows of jobs that are free are taken: nobody waits here for a job.
 */
import { type RateCounts, type RateLimit, roomAt } from "../core/rate.js";
import { type Db, type Queryable, sql } from "./db.js";

/**
 * Has a turn of its first key: is active or, of a strict key, has begun and is between two attempts; also while it waits for a rate limit.
 * As in the index `jobs_turns`.
 */
export const HAS_TURN = `job.key_id is not null and (job.state = 'active' or (job.state = 'waiting' and job.keeps_turn and job.delivery > 0 and job.blocked_on is distinct from job.key_id))`;

/** Of the row `key` of keys: the jobs that have a turn of it, by either of their keys. */
export const TURNS = `(select job.id, job.queue_id, job.state, job.due_at from rotor.jobs job where job.key_id = key.id and ${HAS_TURN}
              union all
              select job.id, job.queue_id, job.state, job.due_at from rotor.jobs job where job.second_key_id = key.id and job.state = 'active')`;

/** What a statement that moves a job answers of it, for `grantTurns`. */
export const KEYS_OF = `job.key_id as "keyId", job.second_key_id as "secondKeyId"`;

/** A job that was moved, and its concurrency keys. */
export type HasKeys = { readonly keyId: number | null; readonly secondKeyId: number | null };

const lockAll = sql("keys.lock", "select id from rotor.keys where id = any($1::int[]) order by id for no key update");

/** Turns of these keys that are free, by rows that are read after the lock. */
const free = `free as materialized (
     select key.id, key.concurrency
              - (select count(*) from ${TURNS} turn)
              - (select count(*) from rotor.slots slot where slot.key_id = key.id and slot.until > rotor.clock()) as room
       from rotor.keys key where key.id = any($1::int[]) and key.kind = 'turn'
   )`;

/**
 * Unblocks as many of these keys' jobs as there are free turns, of queues that may be visited, the first due first. The
 * queues of a key are found by steps through its index, so that those which are paused cost one step, not their backlog.
 */
const grant = sql(
  "keys.grant",
  `with ${free},
   place as (
     select free.id as key_id, free.room, place.queue_id
       from free
      cross join lateral (
        with recursive walk (queue_id) as (
          (select queue_id from rotor.jobs where blocked_on = free.id order by queue_id limit 1)
          union all
          select (select queue_id from rotor.jobs where blocked_on = free.id and queue_id > walk.queue_id order by queue_id limit 1)
            from walk where walk.queue_id is not null
        )
        select walk.queue_id from walk join rotor.queues queue on queue.id = walk.queue_id
         where queue.paused_at is null and queue.url is not null
           and greatest(queue.open_at, queue.rate_open_at) <= rotor.clock()) place
      where free.room > 0
   ),
   first as (
     select job.id
       from (select distinct key_id, room from place) key
      cross join lateral (
        select next.id
          from place
         cross join lateral (
           select id, due_at from rotor.jobs
            where blocked_on = place.key_id and queue_id = place.queue_id order by due_at limit place.room) next
         where place.key_id = key.key_id order by next.due_at limit key.room) job
   )
   update rotor.jobs job set blocked_on = null
    where job.id = any (array(select id from rotor.jobs where id in (select id from first) for no key update skip locked))
      and job.blocked_on is not null`,
);

/**
 * Passes free turns on to whoever waits for them. Call it last in a transaction that ended turns, with what it moved;
 * jobs without a key cost nothing. What it misses (a row in other hands, a queue that opens later) the keeper finds.
 */
export async function grantTurns(t: Queryable, moved: readonly HasKeys[]): Promise<void> {
  const ids = [...new Set(moved.flatMap((job) => [job.keyId, job.secondKeyId].filter((id) => id !== null)))];
  if (ids.length === 0) return;
  void t.query(lockAll, [ids]);
  await t.query(grant, [ids]);
}

/** Keys with jobs blocked on them and free turns, from one id on. */
const stranded = sql(
  "keys.stranded",
  `with recursive walk (id) as (
     (select blocked_on from rotor.jobs where blocked_on > $1 order by blocked_on limit 1)
     union all
     select (select blocked_on from rotor.jobs where blocked_on > walk.id order by blocked_on limit 1) from walk where walk.id is not null
   ),
   few (id) as (select id from walk where id is not null limit $2)
   select few.id, coalesce(free.room > 0, false) as free
     from few
     left join lateral (
       select key.concurrency
              - (select count(*) from ${TURNS} turn)
              - (select count(*) from rotor.slots slot where slot.key_id = key.id and slot.until > rotor.clock()) as room
         from rotor.keys key where key.id = few.id and key.kind = 'turn') free on true
    order by few.id`,
);

/** Keys that one look goes through. */
const LOOK = 500;

/**
 * The net under the grants: a raised limit, a queue that opened, a slot that ran out, a grant that met a locked row.
 * Looks at some keys from `after` on. Answers where to go on, 0: from the start.
 */
export async function grantStranded(db: Db, after: number): Promise<{ next: number; granted: boolean }> {
  const rows = await db.query<{ id: number; free: boolean }>(stranded, [after, LOOK]);
  const open = rows.filter((row) => row.free).map((row) => ({ keyId: row.id, secondKeyId: null }));
  if (open.length > 0) await db.transact((t) => grantTurns(t, open));
  return { next: rows.length < LOOK ? 0 : rows.at(-1)!.id, granted: open.length > 0 };
}

/** A key that a transaction has locked, and what there is to know about its room. */
export type LockedKey = RateCounts & {
  readonly id: number;
  readonly kind: "turn" | "rate";
  readonly workspace: string;
  readonly queueId: number;
  readonly key: string;
  readonly concurrency: number;
  readonly openAt: Date | null;
  readonly limit: number | null;
  readonly periodMs: number | null;
  /** Of a rate: nothing of its queue is claimed until somebody changes that. */
  readonly closed: boolean;
  readonly nowMs: number;
};

/** Of `key` and its `queue`, whatever is in a `LockedKey`. */
export const LOCKED_KEY = `key.id, key.kind, key.workspace_id as workspace, key.queue_id as "queueId", key.key, key.concurrency, key.open_at as "openAt",
          key.rate_bucket::float8 as bucket, key.rate_counts as counts, queue.rate_limit as "limit", queue.rate_period_ms::float8 as "periodMs",
          queue.paused_at is not null or queue.id is not null and queue.url is null as closed,
          (extract(epoch from rotor.clock()) * 1000)::float8 as "nowMs"`;

const lockIds = sql(
  "keys.lock-ids",
  `select ${LOCKED_KEY} from rotor.keys key left join rotor.queues queue on queue.id = key.queue_id
    where key.id = any($1::int[]) order by key.id for no key update of key`,
);

/** Locks keys by their ids. */
export const lockKeys = async (t: Queryable, ids: readonly number[]): Promise<LockedKey[]> =>
  ids.length === 0 ? [] : t.query<LockedKey>(lockIds, [[...new Set(ids)]]);

/**
 * Whether anybody waits for the row `key` of keys. The order names the index: where most of the table waits for few keys, an
 * `exists` was a scan of it all for a key that nobody waits for.
 */
export const BLOCKS =
  "(select id from rotor.jobs where blocked_on = key.id order by queue_id, due_at limit 1) is not null";

/** Of locked keys: turns that are free, and what waits for them. */
const turns = sql(
  "keys.turns",
  `select key.id, (key.concurrency - taken.count - slots.count)::int as room, (key.concurrency - taken.active - slots.count)::int as places, waiting.count::int as waiting,
          ${BLOCKS} as blocks
     from rotor.keys key
    cross join lateral (
      select count(*), count(*) filter (where turn.state = 'active') as active from ${TURNS} turn) taken
    cross join lateral (select count(*) from rotor.slots slot where slot.key_id = key.id and slot.until > rotor.clock()) slots
    cross join lateral (
      select count(*) from (
        (select 1 from rotor.jobs job
          where job.key_id = key.id and job.key_id is not null and job.state = 'waiting' and job.blocked_on is null
            and job.due_at <= rotor.clock() limit key.concurrency)
        union all
        (select 1 from rotor.jobs job
          where job.second_key_id = key.id and job.second_key_id is not null and job.state = 'waiting' and job.blocked_on is null
            and job.due_at <= rotor.clock() limit key.concurrency)) due) waiting
    where key.id = any($1::int[])`,
);

/** What a key has to give. */
export type KeyRoom = {
  /** Of a turn: free ones. Of a rate: how many may begin now. */
  readonly room: number;
  /** Of a turn: how many more may be active, those that have their turn already among them. Of a rate key: 0. */
  readonly places: number;
  /** Due jobs that are not blocked and may take a turn at once; counted up to the key's limit. Of a rate key: 0. */
  readonly waiting: number;
  readonly blocks: boolean;
  /** Of a rate without room: when there is some. */
  readonly openInMs: number;
  /** Of a rate: its counts as of now. */
  readonly now?: RateCounts;
};

/** The room of locked keys. Read by a statement of its own, after the lock. */
export async function roomsOf(t: Queryable, locked: readonly LockedKey[]): Promise<Map<number, KeyRoom>> {
  const rooms = new Map<number, KeyRoom>();
  if (locked.length === 0) return rooms;
  const rows = await t.query<{ id: number; room: number; places: number; waiting: number; blocks: boolean }>(turns, [
    locked.map((key) => key.id),
  ]);
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const key of locked) {
    const row = byId.get(key.id)!;
    const rate = rateOf(key);
    if (key.kind === "turn") rooms.set(key.id, { ...row, room: Math.max(0, row.room), openInMs: 0 });
    else if (rate === undefined)
      rooms.set(key.id, { room: Number.MAX_SAFE_INTEGER, places: 0, waiting: 0, blocks: row.blocks, openInMs: 0 });
    else rooms.set(key.id, { ...roomAt(rate, key, key.nowMs), places: 0, waiting: 0, blocks: row.blocks });
  }
  return rooms;
}

/** Its queue's limit; undefined where the queue has none any more. */
export const rateOf = (key: LockedKey): RateLimit | undefined =>
  key.limit === null || key.periodMs === null ? undefined : { limit: key.limit, periodMs: key.periodMs };
