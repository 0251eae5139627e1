/**
 * What a person decides about jobs: approve, reject, cancel, retry, let a held run go on; and what time decides where a
 * person did not. Each tests the state under the row's lock, and answers what it moved.
 */
import { failedStepOf, type OutcomeName, type State } from "../core/job.js";
import { limits } from "../core/limits.js";
import { askedAgain, noteApproved } from "./approvals.js";
import { type Db, type Queryable, sql } from "./db.js";
import { logEnds, sharedAmong } from "./finish.js";
import { grantTurns, type HasKeys, KEYS_OF } from "./keys.js";
import { lockJobs } from "./resume.js";
import { linger } from "./slots.js";

/** A job that was moved: what its log, its parent and its keys need. */
export type Moved = HasKeys & {
  readonly jobId: string;
  readonly delivery: number;
  readonly attempt: number;
  readonly state: State;
  readonly parentId: string | null;
};

/** Answers `Moved`. */
export const MOVED = `returning job.id as "jobId", job.delivery, job.attempt, job.state, job.parent_id as "parentId", ${KEYS_OF}`;

const family = sql(
  "control.family",
  `select id from rotor.jobs where id = any($1::uuid[])
   union select parent_id from rotor.jobs where id = any($1::uuid[]) and parent_id is not null`,
);

/** Jobs and their parents. */
export const familyOf = async (t: Queryable, jobIds: readonly string[]): Promise<string[]> =>
  (await t.query<{ id: string }>(family, [[...jobIds]])).map((row) => row.id);

/** Locks jobs and their parents in the order of all locks. */
export async function lockFamily(t: Queryable, jobIds: readonly string[]): Promise<void> {
  await t.query(lockJobs, [await familyOf(t, jobIds)]);
}

const approveAll = sql(
  "control.approve",
  `update rotor.jobs job
      set state = 'waiting', due_at = greatest(rotor.clock(), payload.run_at),
          -- Refused once and asked again: what is strict has no turn for that, it asks for one like everybody.
          blocked_on = case when job.keeps_turn and job.delivery > 0 then job.key_id end
     from rotor.payloads payload
    where job.id = any($1::uuid[]) and job.state = 'pending_approval' and payload.job_id = job.id
   ${MOVED}`,
);

/** approve: pending_approval → waiting. Answers the ids that were moved. */
export async function approve(db: Db, jobIds: readonly string[], reason: string | null = null): Promise<string[]> {
  return db.transact(async (t) => {
    await lockFamily(t, jobIds);
    const moved = await t.query<Moved>(approveAll, [[...jobIds]]);
    const ids = moved.map((job) => job.jobId);
    await noteApproved(t, ids, reason);
    await grantTurns(
      t,
      moved.filter((job) => job.delivery > 0),
    );
    return ids;
  });
}

const rejectAll = sql(
  "control.reject",
  `update rotor.jobs job set state = 'failed', due_at = null, delivery = job.delivery + 1
    where job.id = any($1::uuid[]) and job.state = 'pending_approval'
   ${MOVED}`,
);

/** reject: pending_approval → failed, reason `rejected`. */
export async function reject(db: Db, jobIds: readonly string[], reason: string | null): Promise<string[]> {
  return db.transact(async (t) => {
    await lockFamily(t, jobIds);
    return ended(t, await t.query<Moved>(rejectAll, [[...jobIds]]), "rejected", {
      name: "RejectedError",
      message: reason ?? "It was rejected.",
    });
  });
}

const patienceOver = sql(
  "control.patience",
  `select id from rotor.jobs where (state = 'pending_approval' or held_at is not null) and due_at <= rotor.clock() order by due_at limit 500`,
);

const giveUp = sql(
  "control.give-up",
  `update rotor.jobs job set state = 'failed', due_at = null, held_at = null, delivery = job.delivery + 1
    where job.id = any($1::uuid[]) and (job.state = 'pending_approval' or job.held_at is not null) and job.due_at <= rotor.clock()
   ${MOVED}`,
);

