/** Keys by their names, for jobs that are to be bound to them: what is missing is made, and all are locked in one order. */
import { type Queryable, sql } from "./db.js";
import { LOCKED_KEY, type LockedKey } from "./keys.js";

/** A key by its name; `queueId` is 0 for a concurrency key of the workspace. */
export type KeyName = {
  readonly workspace: string;
  readonly kind: "turn" | "rate";
  readonly queueId: number;
  readonly key: string;
  /** Of a function's key: jobs that may be active at a time. */
  readonly limit?: number;
};

/** Makes the rows that are missing. In one order, so that two who make the same do not wait for each other. */
const make = sql(
  "keys.make",
  `insert into rotor.keys (workspace_id, kind, queue_id, key, concurrency)
   select distinct item.workspace, item.kind, item.queue_id, item.key, coalesce(item.concurrency, 1)
     from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::int[]) as item (workspace, kind, queue_id, key, concurrency)
    where not exists (select 1 from rotor.keys key where key.workspace_id = item.workspace and key.kind = item.kind
                         and key.queue_id = item.queue_id and key.key = item.key)
    order by 1, 2, 3, 4, 5
   on conflict do nothing`,
);

/** Locks them together with others that are known by their ids: of all locks of keys there is one order. */
const lockNamed = sql(
  "keys.lock-named",
  `select ${LOCKED_KEY} from rotor.keys key left join rotor.queues queue on queue.id = key.queue_id
    where key.id = any (array(
        select id from rotor.keys where (workspace_id, kind, queue_id, key) in (select * from unnest($1::text[], $2::text[], $3::int[], $4::text[]))
        union all
        select unnest($5::int[])))
    order by key.id for no key update of key`,
);

/** A function's limit has changed since the key was made, or last had. Those that it lets go on are found by the keeper. */
const adjust = sql(
  "keys.adjust",
  `update rotor.keys key set concurrency = item.concurrency
     from unnest($1::int[], $2::int[]) as item (id, concurrency) where key.id = item.id`,
);

/** Noted once a day, so that keys which nobody uses any more can be told. */
const see = sql(
  "keys.see",
  "update rotor.keys set seen_at = rotor.clock() where id = any($1::int[]) and seen_at < rotor.clock() - interval '1 day'",
);

/** A name as one text. */
export const nameOf = (name: Omit<KeyName, "limit">): string =>
  JSON.stringify([name.workspace, name.kind, name.queueId, name.key]);

/** Locks keys by their names; those that are missing are made. With them, others by their ids, as far as they are there. */
export async function lockNamedKeys(
  t: Queryable,
  names: readonly KeyName[],
  ids: readonly number[] = [],
): Promise<LockedKey[]> {
  // Of one key the last limit counts: what came last was read last.
  const wanted = new Map(names.map((name) => [nameOf(name), name]));
  const all = [...wanted.values()];
  const values = [
    all.map((name) => name.workspace),
    all.map((name) => name.kind),
    all.map((name) => name.queueId),
    all.map((name) => name.key),
  ];
  for (;;) {
    void t.query(make, [...values, all.map((name) => name.limit ?? null)]);
    const locked = await t.query<LockedKey>(lockNamed, [...values, ids]);
    const found = new Set(locked.map(nameOf));
    // One that nobody had used for days may have been removed between the two: then it is made again.
    if ([...wanted.keys()].some((name) => !found.has(name))) continue;
    const changed = locked.flatMap((key) => {
      const limit = wanted.get(nameOf(key))?.limit ?? key.concurrency;
      return limit === key.concurrency ? [] : [{ id: key.id, limit }];
    });
    if (changed.length > 0) void t.query(adjust, [changed.map((key) => key.id), changed.map((key) => key.limit)]);
    void t.query(see, [locked.map((key) => key.id)]);
    return locked;
  }
}
