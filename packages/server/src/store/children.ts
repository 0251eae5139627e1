/**
 * Children of a run: the runs and jobs that its `invoke` and `enqueue` steps start. Planned before the transaction that
 * stores the step, since the plans say what it must lock; started in it, so that none can end before its parent waits for it.
 */
import type { EnqueueReport, InvokeReport, Report, StartOptions, WireError } from "@rotorsh/sdk/protocol";
import { newId } from "../core/ids.js";
import { spanOf } from "../core/trace.js";
import { type Queryable, sql } from "./db.js";
import type { NewJob } from "./enqueue.js";
import { lockJobs } from "./resume.js";
import type { RunContext } from "./run-context.js";
import { findFirst, type Looked, lookStarts, writeStarts } from "./start.js";
import { ONCE, type Plan, planStart, type Started } from "./start-plan.js";

const queueIds = sql(
  "record.queues",
  `select queue.id, queue.kind, queue.name, queue.workspace_id as workspace, queue.starting, rotor.clock() as now
     from unnest($1::text[], $2::text[], $3::text[]) as item (workspace, kind, name)
     join rotor.queues queue on queue.workspace_id = item.workspace and queue.kind = item.kind and queue.name = item.name and queue.system is null`,
);

type Target = {
  readonly id: number;
  readonly kind: string;
  readonly name: string;
  readonly workspace: string;
  readonly starting: StartOptions;
  /** When it was looked up. */
  readonly now: Date;
};

type ChildReport = InvokeReport | EnqueueReport;

/** A child to be, or why there is none. */
export type PlannedChild = { readonly runId: string; readonly plan: Plan; readonly report: ChildReport } | WireError;

/** By `<run>/<key>`. */
export type PlannedChildren = ReadonlyMap<string, PlannedChild>;

export type Child =
  /** `exists`: it had been started before, by the same value of its function's `idempotencyKey`; its row is locked. */
  { readonly id: string; readonly duplicate: boolean; readonly exists: boolean } | WireError;

/** What the children of these reports would be. */
export async function planChildren(
  db: Queryable,
  contexts: ReadonlyMap<string, RunContext>,
  reported: readonly { readonly jobId: string; readonly reports: readonly Report[] }[],
): Promise<PlannedChildren> {
  const wanted = reported.flatMap(({ jobId, reports }) => {
    const context = contexts.get(jobId);
    return reports.flatMap((report) =>
      context !== undefined && (report.kind === "invoke" || report.kind === "enqueue") ? [{ context, report }] : [],
    );
  });
  const planned = new Map<string, PlannedChild>();
  if (wanted.length === 0) return planned;
  const found = await db.query<Target>(queueIds, [
    wanted.map((item) => item.context.workspace),
    wanted.map((item) => kindOf(item.report)),
    wanted.map((item) => nameOf(item.report)),
  ]);
  const targets = new Map(found.map((queue) => [`${queue.workspace}/${queue.kind}/${queue.name}`, queue]));
  for (const { context, report } of wanted) {
    const kind = kindOf(report);
    const target = targets.get(`${context.workspace}/${kind}/${nameOf(report)}`);
    const child: PlannedChild =
      target === undefined
        ? { name: "NotFoundError", message: `There is no ${NOUNS[kind]} named ${nameOf(report)}.` }
        : { runId: context.jobId, report, plan: planOf(context, report, target) };
    planned.set(`${context.jobId}/${report.key}`, child);
  }
  return planned;
}

const kindOf = (report: ChildReport) => (report.kind === "invoke" ? "function" : "callback");
const nameOf = (report: ChildReport): string => (report.kind === "invoke" ? report.function : report.queue);
const NOUNS = { function: "function", callback: "queue" } as const;

function planOf(context: RunContext, report: ChildReport, target: Target): Plan {
  if (report.kind === "enqueue") return { job: handedOver(context, report, target.id) };
  const { id: queueId, workspace, starting, now } = target;
  return planStart({ to: { queueId, workspace, starting }, job: invoked(context, report, queueId, now) });
}

/** What there is for the children of several runs, and which jobs' rows each run needs for its own. */
export type LookedChildren = Looked & { readonly rowsOf: ReadonlyMap<string, readonly string[]> };

const isPlanned = (child: PlannedChild): child is Exclude<PlannedChild, WireError> => "plan" in child;
const sharesRun = ({ plan, report }: Exclude<PlannedChild, WireError>): boolean =>
  report.kind === "invoke" && plan.job.key?.startsWith(ONCE) === true;

