/**
 * Dead letters: failed jobs of all queues, found by what a person looks for, and removed. A failure is a job and the number
 * of its last delivery: a job that was retried and has failed again is another failure. How they wait again is `retry` in
 * `control.ts`.
 */
import { firstIdAt } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type Db, type Queryable, sql } from "./db.js";
import { removeJobs } from "./prune.js";

export type Failure = { readonly jobId: string; readonly delivery: number };

export type FailureFilter = {
  /** Name of a queue or function. */
  readonly queue?: string;
  readonly tag?: string;
  /** Failed at or after, ISO 8601. */
  readonly after?: string;
  /** Failed before. */
  readonly before?: string;
  /** Part of the error's text, in upper or lower case. */
  readonly error?: string;
  /** Without those that a person turned down, or nobody decided about in time. */
  readonly decided?: boolean;
};

/** What a person's no, or nobody's answer, left behind: these failed without a delivery. */
const TURNED_DOWN = `(last.outcome = 'rejected' or (last.outcome = 'expired' and last.attempt = 0 and looked.kind = 'callback'))`;

/** The error's text without the names of its parts, which every error has. */
const TEXT = `lower(replace(replace(replace(last.error, '"name":', ''), '"message":', ''), '"stack":', ''))`;

/**
 * Looks at failed jobs of a workspace in one direction, queue by queue through the index of what failed, and keeps those
 * that the filter finds. Bounded by what it looks at, not by what it finds: `stop` is where the next look goes on.
 */
const find = (from: "newest" | "oldest", order: "desc" | "asc", beyond: "<" | ">") =>
  sql(
    `dead-letters.${from}`,
    `with looked as materialized (
     select failed.id, failed.delivery, queue.kind
       from rotor.queues queue
      cross join lateral (
        select id, delivery from rotor.jobs
         where queue_id = queue.id and state = 'failed' and ($3::uuid is null or id ${beyond} $3) and ($4::uuid is null or id < $4)
         order by id ${order} limit $5) failed
      where queue.workspace_id = $1 and ($2::text is null or queue.name = $2)
      order by failed.id ${order} limit $5
   ),
   found as (
     select looked.id, looked.delivery
       from looked
      cross join lateral (select outcome, attempt, ended_at, error from rotor.deliveries where job_id = looked.id and delivery = looked.delivery limit 1) last
      where ($6::text is null or (select tags from rotor.payloads where job_id = looked.id) @> array[$6])
        and ($7::timestamptz is null or last.ended_at >= $7)
        and ($8::timestamptz is null or last.ended_at < $8)
        and ($9::text is null or strpos(${TEXT}, lower($9)) > 0)
        and not ($10 and ${TURNED_DOWN})
      order by looked.id ${order} limit $11
   )
   select found.id as "jobId", found.delivery, case when seen.count = $5 then seen.stop end as stop
     from (select count(*) as count, (array_agg(id order by id ${order}))[count(*)::int] as stop from looked) seen
     left join found on true
    order by found.id ${order}`,
  );
const finders = { newest: find("newest", "desc", "<"), oldest: find("oldest", "asc", ">") };

/** Ids are made by the nodes' clocks: a job that failed before a time was made before it, or a day of error later. */
const SKEW_MS = 86_400_000;

export type Look = {
  /** From where on. */
  readonly from: "newest" | "oldest";
  /** Only those beyond this id. */
  readonly cursor?: string;
  /** Rows to look at. */
  readonly look: number;
  /** Failures to find, at most. */
  readonly limit: number;
};

/** The next failures that a filter finds. `next` is where to go on; undefined: there are no more. */
export async function findFailures(
  db: Queryable,
  workspace: string,
  filter: FailureFilter,
  { from, cursor, look, limit }: Look,
): Promise<{ failures: Failure[]; next: string | undefined }> {
  const rows = await db.query<{ jobId: string | null; delivery: number; stop: string | null }>(finders[from], [
    workspace,
    filter.queue ?? null,
    cursor ?? null,
    filter.before === undefined ? null : firstIdAt(Date.parse(filter.before) + SKEW_MS),
    look,
    filter.tag ?? null,
    filter.after ?? null,
    filter.before ?? null,
    // As it stands in JSON.
    filter.error === undefined ? null : JSON.stringify(filter.error).slice(1, -1),
    filter.decided ?? false,
    limit,
  ]);
  const failures = rows.flatMap(({ jobId, delivery }) => (jobId === null ? [] : [{ jobId, delivery }]));
  const next = failures.length === limit ? failures.at(-1)!.jobId : (rows[0]?.stop ?? undefined);
  return { failures, next };
}

const clock = sql(
  "dead-letters.clock",
  "select date_trunc('milliseconds', rotor.clock()) + interval '1 millisecond' as now",
);

/** The database's time, the millisecond begun made full: what fails from then on is not meant by what is asked now. */
export const failedUntil = async (db: Queryable): Promise<Date> => (await db.query<{ now: Date }>(clock))[0]!.now;

const among = sql(
  "dead-letters.among",
  `select job.id as "jobId", job.delivery
     from rotor.jobs job
     join rotor.queues queue on queue.id = job.queue_id and queue.workspace_id = $1
     join rotor.deliveries last on last.job_id = job.id and last.delivery = job.delivery
    where job.id = any($2::uuid[]) and job.state = 'failed' and last.ended_at < $3
    order by job.id desc`,
);

/** Those of these ids that are failed jobs of the workspace, and failed before a time. */
export const failuresAmong = (
  db: Queryable,
  workspace: string,
  jobIds: readonly string[],
  before: string,
): Promise<Failure[]> => db.query<Failure>(among, [workspace, [...new Set(jobIds)], before]);

const free = sql(
  "dead-letters.free",
  `select job_id as id from rotor.payloads
    where job_id = any($1::uuid[]) and (key is null or created_at < rotor.clock() - $2 * interval '1 millisecond')`,
);

/**
 * Removes failed jobs for good, with all that belongs to them; a dry run only looks. A client's id is remembered for a day,
 * so its job stays as long. Answers how many are gone, or would be.
 */
export async function purge(db: Db, failures: readonly Failure[], dryRun = false): Promise<number> {
  return db.transact(async (t) => {
    const ids = failures.map((failure) => failure.jobId);
    const rows = await t.query<{ id: string }>(free, [ids, limits.leastKeptMs.id]);
    if (dryRun) return rows.length;
    const removable = new Set(rows.map((row) => row.id));
    return removeJobs(
      t,
      failures.filter((failure) => removable.has(failure.jobId)),
    );
  });
}
