/**
 * prune, of keys: once a day the keys are removed that no job has had for a week. No index tells which jobs have a key, so
 * all jobs are walked and the keys of those that may still run are marked; an enqueue marks them, too. A key that is older
 * than both marks has nobody. Where no key is that old nothing is walked.
 */
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";
import { type Sweep, writeStep } from "./sweeps.js";

/**
 * A limit that a person set is kept; a function's keys have theirs from the function. Forgetting the counts of a rate limit
 * before its period is over would let too many begin.
 */
const UNUSED = `(key.concurrency = 1 or key.queue_id <> 0) and key.open_at is null
      and key.seen_at < to_timestamp($1::float8 / 1000) - $2 * interval '1 millisecond'
          - coalesce((select rate_period_ms from rotor.queues where id = key.queue_id), 0) * interval '1 millisecond'`;

const candidates = sql("prune.unused-keys", `select 1 from rotor.keys key where ${UNUSED} limit 1`);

/** The next jobs, and the keys of those among them that wait, are active, or may be retried; a run may be replayed in any state. */
const walk = sql(
  "prune.walk-keys",
  `with walked as materialized (
     select id, queue_id, state, key_id, second_key_id, rate_key_id from rotor.jobs where ($1::uuid is null or id > $1) order by id limit $2
   )
   select seen.count, seen.last,
          array(select distinct key from walked cross join lateral (values (key_id), (second_key_id), (rate_key_id)) of (key)
                 where key is not null
                   and (state not in ('completed', 'cancelled') or exists (select 1 from rotor.queues where id = queue_id and kind = 'function'))) as keys
     from (select count(*)::int as count, (array_agg(id order by id))[count(*)::int] as last from walked) seen`,
);

const mark = sql(
  "prune.mark-keys",
  "update rotor.keys set seen_at = rotor.clock() where id = any($1::int[]) and seen_at < rotor.clock() - interval '1 day'",
);

/** Locked first: an enqueue that has the key in hand marks it, and the test is made again under the lock. */
const lockUnused = sql(
  "prune.lock-keys",
  `select key.id from rotor.keys key where ${UNUSED} order by key.id limit $3 for update of key skip locked`,
);
const remove = sql("prune.keys", "delete from rotor.keys where id = any($1::int[])");

const EVERY_MS = 86_400_000;
/** Keys that leave in one transaction; of more, the next step takes others. */
const TOGETHER = 10_000;
const LOOK = 5_000;
/** Before all jobs. */
const FIRST = "00000000-0000-0000-0000-000000000000";

export async function pruneKeys(t: Queryable, sweep: Sweep): Promise<number> {
  const unused = [sweep.beganMs, limits.unusedKeyMs];
  if (sweep.cursor === null && (await t.query(candidates, unused)).length === 0) {
    await writeStep(t, sweep, { looked: 0, removed: 0, next: null }, EVERY_MS);
    return 0;
  }
  const [seen] = await t.query<{ count: number; last: string | null; keys: number[] }>(walk, [sweep.cursor, LOOK]);
  if (seen!.keys.length > 0) await t.query(mark, [seen!.keys]);
  if (seen!.count === LOOK) {
    await writeStep(t, sweep, { looked: LOOK, removed: 0, next: seen!.last }, EVERY_MS);
    return 0;
  }
  const rows = await t.query<{ id: number }>(lockUnused, [...unused, TOGETHER]);
  await t.query(remove, [rows.map((row) => row.id)]);
  const next = rows.length < TOGETHER ? null : (seen!.last ?? sweep.cursor ?? FIRST);
  await writeStep(t, sweep, { looked: seen!.count, removed: 0, next }, EVERY_MS);
  return rows.length;
}
