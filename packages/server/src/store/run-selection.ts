/** Runs that a person means by a filter, the oldest first: bounded by what is looked at, not by what is found. */
import { firstIdAt } from "../core/ids.js";
import type { State } from "../core/job.js";
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";

export type RunSelection = {
  /** Name of the function. */
  readonly function?: string;
  readonly state?: State;
  readonly tag?: string;
  /** Created at or after, ISO 8601. */
  readonly createdAfter?: string;
  /** Created before. */
  readonly createdBefore: string;
  /** Only those that have ended, or only those that have not. */
  readonly finished: boolean;
};

/** Walks the runs of each function in the order of their ids, which are made in the order of time. */
const select = sql(
  "run-selection.find",
  `with looked as materialized (
     select payload.job_id as id
       from rotor.queues queue
      cross join lateral (
        select job_id from rotor.payloads
         where queue_id = queue.id and ($3::uuid is null or job_id > $3) and ($4::uuid is null or job_id >= $4) and job_id < $5
         order by job_id limit $6) payload
      where queue.workspace_id = $1 and queue.kind = 'function' and ($2::text is null or queue.name = $2)
      order by payload.job_id limit $6
   ),
   found as (
     select looked.id
       from looked
       join rotor.jobs job on job.id = looked.id
       join rotor.payloads payload on payload.job_id = looked.id
      where (job.due_at is null) = $7 and ($8::text is null or job.state = $8) and ($9::text is null or payload.tags @> array[$9])
        and ($10::timestamptz is null or payload.created_at >= $10) and payload.created_at < $11
      order by looked.id limit $12
   )
   select found.id, case when seen.count = $6 then seen.stop end as stop
     from (select count(*) as count, (array_agg(id order by id))[count(*)::int] as stop from looked) seen
     left join found on true
    order by found.id`,
);

/** Ids are made by the nodes' clocks: a run that was created at a time has an id of that time, or of a day around it. */
const SKEW_MS = 86_400_000;

/** The next runs that are meant, at most `limit`. `next` is where to go on; undefined: there are no more. */
export async function selectRuns(
  db: Queryable,
  workspace: string,
  selection: RunSelection,
  { cursor, limit }: { readonly cursor: string | undefined; readonly limit: number },
): Promise<{ ids: string[]; next: string | undefined }> {
  const { createdAfter, createdBefore } = selection;
  const rows = await db.query<{ id: string | null; stop: string | null }>(select, [
    workspace,
    selection.function ?? null,
    cursor ?? null,
    createdAfter === undefined ? null : firstIdAt(Math.max(0, Date.parse(createdAfter) - SKEW_MS)),
    firstIdAt(Date.parse(createdBefore) + SKEW_MS),
    limits.runsLooked,
    selection.finished,
    selection.state ?? null,
    selection.tag ?? null,
    createdAfter ?? null,
    createdBefore,
    limit,
  ]);
  const ids = rows.flatMap(({ id }) => (id === null ? [] : [id]));
  return { ids, next: ids.length === limit ? ids.at(-1) : (rows[0]?.stop ?? undefined) };
}

const among = sql(
  "run-selection.among",
  `select job.id
     from rotor.jobs job
     join rotor.queues queue on queue.id = job.queue_id and queue.workspace_id = $1 and queue.kind = 'function'
     join rotor.payloads payload on payload.job_id = job.id
    where job.id = any($2::uuid[]) and (job.due_at is null) = $3 and payload.created_at < $4
    order by job.id`,
);

/** Those of these ids that are runs of the workspace, have ended or have not, and were created before a time. */
export const runsAmong = async (
  db: Queryable,
  workspace: string,
  ids: readonly string[],
  finished: boolean,
  before: string,
): Promise<string[]> =>
  (await db.query<{ id: string }>(among, [workspace, [...new Set(ids)], finished, before])).map((row) => row.id);
