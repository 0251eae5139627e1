/**
 * prune: finished jobs leave when their time is over, with all that belongs to them, in small steps. A queue's jobs are
 * walked from the oldest on, by their ids, which are ordered by time: no index is there for it, no table is scanned.
 *
 * What stays, whatever the terms: unfinished jobs and all of theirs; for a day after its creation a job with a client's id;
 * the last log row of each job, which is its outcome; a job whose end a step still waits for.
 */
import { firstIdAt } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type Retention, type SystemRetention, sweepEveryMs, termsOf } from "../core/retention.js";
import { type Db, type Queryable, sql } from "./db.js";
import { pruneKeys } from "./prune-keys.js";
import { pruneAudit, pruneEvents, pruneRest } from "./prune-rest.js";
import { postponeSweep, type Sweep, takeSweep, writeStep } from "./sweeps.js";

const queue = sql("prune.queue", "select retention from rotor.queues where id = $1");

/**
 * The next jobs of a queue, and which of them have been finished for long enough. Each is looked up by itself, which the
 * limits see to: the planner would rather read a table of some ten thousand rows from end to end.
 */
const walk = sql(
  "prune.walk",
  `with clock as materialized (select rotor.clock() as now),
   walked as materialized (
     select job_id, key, created_at from rotor.payloads
      where queue_id = $1 and ($2::uuid is null or job_id > $2) and job_id < $3 order by job_id limit $4
   )
   select walked.job_id as "jobId", job.delivery,
          job.due_at is null
            and coalesce(last.ended_at, walked.created_at) < clock.now
                - case job.state when 'completed' then $5::float8 when 'failed' then $6::float8 else $7::float8 end * interval '1 millisecond'
            and (walked.key is null or walked.created_at < clock.now - $8 * interval '1 millisecond')
            and not exists (select 1 from rotor.steps step
                             where step.job_id = job.parent_id and step.state = 'waiting' and step.wait ->> 'job' = job.id::text) as expired
     from clock, walked
    cross join lateral (select * from rotor.jobs where id = walked.job_id limit 1) job
     left join lateral (select * from rotor.deliveries where job_id = job.id and delivery = job.delivery limit 1) last on true
    order by walked.job_id`,
);

type Walked = { readonly jobId: string; readonly delivery: number; readonly expired: boolean };

/** Rows in other hands, such as those of a job that is just being retried, stay for the next sweep. */
const lockFree = sql(
  "prune.lock",
  "select id, delivery, due_at is null as finished from rotor.jobs where id = any($1::uuid[]) order by id for update skip locked",
);

const deleteJobs = sql("prune.jobs", "delete from rotor.jobs where id = any($1::uuid[])");
const deletePayloads = sql("prune.payloads", "delete from rotor.payloads where job_id = any($1::uuid[])");
const deleteDeliveries = sql("prune.deliveries", "delete from rotor.deliveries where job_id = any($1::uuid[])");
const deleteSteps = sql("prune.steps", "delete from rotor.steps where job_id = any($1::uuid[])");
const deleteBatched = sql("prune.batched", "delete from rotor.batched where job_id = any($1::uuid[])");
const deleteSingles = sql("prune.singles", "delete from rotor.singles where job_id = any($1::uuid[])");
const deleteGatherings = sql("prune.gatherings", "delete from rotor.gatherings where job_id = any($1::uuid[])");
const deleteWatches = sql("prune.watches", "delete from rotor.watches where job_id = any($1::uuid[])");
const deleteCancellations = sql(
  "prune.cancellations",
  "delete from rotor.cancellations where job_id = any($1::uuid[])",
);
const deletePastSteps = sql("prune.past-steps", "delete from rotor.past_steps where job_id = any($1::uuid[])");

/** A job as it was when it was found to be one that may go. */
export type Doomed = { readonly jobId: string; readonly delivery: number };

/**
 * Deletes jobs that are still as they were found, and free, with all that belongs to them. `evenUnfinished` is for those
 * whose queue is gone. Answers how many.
 */
export async function removeJobs(t: Queryable, jobs: readonly Doomed[], evenUnfinished = false): Promise<number> {
  if (jobs.length === 0) return 0;
  const deliveries = new Map(jobs.map((job) => [job.jobId, job.delivery]));
  const locked = await t.query<{ id: string; delivery: number; finished: boolean }>(lockFree, [[...deliveries.keys()]]);
  const ids = locked
    .filter((row) => evenUnfinished || (row.finished && row.delivery === deliveries.get(row.id)))
    .map((row) => row.id);
  if (ids.length === 0) return 0;
  const all = [
    deleteJobs,
    deletePayloads,
    deleteDeliveries,
    deleteSteps,
    deleteWatches,
    deleteCancellations,
    deletePastSteps,
  ];
  all.push(deleteBatched, deleteSingles, deleteGatherings);
  await Promise.all(all.map((statement) => t.query(statement, [ids])));
  return ids.length;
}

/** The log of jobs that are kept longer than it; the last row of each is its outcome, and stays. */
const trim = sql(
  "prune.trim",
  `delete from rotor.deliveries old
    where old.job_id = any($1::uuid[]) and old.ended_at < rotor.clock() - $2 * interval '1 millisecond'
      and exists (select 1 from rotor.deliveries later where later.job_id = old.job_id and later.delivery > old.delivery)`,
);

async function pruneJobs(t: Queryable, sweep: Sweep, system: SystemRetention): Promise<number> {
  const [row] = await t.query<{ retention: Retention }>(queue, [sweep.queueId]);
  const gone = row === undefined;
  const terms = termsOf(system, row?.retention ?? {});
  const shortestMs = Math.min(...Object.values(terms), system.deliveriesMs);
  // Made by the nodes' clocks: an id that is too young by its clock is met by a later sweep.
  const bound = firstIdAt(gone ? Number.POSITIVE_INFINITY : sweep.nowMs - shortestMs);
  const walked = await t.query<Walked>(walk, [
    sweep.queueId,
    sweep.cursor,
    bound,
    limits.pruned,
    terms.completedMs,
    terms.failedMs,
    terms.cancelledMs,
    limits.leastKeptMs.id,
  ]);
  const removed = await removeJobs(
    t,
    walked.filter((job) => gone || job.expired),
    gone,
  );
  const long = walked.filter((job) => !job.expired && job.delivery > 1).map((job) => job.jobId);
  if (long.length > 0) void t.query(trim, [long, system.deliveriesMs]);
  const next = walked.length < limits.pruned ? null : walked.at(-1)!.jobId;
  await writeStep(t, sweep, { looked: walked.length, removed, next }, sweepEveryMs(shortestMs));
  return removed;
}

/** Takes one bounded step of whichever sweep is due. Answers how many rows left; undefined: none is due. */
export async function prune(db: Db, system: SystemRetention): Promise<number | undefined> {
  let taken: Sweep | undefined;
  try {
    return await db.transact(async (t) => {
      const sweep = await takeSweep(t);
      taken = sweep;
      if (sweep === undefined) return undefined;
      switch (sweep.what) {
        case "jobs":
          return pruneJobs(t, sweep, system);
        case "events":
          return pruneEvents(t, sweep, system.eventsMs);
        case "audit":
          return pruneAudit(t, sweep, system.auditMs);
        case "keys":
          return pruneKeys(t, sweep);
        case "rest":
          return pruneRest(t, sweep);
      }
    });
  } catch (error) {
    // One that cannot take its step must not keep the others from theirs.
    if (taken !== undefined) await postponeSweep(db, taken);
    throw error;
  }
}
