/**
 * Finds jobs and runs for lists, the newest first: only their ids, by what an index holds. Bounded by what it looks at, not by
 * what it finds, so that a list of a few among a million costs no more than one of many. What is shown of them is read by
 * `views.ts`.
 */
import { firstIdAt } from "../core/ids.js";
import type { State } from "../core/job.js";
import { limits } from "../core/limits.js";
import { type Queryable, type Statement, sql } from "./db.js";

export type ListFilter = {
  readonly kind?: "callback" | "function" | undefined;
  /** Name of a queue or function. Without one, Rotor's own queues are left out. */
  readonly queue?: string | undefined;
  readonly state?: State | undefined;
  readonly tag?: string | undefined;
  /** Created at or after, ISO 8601. */
  readonly createdAfter?: string | undefined;
  /** Created before. */
  readonly createdBefore?: string | undefined;
  /** Started by this event. */
  readonly eventId?: string | undefined;
};

/** $1 workspace, $2 kind, $3 name. */
const OF_QUEUE = `queue.workspace_id = $1 and ($2::text is null or queue.kind = $2) and (queue.name = $3 or ($3::text is null and queue.system is null))`;

/** $4: only what lies before this id; $5, $6: ids that can be of the times that are asked for. */
const between = (id: string): string =>
  `($4::uuid is null or ${id} < $4) and ($5::uuid is null or ${id} >= $5) and ($6::uuid is null or ${id} < $6)`;

/** What is meant of what was `looked` at: $7 state, $8 tag, $9 and $10 the times themselves, at most $11. */
const FOUND = `found as (
     select looked.id
       from looked
      cross join lateral (select state from rotor.jobs where id = looked.id limit 1) job
      cross join lateral (select tags, created_at from rotor.payloads where job_id = looked.id limit 1) payload
      where ($7::text is null or job.state = $7) and ($8::text is null or payload.tags @> array[$8])
        and ($9::timestamptz is null or payload.created_at >= $9) and ($10::timestamptz is null or payload.created_at < $10)
      order by looked.id desc limit $11
   )`;

/**
 * Walks back in each queue, $12 jobs at most. The orders name the index: by ids alone the planner may walk through those of
 * all queues. Where a queue has more than that, nothing older than its last one is known to be
 * next, so the look ends at the newest of these `edge`s.
 */
const walk = (name: string, rows: string): Statement =>
  sql(
    `job-lists.${name}`,
    `with walked as materialized (
     select queue.id as queue_id, job.id from rotor.queues queue cross join lateral (${rows}) job where ${OF_QUEUE}
   ),
   edge as materialized (
     select id from (select (array_agg(id order by id))[1] as id from walked group by queue_id having count(*) >= $12) last order by id desc limit 1
   ),
   looked as materialized (
     select id from walked where id >= coalesce((select id from edge), '00000000-0000-0000-0000-000000000000')
   ),
   ${FOUND}
   select found.id, edge.id as stop from (select 1) one left join edge on true left join found on true order by found.id desc`,
  );

const all = walk(
  "all",
  `select job_id as id from rotor.payloads where queue_id between queue.id and queue.id and ${between("job_id")} order by queue_id desc, job_id desc limit $12`,
);
const failed = walk(
  "failed",
  `select id from rotor.jobs where queue_id between queue.id and queue.id and state = 'failed' and ${between("id")} order by queue_id desc, id desc limit $12`,
);

/** Runs that an event started: all of them, as it starts one of each function. */
const ofEvent = sql(
  "job-lists.of-event",
  `with looked as materialized (
     select payload.job_id as id
       from rotor.payloads payload join rotor.queues queue on queue.id = payload.queue_id
      where payload.event_id = $12 and ${OF_QUEUE} and ${between("payload.job_id")}
   ),
   ${FOUND}
   select id, null::uuid as stop from found order by id desc`,
);

/**
 * All that are unfinished in one way. Their indexes are in the order of time, so all of them are read and then sorted; `whole`
 * is false where there are more than $12, of one queue or of the whole.
 */
