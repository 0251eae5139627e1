/**
 * The checkpoint that most are: results of steps of a delivery that is as it should be, and nothing else to be written.
 * One statement, a transaction by itself, for any number of runs. Whatever it does not take is left to
 * `checkpoint.ts`: a stale or cancelled delivery, a row in other hands, a run that has been woken, was rescued or failed
 * before, or whose limit is to be renewed.
 */
import type { Report, RunReport } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { type Checkpoint, type Checkpointed, toldOfOwn } from "./checkpoint.js";
import { type Db, hot, sparse } from "./db.js";
import type { Recorded } from "./record.js";

/**
 * The fence is on the row that is locked: who had to look again sees its newest version, and what it protects is written,
 * not looked at. What is finished stays as it is; of an unfinished step a later attempt replaces an earlier.
 */
const write = hot(
  "checkpoint.quick",
  `with clock as materialized (select rotor.clock() as now),
   held as materialized (
     select job.id, job.node_id
       from unnest($1::uuid[], $2::int[]) as item (id, delivery)
       join rotor.jobs job on job.id = item.id, clock
      where job.delivery = item.delivery and (job.state || '') = 'active' and not job.woken and job.attempt <= 1 and job.rescues = 0
        and job.due_at > clock.now + $3::int / 2 * interval '1 millisecond'
        for no key update of job skip locked
   ),
   written as (
     insert into rotor.steps as step (job_id, key, kind, state, attempt, seq, asked_at, asked, ended_at, duration_ms, output, error)
     select held.id, item.key, 'run', item.state, item.attempt, nextval('rotor.step_seq'), clock.now, item.place, clock.now, item.duration_ms,
            item.output, item.error
       from (select * from unnest($4::uuid[], $5::text[], $6::text[], $7::int[], $8::int[], $9::text[], $10::text[]) with ordinality
               as item (job_id, key, state, attempt, duration_ms, output, error, place) order by place) item
       join held on held.id = item.job_id, clock
     on conflict (job_id, key) do update
        set state = excluded.state, attempt = excluded.attempt, seq = excluded.seq, due_at = null, ended_at = excluded.ended_at,
            duration_ms = excluded.duration_ms, output = excluded.output, error = excluded.error
      where step.state = 'waiting' and step.kind = 'run' and step.attempt < excluded.attempt
     returning job_id, key, state, attempt, seq
   )
   select written.job_id as "jobId", written.key, 'run' as kind, written.state, written.attempt, written.seq, null as "dueInMs",
          held.node_id as "nodeId"
     from written join held on held.id = written.job_id
    order by written.seq`,
);

type Row = Recorded & { readonly nodeId: string | null };

type Result = RunReport & { readonly outcome: "completed" | "failed" };

const isResult = (report: Report): report is Result => report.kind === "run" && report.outcome !== "retry";

/** Writes those that it can; each run is among `items` once. Answers for what it has written, in full. */
export async function quickCheckpoint(
  db: Db,
  items: readonly Checkpoint[],
  yields: (nodeId: string | null) => boolean,
): Promise<Map<Checkpoint, Checkpointed>> {
  const done = new Map<Checkpoint, Checkpointed>();
  const apt = items.filter(({ reports }) => reports.length > 0 && reports.every(isResult) && areDistinct(reports));
  if (apt.length === 0) return done;
  const results = apt.flatMap((item) => item.reports.filter(isResult).map((report) => ({ jobId: item.jobId, report })));
  const values = [
    apt.map((item) => item.jobId),
    apt.map((item) => item.delivery),
    limits.runTimeoutMs,
    results.map(({ jobId }) => jobId),
    results.map(({ report }) => report.key),
    results.map(({ report }) => report.outcome),
    results.map(({ report }) => report.attempt),
    results.map(({ report }) => Math.round(report.duration_ms)),
    sparse(results, ({ report }) => (report.outcome === "completed" ? JSON.stringify(report.output) : null)),
    sparse(results, ({ report }) => (report.outcome === "failed" ? JSON.stringify(report.error) : null)),
  ];
  const rows = await db.query<Row>(write, values);
  const byJob = new Map<string, Row[]>();
  for (const row of rows) {
    const steps = byJob.get(row.jobId);
    if (steps === undefined) byJob.set(row.jobId, [row]);
    else steps.push(row);
  }
  for (const item of apt) {
    const steps = byJob.get(item.jobId);
    // Something of it was there before: the other way says what.
    if (steps?.length !== item.reports.length) continue;
    done.set(item, {
      verdict: yields(steps[0]!.nodeId) ? "yield" : "go",
      steps: steps.map((step) => toldOfOwn(step, item.reports)),
    });
  }
  return done;
}

/** A statement cannot write one row twice. */
const areDistinct = (reports: readonly Report[]): boolean =>
  reports.length === 1 || new Set(reports.map(({ key }) => key)).size === reports.length;
