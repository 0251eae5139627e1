/**
 * Finds events for lists, the newest first: only their ids, bounded by what is looked at. Of one name, through the index of
 * names; else back through all of them. What is shown of them is read by `views.ts`.
 */
import { firstIdAt } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";

export type EventFilter = {
  readonly name?: string | undefined;
  readonly tag?: string | undefined;
  /** Received at or after, ISO 8601. */
  readonly after?: string | undefined;
  /** Received before. */
  readonly before?: string | undefined;
};

/** $1 workspace, $2 cursor, $3 and $4 the times, $5 tag, at most $6 of the $7 that are looked at. */
const FOUND = `found as (
     select id, place from looked
      where workspace_id = $1 and ($3::timestamptz is null or received_at >= $3) and ($4::timestamptz is null or received_at < $4)
        and ($5::text is null or tags @> array[$5])
      order by place limit $6
   )
   select found.id, case when seen.count >= $7 then seen.stop end as stop
     from (select count(*) as count, (array_agg(id order by place))[count(*)::int] as stop from looked) seen
     left join found on true order by found.place`;

/** Those of one name, $8, still to come first. The cursor is an event, wherever in the order of time it stands. */
const ofName = sql(
  "event-lists.of-name",
  `with looked as materialized (
     select event.*, row_number() over (order by received_at desc, id desc) as place
       from (select id, workspace_id, tags, received_at from rotor.events
              where workspace_id = $1 and name = $8
                and ($3::timestamptz is null or received_at >= $3) and ($4::timestamptz is null or received_at < $4)
                and ($2::uuid is null or (received_at, id) < (select received_at, id from rotor.events where id = $2))
              order by received_at desc, id desc limit $7) event
   ),
   ${FOUND}`,
);

/** All of them, whosever: $8 and $9 are ids that can be of the times. */
const ofAll = sql(
  "event-lists.all",
  `with looked as materialized (
     select event.*, row_number() over (order by id desc) as place
       from (select id, workspace_id, tags, received_at from rotor.events
              where ($2::uuid is null or id < $2) and ($8::uuid is null or id >= $8) and ($9::uuid is null or id < $9)
              order by id desc limit $7) event
   ),
   ${FOUND}`,
);

/** Ids are made by the nodes' clocks, and an event of a later time is received up to a year after it was sent. */
const SKEW_MS = 86_400_000;

type Row = { readonly id: string | null; readonly stop: string | null };

/** The next events that are meant. `next` is where to go on; undefined: there are no more. */
export async function findEvents(
  db: Queryable,
  workspace: string,
  filter: EventFilter,
  { cursor, limit }: { readonly cursor: string | undefined; readonly limit: number },
): Promise<{ readonly ids: string[]; readonly next: string | undefined }> {
  const { name, tag, after, before } = filter;
  const common = [workspace, cursor ?? null, after ?? null, before ?? null, tag ?? null, limit];
  const look = name !== undefined && tag === undefined ? limit : limits.listLooked;
  const rows =
    name !== undefined
      ? await db.query<Row>(ofName, [...common, look, name])
      : await db.query<Row>(ofAll, [
          ...common,
          look,
          after === undefined ? null : firstIdAt(Math.max(0, Date.parse(after) - limits.delayMs - SKEW_MS)),
          before === undefined ? null : firstIdAt(Date.parse(before) + SKEW_MS),
        ]);
  const ids = rows.flatMap(({ id }) => (id === null ? [] : [id]));
  return { ids, next: ids.length === limit ? ids.at(-1)! : (rows[0]?.stop ?? undefined) };
}
