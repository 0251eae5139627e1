/**
 * What follows when a job ends, whichever way: its log row, webhooks told, its unfinished waits dropped, the run of its
 * function's `onFailure` started, its parent resumed.
 * Runs in the transaction that moved the job, with the rows of job and parent locked.
 */
import type { OutcomeName, State } from "../core/job.js";
import { childKey } from "../core/wait-key.js";
import { type Queryable, sql } from "./db.js";
import { startFailureRuns } from "./on-failure.js";
import { lockJobs, resume, type WaitEnd } from "./resume.js";
import { ONCE } from "./start-plan.js";
import { tellEnds } from "./tell.js";

/** One line of the log: a delivery that ended, or an end without a delivery. */
export type LogEntry = {
  readonly jobId: string;
  readonly delivery: number;
  readonly attempt: number;
  readonly outcome: OutcomeName;
  readonly state: State;
  readonly status: number | null;
  readonly durationMs: number;
  readonly output: string | null;
  /** JSON text. */
  readonly error: string | null;
  /** Its key stands for a value of its function's `idempotency_key`: others than its parent may wait for it. */
  readonly shared?: boolean;
  /** JSON text: what of the call itself is kept, for who inspects the attempt; see `core/detail.ts`. */
  readonly detail?: string | null;
};

/**
 * The log is written once: a repetition after a lost reply changes nothing. Only what was accepted is written over by how
 * it ended, which keeps the status and the heads of the call.
 */
export const LOG_ONCE = `on conflict (job_id, delivery) do update
      set outcome = excluded.outcome, ended_at = excluded.ended_at, output = excluded.output, error = excluded.error
    where deliveries.outcome = 'accepted' and excluded.outcome <> 'accepted'`;

const log = sql(
  "finish.log",
  `insert into rotor.deliveries (job_id, delivery, attempt, outcome, status, ended_at, duration_ms, output, error, detail)
   select job_id, delivery, attempt, outcome, status, rotor.clock(), duration_ms, output, error, detail
     from unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::int[], $6::float8[], $7::text[], $8::text[], $9::text[])
       as item (job_id, delivery, attempt, outcome, status, duration_ms, output, error, detail)
   ${LOG_ONCE}`,
);

/**
 * A finished run waits for nothing; what it would have waited for is kept to be shown. The events that may cancel a failed
 * one ($2 has the others) are left in place: they hold again if it is retried.
 */
const drop = sql(
  "finish.drop",
  `with watches as (
     delete from rotor.watches where job_id = any($1::uuid[]) and (key <> '' or job_id = any($2::uuid[]))
   )
   update rotor.steps set state = 'dropped', due_at = null, wait_key = null
    where job_id = any($1::uuid[]) and state = 'waiting'`,
);

/** The steps that wait for these jobs. */
const waiters = sql(
  "finish.waiters",
  `select job_id as "jobId", key, kind, wait_key as "waitKey" from rotor.steps where wait_key = any($1::uuid[])`,
);

/** Writes the log, tells webhooks, and for those that are finished all that follows. Answers the runs that it resumed or started. */
export async function logEnds(
  t: Queryable,
  entries: readonly LogEntry[],
  parents: ReadonlyMap<string, string>,
): Promise<string[]> {
  if (entries.length === 0) return [];
  // Not awaited, nor what follows: their errors are the transaction's, and they leave together with its commit.
  void t.query(log, [
    entries.map((entry) => entry.jobId),
    entries.map((entry) => entry.delivery),
    entries.map((entry) => entry.attempt),
    entries.map((entry) => entry.outcome),
    entries.map((entry) => entry.status),
    entries.map((entry) => Math.round(entry.durationMs)),
    entries.map((entry) => entry.output),
    entries.map((entry) => entry.error),
    entries.map((entry) => entry.detail ?? null),
  ]);
  await tellEnds(t, entries);
  const finished = entries.filter(
    (entry) => entry.state === "completed" || entry.state === "failed" || entry.state === "cancelled",
  );
  if (finished.length === 0) return [];
  void t.query(drop, [
    finished.map((entry) => entry.jobId),
    finished.filter((entry) => entry.state !== "failed").map((entry) => entry.jobId),
  ]);
  const resumed = await resumeWaiters(t, finished, parents);
  const failed = finished.filter((entry) => entry.state === "failed");
  // Last: these runs lock the keys that they have, and after keys no row is waited for.
  return failed.length === 0 ? resumed : [...resumed, ...(await startFailureRuns(t, failed))];
}

