/**
 * resume: a wait ends before its time, by an event, a signal or a child; and the write by which time ends one. Callers
 * hold the locks of the job rows concerned: what is tested here is then true until their commit.
 */
import { type Queryable, sql } from "./db.js";
import { RESUMED } from "./take.js";

/** A wait that somebody ends. */
export type WaitEnd = {
  readonly jobId: string;
  readonly key: string;
  readonly state: "completed" | "failed";
  /** JSON text. */
  readonly output: string | null;
  readonly error: string | null;
  readonly eventId?: string;
  /** When an event was received, ISO 8601; null: now. */
  readonly endedAt?: string | null;
};

/**
 * Locks job rows in the order of their ids: the order in which every transaction of ours takes them. Whoever holds a
 * run's row may write its steps.
 */
export const lockJobs = sql(
  "resume.lock",
  "select id from rotor.jobs where id = any($1::uuid[]) order by id for no key update",
);

/**
 * Ends waits that are still waiting and were not past due when it happened, or ($8) were stored in this very transaction.
 * Gives each its place among the results. With a wait for several things all of its parts go.
 */
const end = sql(
  "resume.end",
  `with clock as materialized (select rotor.clock() as now),
   ended as (
     select item.*, nextval('rotor.step_seq') as seq
       from (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::timestamptz[])
               with ordinality as item (job_id, key, state, output, error, event_id, ended_at, place) order by place) item
   ),
   step as (
     update rotor.steps step
        set state = ended.state, seq = ended.seq, output = ended.output, error = ended.error, event_id = ended.event_id,
            ended_at = coalesce(ended.ended_at, clock.now), due_at = null, wait_key = null
       from ended, clock
      where step.job_id = ended.job_id and step.key = ended.key
        and step.state = 'waiting' and ($8 or step.due_at > coalesce(ended.ended_at, clock.now))
     returning step.job_id, step.key, step.kind
   ),
   parts as (
     delete from rotor.watches part using step where step.kind = 'any' and part.job_id = step.job_id and part.key = step.key
   )
   select job_id, key from step`,
);

/** Makes runs due: those that wait, now; of those that are active, the holder learns it from the mark. */
const wake = sql(
  "resume.wake",
  `update rotor.jobs
      set due_at = case when state = 'waiting' and held_at is null then least(due_at, rotor.clock()) else due_at end,
          woken = state = 'active'
    where id = any($1::uuid[]) and state in ('waiting', 'active')
   returning id`,
);

/**
 * Time ends waits: what is due, of these runs, is recorded before anyone is told, so that an event that comes a moment
 * later cannot change what the code has seen. An event that did not come is null, and so is the first of several things;
 * a signal or child is an error. `ids` is an expression for an array.
 */
const endDueOf = (ids: string): string =>
  `with clock as materialized (select rotor.clock() as now),
   due as (
     select step.job_id, step.key, nextval('rotor.step_seq') as seq
       from (select job_id, key from rotor.steps, clock
              where job_id = any(${ids}) and state = 'waiting' and kind <> 'run' and due_at <= clock.now
              order by job_id, due_at, asked) step
   ),
   step as (
     update rotor.steps step
        set state = case when step.kind in ('sleep', 'event', 'any') then 'completed' else 'failed' end,
            seq = due.seq, ended_at = step.due_at, due_at = null, wait_key = null,
            output = case when step.kind in ('sleep', 'event', 'any') then 'null' end,
            error = case when step.kind = 'signal' then $1 when step.kind in ('invoke', 'enqueue') then $2 end
       from due
      where step.job_id = due.job_id and step.key = due.key
     returning step.job_id, step.key, step.kind
   )
   delete from rotor.watches part using step where step.kind = 'any' and part.job_id = step.job_id and part.key = step.key`;

const endDue = sql("resume.end-due", endDueOf("$3::uuid[]"));

/** Of the runs that this transaction has claimed. */
const endDueOfResumed = sql("resume.end-due-resumed", endDueOf(RESUMED));

const SIGNAL_TIMEOUT = JSON.stringify({ name: "SignalTimeoutError", message: "The signal did not come in time." });
const CHILD_TIMEOUT = JSON.stringify({
  name: "WorkflowTimeoutError",
  message: "It did not end in time; it goes on by itself.",
});

/** Ends these waits and wakes their runs. Answers the ids of the runs that were resumed. */
export async function resume(t: Queryable, ends: readonly WaitEnd[]): Promise<string[]> {
  const ids = [...new Set((await endWaits(t, ends)).map((row) => row.jobId))];
  await wakeRuns(t, ids);
  return ids;
}

/** Makes runs due, a wait of which has ended. */
export async function wakeRuns(t: Queryable, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length > 0) await t.query(wake, [[...new Set(jobIds)]]);
}

/** Ends these waits, without waking: for whoever holds the run and tells its app himself. */
export async function endWaits(
  t: Queryable,
  ends: readonly WaitEnd[],
  justStored = false,
): Promise<{ jobId: string; key: string }[]> {
  if (ends.length === 0) return [];
  const rows = await t.query<{ job_id: string; key: string }>(end, [
    ends.map((item) => item.jobId),
    ends.map((item) => item.key),
    ends.map((item) => item.state),
    ends.map((item) => item.output),
    ends.map((item) => item.error),
    ends.map((item) => item.eventId ?? null),
    ends.map((item) => item.endedAt ?? null),
    justStored,
  ]);
  return rows.map((row) => ({ jobId: row.job_id, key: row.key }));
}

/** Records the due waits of these runs as ended. */
export async function endDueWaits(t: Queryable, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length > 0) await t.query(endDue, [SIGNAL_TIMEOUT, CHILD_TIMEOUT, [...jobIds]]);
}

/** The same of the runs that this transaction has claimed. */
export const endDueOfClaimed = (t: Queryable): Promise<unknown> =>
  t.query(endDueOfResumed, [SIGNAL_TIMEOUT, CHILD_TIMEOUT]);
