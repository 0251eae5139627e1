/**
 * Records what an app reports of a run's steps: results, waits, children. Part of a checkpoint's or a settle's
 * transaction, with the run's row locked and its fence tested. A repeated report changes nothing.
 */
import type { Report, WireError } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { isWait, partsOf } from "../core/parts.js";
import { type LookedChildren, type PlannedChildren, planChildren } from "./children.js";
import type { Db, Queryable } from "./db.js";
import { sql } from "./db.js";
import { lookBack } from "./look-back.js";
import { eventName, type NameLock, signalName } from "./names.js";
import { sendReported } from "./publish.js";
import { type Sent, specialRows } from "./record-waits.js";
import { type RunContext, readContexts } from "./run-context.js";
import { locksOf } from "./start-plan.js";
import { isPlain, plainRow } from "./step-rows.js";
import { insertWatches } from "./watches.js";

export { isPlain } from "./step-rows.js";

/** A run and what its app says of it. */
export type Reported = { readonly jobId: string; readonly delivery: number; readonly reports: readonly Report[] };

/** Reports with all that was read or done before the transaction. */
export type Prepared = {
  readonly runs: ReadonlyMap<string, readonly Report[]>;
  readonly contexts: ReadonlyMap<string, RunContext>;
  /** `<run>/<key>` of a `send` → its output, or why it fails. */
  readonly sent: Sent;
  readonly children: PlannedChildren;
  readonly locks: readonly NameLock[];
};

/** What was stored of a report, as the app is told. */
export type Recorded = {
  readonly jobId: string;
  readonly key: string;
  readonly kind: Report["kind"];
  readonly state: "waiting" | "completed" | "failed";
  readonly attempt: number;
  readonly seq: string | null;
  readonly dueInMs: number | null;
};

/**
 * Reads what the reports need and publishes what they send: an event's id is made from run and key, so once is enough.
 * A delivery that is over publishes nothing: once its number has passed, it does not come back.
 */
export async function prepare(db: Db, reported: readonly Reported[]): Promise<Prepared> {
  const runs = new Map(reported.map((run) => [run.jobId, latest(run.reports)]));
  const special = reported.filter((run) => run.reports.some((report) => !isPlain(report)));
  const known = new Map<string, RunContext>();
  const sent = new Map<string, string | WireError>();
  if (special.length === 0) return { runs, contexts: known, sent, children: new Map(), locks: [] };
  for (const context of await readContexts(db, special)) known.set(context.jobId, context);
  const children = await planChildren(db, known, special);
  const locks: NameLock[] = locksOf(
    db.schema,
    [...children.values()].flatMap((child) => ("plan" in child ? [child.plan] : [])),
  );
  for (const run of special) {
    const context = known.get(run.jobId);
    if (context === undefined) continue;
    for (const report of run.reports) {
      // One signal has one waiter; any number of runs wait for one event.
      for (const part of isWait(report) ? partsOf(report) : [])
        locks.push(
          "signal" in part
            ? { name: signalName(db.schema, context.workspace, part.signal), exclusive: true }
            : { name: eventName(db.schema, context.workspace, part.event), exclusive: false },
        );
      if (report.kind === "send") sent.set(`${run.jobId}/${report.key}`, await sendReported(db, context, report));
    }
  }
  return { runs, contexts: known, sent, children, locks };
}

/** Of several reports of one step in one go, the last attempt is what is left to say. */
function latest(reports: readonly Report[]): Report[] {
  const byKey = new Map<string, Report>();
  for (const report of reports) {
    const before = byKey.get(report.key);
    if (before?.kind === "run" && report.kind === "run" && before.attempt >= report.attempt) continue;
    byKey.delete(report.key);
    byKey.set(report.key, report);
  }
  return [...byKey.values()];
}

/**
 * Writes steps in the order of the reports: the sequence gives each its place. What is finished stays as it is; of an
 * unfinished run step a later attempt replaces an earlier, of which its failure is kept.
 */
const write = sql(
  "record.write",
  `with clock as materialized (select rotor.clock() as now)
   insert into rotor.steps as step (job_id, key, kind, state, attempt, seq, due_at, wait_key, wait, asked_at, asked, ended_at, duration_ms, output, error, failures)
   select item.job_id, item.key, item.kind, item.state, item.attempt,
          case when item.state <> 'waiting' then nextval('rotor.step_seq') end,
          case when item.state = 'waiting' then coalesce(to_timestamp(item.until_ms / 1000), clock.now + item.delay_ms * interval '1 millisecond') end,
          item.wait_key, item.wait::jsonb, clock.now, item.place,
          case when item.state <> 'waiting' then clock.now end, item.duration_ms, item.output, item.error,
          case when item.failure is not null then array['{"at":' || to_json(clock.now)::text || ',' || item.failure || '}'] end
     from (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::float8[], $7::float8[], $8::uuid[],
                                $9::text[], $10::float8[], $11::text[], $12::text[], $13::text[]) with ordinality
             as item (job_id, key, kind, state, attempt, delay_ms, until_ms, wait_key, wait, duration_ms, output, error, failure, place)
            order by place) item, clock
   on conflict (job_id, key) do update
      set state = excluded.state, attempt = excluded.attempt, seq = excluded.seq, due_at = excluded.due_at,
          ended_at = excluded.ended_at, duration_ms = excluded.duration_ms, output = excluded.output, error = excluded.error,
          failures = (step.failures || excluded.failures)[greatest(1, cardinality(step.failures || excluded.failures) - $14 + 1):]
    where step.state = 'waiting' and step.kind = 'run' and excluded.kind = 'run' and step.attempt < excluded.attempt
   returning job_id as "jobId", key, kind, state, attempt, seq, (extract(epoch from due_at - rotor.clock()) * 1000)::float8 as "dueInMs"`,
);

/** Records the reports of these runs, which the caller holds locked, as well as what was looked up. Answers what is newly stored. */
export async function record(
  t: Queryable,
  prepared: Prepared,
  looked: LookedChildren,
  jobIds: readonly string[],
): Promise<Recorded[]> {
  const all = jobIds.flatMap((jobId) => (prepared.runs.get(jobId) ?? []).map((report) => ({ jobId, report })));
  if (all.length === 0) return [];
  const plain = all.every(({ report }) => isPlain(report));
  const { rows, watches } = plain
    ? { rows: all.map(({ jobId, report }) => plainRow(jobId, report)), watches: [] }
    : await specialRows(t, prepared, looked, all);
  if (rows.length === 0) return [];
  const recorded = await t.query<Recorded>(write, [
    rows.map((row) => row.jobId),
    rows.map((row) => row.key),
    rows.map((row) => row.kind),
    rows.map((row) => row.state),
    rows.map((row) => row.attempt),
    rows.map((row) => row.delayMs),
    rows.map((row) => row.untilMs),
    rows.map((row) => row.waitKey),
    rows.map((row) => row.wait),
    rows.map((row) => (row.durationMs === null ? null : Math.round(row.durationMs))),
    rows.map((row) => row.output),
    rows.map((row) => row.error),
    rows.map((row) => row.failure),
    limits.stepFailures,
  ]);
  if (plain) return recorded;
  await insertWatches(t, watches);
  const result: Recorded[] = [];
  for (const step of recorded) {
    const report = prepared.runs.get(step.jobId)?.find((each) => each.key === step.key);
    const found =
      report !== undefined &&
      isWait(report) &&
      step.state === "waiting" &&
      (await lookBack(t, prepared.contexts.get(step.jobId)!, report));
    result.push(found ? { ...step, state: "completed" } : step);
  }
  return result;
}