/** The deadline of an approval, or of a held run, has passed: → failed, reason `expired`. Answers how many. */
export async function expirePatience(db: Db): Promise<number> {
  return db.transact(async (t) => {
    const rows = await t.query<{ id: string }>(patienceOver);
    if (rows.length === 0) return 0;
    await lockFamily(
      t,
      rows.map((row) => row.id),
    );
    const moved = await t.query<Moved>(giveUp, [rows.map((row) => row.id)]);
    await ended(t, moved, "expired", { name: "ExpiredError", message: "Nobody decided about it in time." });
    await grantTurns(t, moved);
    return moved.length;
  });
}

/** An active delivery keeps its number, so that its log row is the one that its holder would have written. */
const cancelAll = sql(
  "control.cancel",
  `update rotor.jobs job
      set state = 'cancelled', due_at = null, held_at = null, node_id = null, woken = false, blocked_on = null,
          delivery = job.delivery + case when job.state = 'active' then 0 else 1 end
    where job.id = any($1::uuid[]) and (job.state in ('pending_approval', 'waiting') or ($2 and job.state = 'active'))
   ${MOVED}`,
);

/** cancel: any unfinished state → cancelled; where `active` is false, those that are being delivered go on. */
export const cancel = (db: Db, jobIds: readonly string[], { active = true } = {}): Promise<string[]> =>
  db.transact((t) => cancelIn(t, jobIds, { active }));

/** The same in the caller's transaction; who has locked rows of jobs before has locked these and their parents with them. */
export async function cancelIn(t: Queryable, jobIds: readonly string[], { active = true } = {}): Promise<string[]> {
  await lockFamily(t, jobIds);
  const moved = await cancelLocked(t, jobIds, { active });
  await grantTurns(t, moved);
  return moved.map((job) => job.jobId);
}

/**
 * The same for who holds the rows of these jobs and their parents. `error` says in the log what ended them. The turns that
 * they leave are still to be granted: keys are locked last of all.
 */
export async function cancelLocked(
  t: Queryable,
  jobIds: readonly string[],
  { active = true, error = null }: { active?: boolean; error?: { name: string; message: string } | null } = {},
): Promise<Moved[]> {
  if (active) void t.query(linger, [[...jobIds], limits.expiryGraceMs]);
  const moved = await t.query<Moved>(cancelAll, [[...jobIds], active]);
  await ended(t, moved, "cancelled", error);
  return moved;
}

/** Logs ends that no delivery made, with all that follows from an end. */
export async function ended(
  t: Queryable,
  moved: readonly Moved[],
  outcome: OutcomeName,
  error: { name: string; message: string } | null,
): Promise<string[]> {
  const text = error === null ? null : JSON.stringify(error);
  const shared = await sharedAmong(
    t,
    moved.map((job) => job.jobId),
  );
  await logEnds(
    t,
    moved.map((job) => ({
      ...job,
      outcome,
      status: null,
      durationMs: 0,
      output: null,
      error: text,
      shared: shared.has(job.jobId),
    })),
    new Map(moved.flatMap((job) => (job.parentId === null ? [] : [[job.jobId, job.parentId] as const]))),
  );
  return moved.map((job) => job.jobId);
}

/** What was never approved asks again; the rest is due now. The state is the guard: a second retry finds nothing. */
const retryAll = sql(
  "control.retry",
  `update rotor.jobs job
      set attempt = 0, rescues = 0,
          -- Its turn is another's by now: it asks for one like everybody.
          blocked_on = case when last.outcome in ('rejected', 'expired') and queue.approval_required and last.attempt = 0 then null else job.key_id end,
          state = case when last.outcome in ('rejected', 'expired') and queue.approval_required and last.attempt = 0 then 'pending_approval' else 'waiting' end,
          due_at = rotor.clock() + case when last.outcome in ('rejected', 'expired') and queue.approval_required and last.attempt = 0
                                        then queue.approval_timeout_ms else item.delay_ms end * interval '1 millisecond',
          deadline_at = rotor.clock() + (item.delay_ms + payload.deadline_ms) * interval '1 millisecond'
     from rotor.queues queue, rotor.deliveries last, rotor.payloads payload, unnest($1::uuid[], $2::float8[], $3::int[]) as item (id, delay_ms, delivery)
    where job.id = item.id and job.state = 'failed' and queue.id = job.queue_id and (item.delivery is null or item.delivery = job.delivery)
      and last.job_id = job.id and last.delivery = job.delivery and payload.job_id = job.id
   ${MOVED}, last.error as "lastError"`,
);

