/**
 * Records what an app reports of a run's steps: results, waits, children. Part of a checkpoint's or a settle's
 * transaction, with the run's row locked and its fence tested. A repeated report changes nothing.
 */
import type { Report, WireError } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { compile } from "../core/match.js";
import { childKey, eventKey, signalKey } from "../core/wait-key.js";
import { type Child, type LookedChildren, type PlannedChildren, planChildren, startChildren } from "./children.js";
import { type Db, type Queryable, sql } from "./db.js";
import { childEnd, endsAlready } from "./finish.js";
import { lookBack } from "./look-back.js";
import { eventName, type NameLock, signalName } from "./names.js";
import { sendReported } from "./publish.js";
import type { WaitEnd } from "./resume.js";
import { type RunContext, readContexts } from "./run-context.js";
import { locksOf } from "./start-plan.js";

/** A run and what its app says of it. */
export type Reported = { readonly jobId: string; readonly delivery: number; readonly reports: readonly Report[] };

/** Reports with all that was read or done before the transaction. */
export type Prepared = {
  readonly runs: ReadonlyMap<string, readonly Report[]>;
  readonly contexts: ReadonlyMap<string, RunContext>;
  /** `<run>/<key>` of a `send` → its output. */
  readonly sent: ReadonlyMap<string, string>;
  readonly children: PlannedChildren;
  readonly locks: readonly NameLock[];
};

/** A step as it is written. */
type Row = {
  readonly jobId: string;
  readonly key: string;
  readonly kind: Report["kind"];
  readonly state: "waiting" | "completed" | "failed";
  readonly attempt: number;
  readonly delayMs: number | null;
  readonly untilMs: number | null;
  readonly waitKey: string | null;
  readonly wait: string | null;
  readonly durationMs: number | null;
  readonly output: string | null;
  readonly error: string | null;
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
  const sent = new Map<string, string>();
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
      if (report.kind === "event")
        locks.push({ name: eventName(db.schema, context.workspace, report.event), exclusive: false });
      if (report.kind === "signal")
        locks.push({ name: signalName(db.schema, context.workspace, report.signal), exclusive: true });
      if (report.kind === "send") sent.set(`${run.jobId}/${report.key}`, await sendReported(db, context, report));
    }
  }
  return { runs, contexts: known, sent, children, locks };
}

/** Needs nothing read before it is written: one statement does any number of them. */
export const isPlain = (report: Report): boolean => report.kind === "run" || report.kind === "sleep";

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
 * unfinished run step a later attempt replaces an earlier.
 */
const write = sql(
  "record.write",
  `with clock as materialized (select rotor.clock() as now)
   insert into rotor.steps as step (job_id, key, kind, state, attempt, seq, due_at, wait_key, wait, asked_at, asked, ended_at, duration_ms, output, error)
   select item.job_id, item.key, item.kind, item.state, item.attempt,
          case when item.state <> 'waiting' then nextval('rotor.step_seq') end,
          case when item.state = 'waiting' then coalesce(to_timestamp(item.until_ms / 1000), clock.now + item.delay_ms * interval '1 millisecond') end,
          item.wait_key, item.wait::jsonb, clock.now, item.place,
          case when item.state <> 'waiting' then clock.now end, item.duration_ms, item.output, item.error
     from (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::float8[], $7::float8[], $8::uuid[],
                                $9::text[], $10::float8[], $11::text[], $12::text[]) with ordinality
             as item (job_id, key, kind, state, attempt, delay_ms, until_ms, wait_key, wait, duration_ms, output, error, place)
            order by place) item, clock
   on conflict (job_id, key) do update
      set state = excluded.state, attempt = excluded.attempt, seq = excluded.seq, due_at = excluded.due_at,
          ended_at = excluded.ended_at, duration_ms = excluded.duration_ms, output = excluded.output, error = excluded.error
    where step.state = 'waiting' and step.kind = 'run' and excluded.kind = 'run' and step.attempt < excluded.attempt
   returning job_id as "jobId", key, kind, state, attempt, seq, (extract(epoch from due_at - rotor.clock()) * 1000)::float8 as "dueInMs"`,
);

/** Steps that are stored already, of those reported. */
const stored = sql(
  "record.stored",
  `select step.job_id as "jobId", step.key
     from unnest($1::uuid[], $2::text[]) as item (job_id, key)
     join rotor.steps step on step.job_id = item.job_id and step.key = item.key`,
);

const signalHeld = sql(
  "record.signal",
  `select wait_key as "waitKey" from rotor.steps where wait_key = any($1::uuid[]) and kind = 'signal'`,
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
  const rows = plain
    ? all.map(({ jobId, report }) => simpleRow(jobId, report))
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
  ]);
  const result: Recorded[] = [];
  for (const step of recorded) {
    const report = prepared.runs.get(step.jobId)?.find((each) => each.key === step.key);
    const found =
      report?.kind === "event" &&
      step.state === "waiting" &&
      (await lookBack(t, prepared.contexts.get(step.jobId)!, report));
    result.push(found ? { ...step, state: "completed" } : step);
  }
  return result;
}

const blank = {
  attempt: 1,
  delayMs: null,
  untilMs: null,
  waitKey: null,
  wait: null,
  durationMs: null,
  output: null,
  error: null,
} as const;