const few = (name: string, there: string): Statement =>
  sql(
    `job-lists.${name}`,
    `with ${there},
   looked as materialized (
     select there.id from there join rotor.queues queue on queue.id = there.queue_id where ${OF_QUEUE} and ${between("there.id")}
   ),
   ${FOUND}
   select found.id, null::uuid as stop, (select count(*) from there) < $12 as whole
     from (select 1) one left join found on true order by found.id desc`,
  );

const inQueues = (state: string, order: "due_at" | "active_at"): string =>
  `select job.id, job.queue_id from rotor.queues queue
     cross join lateral (select id, queue_id from rotor.jobs where queue_id = queue.id and ${state} order by ${order} limit $12) job
     where ${OF_QUEUE} limit $12`;

/** Of states of which there are few jobs, as a rule. */
const FEW: Readonly<Partial<Record<State, Statement>>> = {
  waiting: few(
    "waiting",
    `free as materialized (${inQueues("state = 'waiting' and blocked_on is null", "due_at")}),
   blocked as materialized (select id, queue_id from rotor.jobs where blocked_on is not null order by blocked_on limit $12),
   there as materialized (select * from free union all select * from blocked)`,
  ),
  active: few("active", `there as materialized (${inQueues("state = 'active'", "active_at")})`),
  pending_approval: few(
    "pending",
    `there as materialized (select id, queue_id from rotor.jobs where state = 'pending_approval' order by due_at limit $12)`,
  ),
};

const countQueues = sql("job-lists.queues", `select count(*)::int as count from rotor.queues queue where ${OF_QUEUE}`);

/** Ids are made by the nodes' clocks: a job that was created at a time has an id of that time, or of a day around it. */
const SKEW_MS = 86_400_000;

type Row = { readonly id: string | null; readonly stop: string | null; readonly whole?: boolean };

/**
 * The next jobs that are meant, at most `limit`, the newest first. `next` is where to go on; undefined: there are no more. There may
 * be a next where nothing was found.
 */
export async function findJobs(
  db: Queryable,
  workspace: string,
  filter: ListFilter,
  { before, limit }: { readonly before: string | undefined; readonly limit: number },
): Promise<{ readonly ids: string[]; readonly next: string | undefined }> {
  const { createdAfter, createdBefore, eventId, state, tag } = filter;
  const queues = [workspace, filter.kind ?? null, filter.queue ?? null];
  const values = [
    ...queues,
    before ?? null,
    createdAfter === undefined ? null : firstIdAt(Math.max(0, Date.parse(createdAfter) - SKEW_MS)),
    createdBefore === undefined ? null : firstIdAt(Date.parse(createdBefore) + SKEW_MS),
    state ?? null,
    tag ?? null,
    createdAfter ?? null,
    createdBefore ?? null,
    limit,
  ];
  const found = (rows: readonly Row[]) => {
    const ids = rows.flatMap(({ id }) => (id === null ? [] : [id]));
    return { ids, next: ids.length === limit ? ids.at(-1)! : (rows[0]?.stop ?? undefined) };
  };
  if (eventId !== undefined) return found(await db.query<Row>(ofEvent, [...values, eventId]));
  const byState = state === undefined ? undefined : FEW[state];
  if (byState !== undefined) {
    const rows = await db.query<Row>(byState, [...values, limits.listLooked]);
    if (rows[0]!.whole === true) return found(rows);
  }
  const narrows = [tag, createdAfter, createdBefore, state === "failed" ? undefined : state];
  const isFiltered = narrows.some((each) => each !== undefined);
  const count = filter.queue === undefined ? (await db.query<{ count: number }>(countQueues, queues))[0]!.count : 1;
  const each = isFiltered ? Math.max(limit, Math.ceil(limits.listLooked / Math.max(1, count))) : limit;
  return found(await db.query<Row>(state === "failed" ? failed : all, [...values, each]));
}
