/** Drains a queue: cancels what waits in it, from the oldest job on, in steps; what is being delivered goes on. */
import { cancel } from "./control.js";
import { type Db, type Queryable, sql } from "./db.js";

const last = sql(
  "drain.last",
  "select job_id as id from rotor.payloads where queue_id = $1 order by job_id desc limit 1",
);

/** The newest job of a queue: what comes after it is not meant. Undefined: there is none. */
export const lastJob = async (db: Queryable, queueId: number): Promise<string | undefined> =>
  (await db.query<{ id: string }>(last, [queueId]))[0]?.id;

/** The next jobs of a queue, and which of them wait. */
const walk = sql(
  "drain.walk",
  `with walked as materialized (
     select job_id from rotor.payloads
      where queue_id = $1 and ($2::uuid is null or job_id > $2) and job_id <= $3 order by job_id limit $4
   )
   select walked.job_id as id, job.state in ('waiting', 'pending_approval') as waits
     from walked cross join lateral (select state from rotor.jobs where id = walked.job_id limit 1) job
    order by walked.job_id`,
);

/** Rows looked at by a step. A queue may keep many finished jobs beside those that wait. */
const LOOK = 2_000;
/** Jobs that one transaction cancels. */
const TOGETHER = 500;

export type DrainStep = {
  /** From behind this job on; null: from the oldest. */
  readonly after: string | null;
  /** Up to this one. */
  readonly last: string;
  /** Only count. */
  readonly dryRun: boolean;
};

/** One step. Answers how many were cancelled, and where to go on; null: that was all. */
export async function drain(db: Db, queueId: number, step: DrainStep): Promise<{ count: number; next: string | null }> {
  const rows = await db.query<{ id: string; waits: boolean }>(walk, [queueId, step.after, step.last, LOOK]);
  const waiting = rows.filter((row) => row.waits).map((row) => row.id);
  let count = step.dryRun ? waiting.length : 0;
  for (let from = 0; from < waiting.length && !step.dryRun; from += TOGETHER)
    count += (await cancel(db, waiting.slice(from, from + TOGETHER), { active: false })).length;
  return { count, next: rows.length < LOOK ? null : rows.at(-1)!.id };
}