/** Looks what there is for them; the names of their plans are locked. Children without options need no look. */
export async function lookChildren(t: Queryable, children: PlannedChildren): Promise<LookedChildren> {
  const rowsOf = new Map<string, string[]>();
  const special = [...children.values()].filter(isPlanned).filter((each) => each.plan.special || sharesRun(each));
  if (special.length === 0) return { holders: new Map(), first: new Map(), rows: [], rowsOf };
  const looked = await lookStarts(
    t,
    special.map(({ plan }) => plan),
  );
  const shared = await findFirst(
    t,
    special.filter(sharesRun).map(({ plan }) => plan.job),
  );
  const rows = new Set(looked.rows);
  for (const { runId, plan } of special) {
    const { queueId, key } = plan.job;
    const first = shared.get(`${queueId}/${key}`);
    // To be safe, each needs all that any singleton of these starts would end.
    const needed = [...(plan.special ? looked.rows : []), ...(first === undefined ? [] : [first.id])];
    for (const id of needed) rows.add(id);
    rowsOf.set(runId, [...(rowsOf.get(runId) ?? []), ...needed.filter((id) => id !== runId)]);
  }
  return { ...looked, rows: [...rows], rowsOf };
}

/** Starts the children that these reports ask for. `<run>/<key>` → its id, or why there is none. */
export async function startChildren(
  t: Queryable,
  children: PlannedChildren,
  looked: LookedChildren,
  fresh: readonly { jobId: string; report: Report }[],
): Promise<Map<string, Child>> {
  const result = new Map<string, Child>();
  const wanted: { readonly step: string; readonly child: Exclude<PlannedChild, WireError> }[] = [];
  for (const { jobId, report } of fresh) {
    const step = `${jobId}/${report.key}`;
    const child = children.get(step);
    if (child === undefined) continue;
    const refused = isPlanned(child) ? endsItself(child, looked) : child;
    if (refused !== undefined) result.set(step, refused);
    else if (isPlanned(child)) wanted.push({ step, child });
  }
  if (wanted.length === 0) return result;
  const started = await writeStarts(
    t,
    wanted.map(({ child }) => child.plan),
    looked,
  );
  for (const [index, { step, child }] of wanted.entries()) result.set(step, childOf(child, started[index]!));
  // Started under its key since it was looked for: it is younger than the runs that are locked, as a rule.
  const late = [...result.values()].flatMap((child) =>
    "id" in child && child.exists && !looked.rows.includes(child.id) ? [child.id] : [],
  );
  if (late.length > 0) await t.query(lockJobs, [late]);
  return result;
}

/** A run cannot end itself to make room for its child, and go on to wait for it. */
function endsItself({ runId, plan }: Exclude<PlannedChild, WireError>, looked: Looked): WireError | undefined {
  const { special } = plan;
  if (special?.singleton?.mode !== "cancel") return undefined;
  const holder = looked.holders.get(`${special.to.queueId}/${special.singleton.value}`);
  if (holder?.id !== runId) return undefined;
  return skipped(`The function's singleton would cancel this very run. Invoke another function, or give another key.`);
}

const skipped = (message: string): WireError => ({ name: "WorkflowSkippedError", message });

function childOf(child: Exclude<PlannedChild, WireError>, answer: Started): Child {
  const { report, runId } = child;
  if (answer.kind === "skipped")
    return skipped(`It was not started: its function's singleton lets one run be unfinished, and ${answer.by} is.`);
  const { id, duplicate } = answer;
  if (!duplicate || !(report.kind === "invoke" || report.wait)) return { id, duplicate, exists: false };
  if (!sharesRun(child)) {
    return {
      name: "DuplicateJobError",
      message: `A job with this id exists already (${id}), so its end cannot be waited for. Leave out the id, or the wait.`,
    };
  }
  return id === runId
    ? skipped("Its function's idempotencyKey leads to this very run, which cannot wait for itself.")
    : { id, duplicate, exists: true };
}

function invoked(context: RunContext, report: InvokeReport, queueId: number, now: Date): NewJob {
  const id = newId();
  const event = { id, name: "rotor/run.invoked", data: report.data, ts: now.getTime() };
  return {
    id,
    queueId,
    key: null,
    body: Buffer.from(JSON.stringify(event)),
    contentType: "application/json",
    parentId: context.jobId,
    headers: inTrace(context),
  };
}

function handedOver(context: RunContext, report: EnqueueReport, queueId: number): NewJob {
  const { options } = report;
  return {
    id: newId(),
    queueId,
    key: options.job_id ?? null,
    body: Buffer.from(JSON.stringify(report.payload)),
    contentType: "application/json",
    delayMs: options.delay_ms,
    priority: options.priority,
    tags: options.tags,
    concurrencyKey: options.concurrency_key,
    keyOrder: options.key_order,
    maxAttempts: options.max_attempts,
    timeoutMs: options.timeout_ms,
    parentId: context.jobId,
    headers: inTrace(context),
  };
}

/** Children are part of their parent's trace. */
const inTrace = ({ jobId, traceparent }: RunContext) => ({ traceparent: spanOf(traceparent, jobId) });
