/** Concurrency keys as people see them: their limits, and how their jobs stand. How jobs take turns is in `keys.ts`. */
import { type Db, type Queryable, sql } from "./db.js";
import { grantTurns, type HasKeys, TURNS } from "./keys.js";

export type ConcurrencyKey = {
  readonly id: number;
  readonly key: string;
  /** Jobs that may be active at a time. */
  readonly limit: number;
  /** Jobs that have a turn. */
  readonly active: number;
  /** Jobs that wait for one, counted up to 1,000. */
  readonly blocked: number;
};

const list = sql(
  "concurrency-keys.list",
  `select key.id, key.key, key.concurrency as "limit", taken.count::int as active, blocked.count::int as blocked
     from (select * from rotor.keys
            where workspace_id = $1 and kind = 'turn' and queue_id = 0 and ($2::text is null or key = $2) and key > $3
            order by key limit $4) key
    cross join lateral (select count(*) from ${TURNS} turn) taken
    cross join lateral (select count(*) from (select 1 from rotor.jobs where blocked_on = key.id limit 1000) few) blocked
    order by key.key`,
);

export const listConcurrencyKeys = (
  db: Queryable,
  workspace: string,
  after: string,
  limit: number,
): Promise<ConcurrencyKey[]> => db.query<ConcurrencyKey>(list, [workspace, null, after, limit]);

export const getConcurrencyKey = async (
  db: Queryable,
  workspace: string,
  key: string,
): Promise<ConcurrencyKey | undefined> => (await db.query<ConcurrencyKey>(list, [workspace, key, "", 1]))[0];

/** Makes the key if no job has named it yet. Its row is locked by this, so that grants after it see the new limit. */
const limit = sql(
  "concurrency-keys.limit",
  `insert into rotor.keys (workspace_id, kind, key, concurrency) values ($1, 'turn', $2, $3)
   on conflict (workspace_id, kind, queue_id, key) do update set concurrency = excluded.concurrency
   returning id as "keyId", null::int as "secondKeyId"`,
);

/** Says how many jobs of a key may be active at a time; those who wait get the turns that are new. */
export const limitKey = (db: Db, workspace: string, key: string, concurrency: number): Promise<void> =>
  db.transact(async (t) => grantTurns(t, await t.query<HasKeys>(limit, [workspace, key, concurrency])));