function simpleRow(jobId: string, report: Report): Row {
  const base = { ...blank, jobId, key: report.key, kind: report.kind };
  if (report.kind === "run") {
    const done = { ...base, attempt: report.attempt, durationMs: report.duration_ms };
    if (report.outcome === "completed") {
      return { ...done, state: "completed", output: JSON.stringify(report.output) };
    }
    const error = JSON.stringify(report.error);
    return report.outcome === "failed"
      ? { ...done, state: "failed", error }
      : { ...done, state: "waiting", delayMs: report.delay_ms, error };
  }
  if (report.kind !== "sleep") throw new Error(`${report.kind} is no simple step`);
  return "until_ms" in report
    ? { ...base, state: "waiting", untilMs: report.until_ms }
    : { ...base, state: "waiting", delayMs: report.delay_ms };
}

/** Waits and children: what is stored already stays, so that a repeated report starts no second child. */
async function specialRows(
  t: Queryable,
  prepared: Prepared,
  looked: LookedChildren,
  all: readonly { jobId: string; report: Report }[],
): Promise<Row[]> {
  const others = all.filter(({ report }) => report.kind !== "run");
  const before = new Set(
    (
      await t.query<{ jobId: string; key: string }>(stored, [
        others.map((item) => item.jobId),
        others.map((item) => item.report.key),
      ])
    ).map((row) => `${row.jobId}/${row.key}`),
  );
  const fresh = all.filter(({ jobId, report }) => report.kind === "run" || !before.has(`${jobId}/${report.key}`));
  const signals = await takenSignals(t, prepared, fresh);
  const children = await startChildren(t, prepared.children, looked, fresh);
  const over = await endsOf(t, fresh, children);
  const rowOf = ({ jobId, report }: (typeof fresh)[number]): Row => {
    const base = { ...blank, jobId, key: report.key, kind: report.kind };
    const context = prepared.contexts.get(jobId);
    switch (report.kind) {
      case "run":
      case "sleep":
        return simpleRow(jobId, report);
      case "send":
        return { ...base, state: "completed", output: prepared.sent.get(`${jobId}/${report.key}`) ?? null };
      case "event": {
        const compiled = compile(report.match, context!.trigger);
        if (!compiled.ok) return failed(base, { name: "InvalidMatchError", message: compiled.message });
        const waitKey = eventKey(context!.workspace, report.event, compiled.equality);
        return {
          ...base,
          state: "waiting",
          delayMs: report.timeout_ms,
          waitKey,
          wait: JSON.stringify({ event: report.event, ...compiled.match }),
        };
      }
      case "signal": {
        const waitKey = signalKey(context!.workspace, report.signal);
        if (signals.has(waitKey)) {
          return failed(base, {
            name: "SignalTakenError",
            message: `Another wait holds the signal ${report.signal}. Choose an id of its own.`,
          });
        }
        signals.add(waitKey);
        return {
          ...base,
          state: "waiting",
          delayMs: report.timeout_ms,
          waitKey,
          wait: JSON.stringify({ signal: report.signal }),
        };
      }
      case "any":
        return failed(base, { name: "UnsupportedError", message: "This server does not know waitForAny yet." });
      case "invoke":
      case "enqueue": {
        const child = children.get(`${jobId}/${report.key}`)!;
        if ("name" in child) return failed(base, child);
        if (report.kind === "enqueue" && !report.wait) {
          return { ...base, state: "completed", output: JSON.stringify({ id: child.id, duplicate: child.duplicate }) };
        }
        const end = over.get(`${jobId}/${report.key}`);
        if (end !== undefined) return { ...base, state: end.state, output: end.output, error: end.error };
        const delayMs = report.timeout_ms ?? limits.delayMs;
        return {
          ...base,
          state: "waiting",
          delayMs,
          waitKey: childKey(child.id),
          wait: JSON.stringify({ job: child.id }),
        };
      }
    }
  };
  return fresh.map(rowOf);
}

type Base = typeof blank & { readonly jobId: string; readonly key: string; readonly kind: Report["kind"] };

const failed = (base: Base, error: WireError): Row => ({ ...base, state: "failed", error: JSON.stringify(error) });

/** Of children that had been started before and have ended already: what their parent's step gets to know of it. */
async function endsOf(
  t: Queryable,
  fresh: readonly { jobId: string; report: Report }[],
  children: ReadonlyMap<string, Child>,
): Promise<Map<string, WaitEnd>> {
  const steps = fresh.flatMap(({ jobId, report: { key, kind } }) => {
    const child = children.get(`${jobId}/${key}`);
    return child !== undefined && "id" in child && child.exists ? [{ jobId, key, kind, child: child.id }] : [];
  });
  const ends = await endsAlready(
    t,
    steps.map((step) => step.child),
  );
  return new Map(
    steps.flatMap((step) => {
      const end = ends.get(step.child);
      return end === undefined ? [] : [[`${step.jobId}/${step.key}`, childEnd(step, end)] as const];
    }),
  );
}

/** Signals of these reports that somebody waits for already. Their names are locked: nobody can come in between. */
async function takenSignals(
  t: Queryable,
  prepared: Prepared,
  fresh: readonly { jobId: string; report: Report }[],
): Promise<Set<string>> {
  const keys = fresh.flatMap(({ jobId, report }) =>
    report.kind === "signal" ? [signalKey(prepared.contexts.get(jobId)!.workspace, report.signal)] : [],
  );
  if (keys.length === 0) return new Set();
  return new Set((await t.query<{ waitKey: string }>(signalHeld, [keys])).map((row) => row.waitKey));
}
