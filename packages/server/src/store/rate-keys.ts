/**
 * Rate limits that are one for each value of a key: what began is counted in the key's row, and a job that has to wait is
 * blocked on it until there is room again.
 */
import { RATE_PARTS, roomAt, spend } from "../core/rate.js";
import { type Db, type Queryable, sql } from "./db.js";
import { BLOCKS, type KeyRoom, type LockedKey, lockKeys, rateOf, roomsOf } from "./keys.js";

/** What began under rate keys is counted; a key that blocks jobs says when it opens. */
const countKeys = sql(
  "keys.count",
  `update rotor.keys key
      set rate_bucket = item.bucket, rate_counts = array(select jsonb_array_elements_text(item.counts::jsonb)::int),
          open_at = case when item.open_in_ms is null then key.open_at else rotor.clock() + item.open_in_ms * interval '1 millisecond' end
     from unnest($1::int[], $2::float8[], $3::text[], $4::float8[]) as item (id, bucket, counts, open_in_ms)
    where key.id = item.id`,
);

/** Of each rate key that something began under, or that blocks: its counts, and when it opens. */
export function countRates(
  t: Queryable,
  locked: readonly LockedKey[],
  rooms: ReadonlyMap<number, KeyRoom>,
  taken: readonly { readonly rateKeyId: number | null }[],
  blocked: readonly { readonly on: number }[],
): void {
  const states = locked.flatMap((key) => {
    const rate = rateOf(key);
    const now = rooms.get(key.id)?.now;
    if (key.kind !== "rate" || rate === undefined || now === undefined) return [];
    const begun = taken.filter((job) => job.rateKeyId === key.id).length;
    const blocks = blocked.some((job) => job.on === key.id);
    if (begun === 0 && !blocks) return [];
    const state = spend(now, begun);
    // Where there is room still, others are to take it who are not claimed yet: then it is looked at again.
    const openInMs = roomAt(rate, state, key.nowMs).openInMs || rate.periodMs / RATE_PARTS;
    return [{ id: key.id, state, openInMs: blocks ? openInMs : null }];
  });
  if (states.length === 0) return;
  void t.query(countKeys, [
    states.map((each) => each.id),
    states.map((each) => each.state.bucket),
    states.map((each) => JSON.stringify(each.state.counts)),
    states.map((each) => each.openInMs),
  ]);
}

const opening = sql(
  "keys.opening",
  "select id from rotor.keys where open_at <= rotor.clock() order by open_at limit 200",
);

/** Due jobs at the front of these queues that are blocked no more: they take the room that there is before others do. */
const waiting = sql(
  "keys.waiting",
  `select job.rate_key_id as id, count(*)::int as count
     from unnest($1::int[]) as item (queue_id)
    cross join lateral (
      select rate_key_id from rotor.jobs
       where queue_id = item.queue_id and state = 'waiting' and blocked_on is null and due_at <= rotor.clock()
       order by due_at limit 1000) job
    where job.rate_key_id is not null
    group by job.rate_key_id`,
);

/** Unblocks so many of a rate key's jobs, the first due first; those in other hands are left for the next time. */
const unblock = sql(
  "keys.unblock",
  `update rotor.jobs job set blocked_on = null
    where job.id = any (array(
        select next.id
          from unnest($1::int[], $2::int[]) as item (key_id, room)
         cross join lateral (
           select id from rotor.jobs
            where blocked_on = item.key_id order by queue_id, due_at limit item.room for no key update skip locked) next))
      and job.blocked_on is not null
   returning job.id`,
);

/**
 * A key that blocks jobs still opens again; one that blocks none is left alone. Its counts are kept as they were read:
 * those of another period than the limit has now count as begun at the first look, and not at each one anew.
 */
const reopen = sql(
  "keys.reopen",
  `update rotor.keys key
      set open_at = case when ${BLOCKS}
                         then rotor.clock() + item.open_in_ms * interval '1 millisecond' end,
          rate_bucket = coalesce(item.bucket, key.rate_bucket),
          rate_counts = case when item.bucket is null then key.rate_counts else array(select jsonb_array_elements_text(item.counts::jsonb)::int) end
     from unnest($1::int[], $2::float8[], $3::float8[], $4::text[]) as item (id, open_in_ms, bucket, counts)
    where key.id = item.id`,
);

const untilNext = sql(
  "keys.until",
  "select (extract(epoch from min(open_at) - rotor.clock()) * 1000)::float8 as ms from rotor.keys where open_at is not null",
);

/**
 * Lets go on what waited for rate keys that have room again. What it lets go is counted when it is claimed, so while it
 * waits for that (its queue is paused, or full) no more follow; should more be claimable than there is room for, the claim
 * blocks the rest anew. Answers whether something was let go, and in how
 * many milliseconds the next key opens.
 */
export async function openRateKeys(db: Db): Promise<{ opened: boolean; nextMs: number | undefined }> {
  const ids = (await db.query<{ id: number }>(opening)).map((row) => row.id);
  let opened = false;
  if (ids.length > 0) {
    opened = await db.transact(async (t) => {
      // Another node may have had them in hand until now.
      const locked = (await lockKeys(t, ids)).filter((key) => key.openAt !== null && key.openAt.getTime() <= key.nowMs);
      if (locked.length === 0) return false;
      const rooms = await roomsOf(t, locked);
      const rows = await t.query<{ id: number; count: number }>(waiting, [
        [...new Set(locked.map((key) => key.queueId))],
      ]);
      const first = new Map(rows.map((row) => [row.id, row.count]));
      const room = locked.map((key) => Math.max(0, Math.min(rooms.get(key.id)!.room, MOST) - (first.get(key.id) ?? 0)));
      const unblocked = await t.query(unblock, [locked.map((key) => key.id), room]);
      void t.query(reopen, [
        locked.map((key) => key.id),
        // While there is room, what was let go is to be claimed first: then it is looked at again.
        locked.map((key) =>
          Math.max(rooms.get(key.id)!.openInMs, key.closed ? CLOSED_MS : (key.periodMs ?? 0) / RATE_PARTS, 20),
        ),
        locked.map((key) => rooms.get(key.id)!.now?.bucket ?? null),
        locked.map((key) => JSON.stringify(rooms.get(key.id)!.now?.counts ?? [])),
      ]);
      return unblocked.length > 0;
    });
  }
  const [row] = await db.query<{ ms: number | null }>(untilNext);
  return { opened, nextMs: row?.ms ?? undefined };
}

/** Jobs that one key lets go at a time. */
const MOST = 1_000;

/** How often the keys of a queue that is paused are looked at: there may be many, for nothing. Who resumes it opens them. */
const CLOSED_MS = 30_000;