/**
 * Waits that were dropped, and failed steps from the one on with which the run failed: one whose error the code caught and
 * got by stays as it is. Where the failure names no step, all failed ones: what the code made of them cannot be told.
 */
const forgetSteps = sql(
  "control.forget",
  `with gone as (
     delete from rotor.steps step
      using unnest($1::uuid[], $2::text[]) as item (job_id, key)
      where step.job_id = item.job_id
        and (step.state = 'dropped' or (step.state = 'failed' and step.seq >= coalesce(
              (select cause.seq from rotor.steps cause where cause.job_id = item.job_id and cause.key = item.key and cause.state = 'failed'), 0)))
     returning step.job_id, step.key, step.attempt, step.state, step.error, step.ended_at
   )
   insert into rotor.past_steps (job_id, key, delivery, attempt, error, ended_at)
   select gone.job_id, gone.key, job.delivery, gone.attempt, gone.error, gone.ended_at
     from gone join rotor.jobs job on job.id = gone.job_id where gone.state = 'failed'`,
);

/**
 * retry: failed → waiting. A run's failed steps move to the log and their keys are free. `delayMs` says for each job how
 * long it waits first (0); `deliveries` names the failure meant: one that has failed again since stays where it is.
 */
export async function retry(
  db: Db,
  jobIds: readonly string[],
  options: { readonly delayMs?: readonly number[]; readonly deliveries?: readonly number[] } = {},
): Promise<string[]> {
  return db.transact(async (t) => {
    await lockFamily(t, jobIds);
    const moved = await t.query<Moved & { lastError: string | null }>(retryAll, [
      [...jobIds],
      options.delayMs ?? jobIds.map(() => 0),
      options.deliveries ?? jobIds.map(() => null),
    ]);
    if (moved.length > 0)
      await t.query(forgetSteps, [moved.map((job) => job.jobId), moved.map((job) => failedStepOf(job.lastError))]);
    await grantTurns(t, moved);
    await askedAgain(t, moved);
    return moved.map((job) => job.jobId);
  });
}

const letGo = sql(
  "control.let-go",
  `update rotor.jobs job set held_at = null, due_at = rotor.clock()
    where job.id = any($1::uuid[]) and job.held_at is not null
   ${MOVED}`,
);

/** Lets held runs go on: due now. */
export async function resumeHeld(db: Db, jobIds: readonly string[]): Promise<string[]> {
  return db.transact(async (t) => {
    await lockFamily(t, jobIds);
    return (await t.query<Moved>(letGo, [[...jobIds]])).map((job) => job.jobId);
  });
}

const unfinished = sql(
  "control.unfinished",
  `select id from rotor.jobs where due_at is not null and ($1::uuid is null or id > $1) order by id limit 1000`,
);

/**
 * Cancels up to a thousand unfinished jobs, of whichever queue, behind this one. Answers how many there were, and the last
 * of them: whoever begins anew each time reads all that is finished again and again.
 */
export async function cancelUnfinished(db: Db, after?: string): Promise<{ count: number; last: string | undefined }> {
  const rows = await db.query<{ id: string }>(unfinished, [after ?? null]);
  if (rows.length > 0)
    await cancel(
      db,
      rows.map((row) => row.id),
    );
  return { count: rows.length, last: rows.at(-1)?.id };
}