/** Resumes the runs that wait for these jobs. Answers their ids. */
async function resumeWaiters(
  t: Queryable,
  finished: readonly LogEntry[],
  parents: ReadonlyMap<string, string>,
): Promise<string[]> {
  const children = finished.filter((entry) => parents.has(entry.jobId) || entry.shared);
  if (children.length === 0) return [];
  const byKey = new Map(children.map((entry) => [childKey(entry.jobId), entry]));
  const found = await t.query<{ jobId: string; key: string; kind: string; waitKey: string }>(waiters, [
    [...byKey.keys()],
  ]);
  // Not in the order of all locks: who waits for a run that was there is known only now. A deadlock is tried again.
  const others = found.filter((step) => byKey.get(step.waitKey)!.shared).map((step) => step.jobId);
  if (others.length > 0) await t.query(lockJobs, [others]);
  return resume(
    t,
    found.map((step) => childEnd(step, byKey.get(step.waitKey)!)),
  );
}

/** How a job ended. */
export type ChildEnd = Pick<LogEntry, "jobId" | "state" | "outcome" | "output" | "error">;

const already = sql(
  "finish.already",
  `select job.id as "jobId", job.state, last.outcome, last.output, last.error
     from rotor.jobs job join rotor.deliveries last on last.job_id = job.id and last.delivery = job.delivery
    where job.id = any($1::uuid[]) and job.due_at is null`,
);

/** Of these jobs, whose rows are locked, those that have ended. */
export async function endsAlready(t: Queryable, jobIds: readonly string[]): Promise<Map<string, ChildEnd>> {
  if (jobIds.length === 0) return new Map();
  const rows = await t.query<ChildEnd>(already, [[...jobIds]]);
  return new Map(rows.map((row) => [row.jobId, row]));
}

const ofKey = sql(
  "finish.shared",
  `select job_id as id from rotor.payloads where job_id = any($1::uuid[]) and starts_with(key, $2)`,
);

/** Of these jobs, those that others than their parents may wait for; for ends that no delivery made. */
export const sharedAmong = async (t: Queryable, jobIds: readonly string[]): Promise<ReadonlySet<string>> =>
  jobIds.length === 0
    ? new Set()
    : new Set((await t.query<{ id: string }>(ofKey, [[...jobIds], ONCE])).map((row) => row.id));

/** What a parent's step gets to know of its child's end. */
export function childEnd(step: { jobId: string; key: string; kind: string }, child: ChildEnd): WaitEnd {
  const where = { jobId: step.jobId, key: step.key };
  if (child.state === "completed") {
    const result = child.output === null ? "null" : asJson(child.output);
    const output = step.kind === "invoke" ? `{"result":${result},"runId":"${child.jobId}"}` : result;
    return { ...where, state: "completed", output, error: null };
  }
  const cause = child.error === null ? undefined : JSON.parse(child.error);
  const error =
    child.state === "cancelled"
      ? { name: "WorkflowCancelledError", message: `${child.jobId} was cancelled.` }
      : { name: "WorkflowFailedError", message: `${child.jobId} failed: ${cause?.message ?? child.outcome}`, cause };
  return { ...where, state: "failed", output: null, error: JSON.stringify(error) };
}

/** A callback's output is whatever its endpoint answered: JSON where it is JSON, else a string. */
export function asJson(text: string): string {
  try {
    JSON.parse(text);
    return text;
  } catch {
    // Not JSON: a plain text answer.
    return JSON.stringify(text);
  }
}
