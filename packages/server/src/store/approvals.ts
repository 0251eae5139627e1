/**
 * Approvals that were given, and by which words. What was refused, or lapsed, is in the job's log; what is pending is
 * the job's state. Deciding itself is in `control.ts`.
 */
import type { State } from "../core/job.js";
import { type Queryable, sql } from "./db.js";
import { tellApprovals } from "./tell.js";

/** Asked again after a retry, a job may be approved twice; the last time counts. */
const insert = sql(
  "approvals.insert",
  `insert into rotor.approvals (job_id, workspace_id, reason, decided_at)
   select job.id, queue.workspace_id, $2, rotor.clock() from rotor.jobs job join rotor.queues queue on queue.id = job.queue_id
    where job.id = any($1::uuid[])
   on conflict (job_id) do update set reason = excluded.reason, decided_at = excluded.decided_at`,
);

/** Keeps that these jobs were approved, and tells it. Runs in the transaction that moved them. */
export async function noteApproved(t: Queryable, jobIds: readonly string[], reason: string | null): Promise<void> {
  if (jobIds.length === 0) return;
  void t.query(insert, [[...jobIds], reason]);
  await tellApprovals(t, "approved", jobIds);
}

/** A retry asks for another approval: the one before it counts no more. */
const forget = sql("approvals.forget", "delete from rotor.approvals where job_id = any($1::uuid[])");

/** Of jobs that were retried, those that ask again: that is told. Runs in the transaction that moved them. */
export async function askedAgain(
  t: Queryable,
  moved: readonly { readonly jobId: string; readonly state: State }[],
): Promise<void> {
  const asking = moved.filter(({ state }) => state === "pending_approval").map(({ jobId }) => jobId);
  if (asking.length === 0) return;
  void t.query(forget, [asking]);
  await tellApprovals(t, "pending", asking);
}

/** An approval that was given. */
export type Approved = { readonly jobId: string; readonly reason: string | null; readonly decidedAt: Date };

const list = sql(
  "approvals.list",
  `select job_id as "jobId", reason, decided_at as "decidedAt" from rotor.approvals
    where workspace_id = $1 and ($2::uuid is null or job_id < $2) order by job_id desc limit $3`,
);

/** Those that were given, the newest job first. */
export const listApproved = (
  db: Queryable,
  workspace: string,
  before: string | undefined,
  limit: number,
): Promise<Approved[]> => db.query(list, [workspace, before ?? null, limit]);
