/** A function's keys after a sync: what its code says now holds for the keys that its runs have already. */
import { type Queryable, sql } from "./db.js";

/**
 * The limit of each place among the function's keys that are not strict, for keys whose limit is another. Locked in the order of all keys; those
 * that a raised limit lets go on are found by the keeper.
 */
const limitPlaces = sql(
  "function-keys.limit",
  `update rotor.keys key set concurrency = case when key.key like '0:%' then $2::int else $3::int end
    where key.id = any (array(
        select id from rotor.keys
         where workspace_id = (select workspace_id from rotor.queues where id = $1) and kind = 'turn' and queue_id = $1
           and concurrency <> case when key like '0:%' then $2::int when key like '1:%' then $3::int end
         order by id for no key update))`,
);

/**
 * Brings the keys of a function up to the limits that it has now: those that are not strict, in the order of
 * `NewJob.functionKeys`. Call it last in a transaction: it locks keys. Keys that are made later have their limit from the run
 * that names them.
 */
export async function updateFunctionLimits(t: Queryable, queueId: number, limits: readonly number[]): Promise<void> {
  const [first, second] = limits;
  await t.query(limitPlaces, [queueId, first ?? null, second ?? null]);
}

/** Claims of a function with a rate look at keys; those that came before it are bound by the claim. */
const markRated = sql(
  "function-keys.rated",
  "update rotor.queues set keyed = true where id = any($1::int[]) and rate_key is not null and not keyed",
);

/** What waits for a value of the rate is let go on by the keeper, and counted again under the rate that there is now. */
const openAll = sql(
  "function-keys.open-rates",
  `update rotor.keys set open_at = rotor.clock()
    where id = any (array(
      select key.id from rotor.queues queue
        join rotor.keys key on key.workspace_id = queue.workspace_id and key.kind = 'rate' and key.queue_id = queue.id
       where queue.id = any($1::int[]) and key.open_at > rotor.clock()
       order by key.id for no key update of key))`,
);

/** After the rates of functions were written: from now on they hold. Call it last in a transaction: it locks keys. */
export async function applyFunctionRates(t: Queryable, queueIds: readonly number[]): Promise<void> {
  if (queueIds.length === 0) return;
  void t.query(markRated, [[...queueIds]]);
  await t.query(openAll, [[...queueIds]]);
}
