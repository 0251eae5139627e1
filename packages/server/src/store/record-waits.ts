/** Steps that wait, or start something: what is read and written for them before they are stored. */
import type { Report, WireError } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { compile, type Match } from "../core/match.js";
import { isWait, type Part, partsOf, signalsOf, type WaitReport } from "../core/parts.js";
import { childKey, type Equality, signalKey } from "../core/wait-key.js";
import { type Child, type LookedChildren, type PlannedChildren, startChildren } from "./children.js";
import { type Queryable, sql } from "./db.js";
import { childEnd, endsAlready } from "./finish.js";
import type { WaitEnd } from "./resume.js";
import type { RunContext } from "./run-context.js";
import { type Base, baseRow, failed, plainRow, type Row } from "./step-rows.js";
import { chooseKeys } from "./wait-keys.js";
import { type NewWatch, signalHolders } from "./watches.js";

/** What became of steps that publish, by `<run>/<key>`: the output as JSON text, or why it failed. */
export type Sent = ReadonlyMap<string, string | WireError>;

/** What was read or done for the reports before their transaction. */
export type Known = {
  readonly contexts: ReadonlyMap<string, RunContext>;
  readonly sent: Sent;
  readonly children: PlannedChildren;
};

export type Reporting = { readonly jobId: string; readonly report: Report };

/** Steps that are stored already, of those reported. */
const stored = sql(
  "record.stored",
  `select step.job_id as "jobId", step.key
     from unnest($1::uuid[], $2::text[]) as item (job_id, key)
     join rotor.steps step on step.job_id = item.job_id and step.key = item.key`,
);

/**
 * Rows of steps, and of the parts of those that wait for several things. What is stored already stays, so that a repeated
 * report starts no second child. `looked`: what was found for the children, and is locked.
 */
export async function specialRows(
  t: Queryable,
  { contexts, sent, children: planned }: Known,
  looked: LookedChildren,
  all: readonly Reporting[],
): Promise<{ readonly rows: Row[]; readonly watches: NewWatch[] }> {
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
  const waits = await waitRows(t, contexts, fresh);
  const children = await startChildren(t, planned, looked, fresh);
  const over = await endsOf(t, fresh, children);
  const rowOf = ({ jobId, report }: Reporting): Row => {
    const base = baseRow(jobId, report);
    switch (report.kind) {
      case "run":
      case "sleep":
        return plainRow(jobId, report);
      case "send": {
        const output = sent.get(`${jobId}/${report.key}`) ?? null;
        if (output !== null && typeof output !== "string") return failed(base, output);
        return { ...base, state: "completed", output };
      }
      case "event":
      case "signal":
      case "any":
        return waits.rows.get(`${jobId}/${report.key}`)!;
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
        const wait = JSON.stringify({ job: child.id });
        return { ...base, state: "waiting", delayMs, waitKey: childKey(child.id), wait };
      }
    }
  };
  return { rows: fresh.map(rowOf), watches: waits.watches };
}

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

/** A part whose condition is checked. `match` is there for events only. */
type Checked = {
  readonly part: Part;
  readonly workspace: string;
  readonly match: Match;
  readonly equalities: readonly Equality[];
};

type Wait = { readonly base: Base; readonly report: WaitReport; readonly parts: readonly Checked[] };

async function waitRows(
  t: Queryable,
  contexts: ReadonlyMap<string, RunContext>,
  fresh: readonly Reporting[],
): Promise<{ readonly rows: Map<string, Row>; readonly watches: NewWatch[] }> {
  const rows = new Map<string, Row>();
  const taken = await takenSignals(t, contexts, fresh);
  const waits: Wait[] = [];
  for (const { jobId, report } of fresh) {
    if (!isWait(report)) continue;
    const base = baseRow(jobId, report);
    const context = contexts.get(jobId)!;
    const checked = check(context, report, taken);
    if (isList(checked)) waits.push({ base, report, parts: checked });
    else rows.set(`${jobId}/${report.key}`, failed(base, checked));
  }
  const asked = waits.flatMap(({ parts }) => parts.flatMap((each) => ("event" in each.part ? [each] : [])));
  const keys = await chooseKeys(
    t,
    asked.map(({ part, workspace, equalities }) => ({
      workspace,
      event: (part as { event: string }).event,
      equalities,
    })),
  );
  const keyOf = new Map(asked.map((each, index) => [each, keys[index]!]));
  const watches: NewWatch[] = [];
  for (const { base, report, parts } of waits) {
    const stored = parts.map((each) => {
      const { part, workspace, match } = each;
      return "signal" in part
        ? {
            name: part.name,
            kind: "signal" as const,
            waitKey: signalKey(workspace, part.signal),
            wait: { signal: part.signal },
          }
        : { name: part.name, kind: "event" as const, waitKey: keyOf.get(each)!, wait: { event: part.event, ...match } };
    });
    const waiting = { ...base, state: "waiting" as const, delayMs: report.timeout_ms };
    if (report.kind !== "any") {
      const [only] = stored;
      rows.set(`${base.jobId}/${base.key}`, { ...waiting, waitKey: only!.waitKey, wait: JSON.stringify(only!.wait) });
      continue;
    }
    // The run's own event is with each part that needs it; who looks at the step need not see it again.
    const shown = stored.map(({ name, wait }) => ({ name, ...wait, trigger: undefined }));
    rows.set(`${base.jobId}/${base.key}`, { ...waiting, wait: JSON.stringify({ parts: shown }) });
    for (const { name, kind, waitKey, wait } of stored)
      watches.push({ jobId: base.jobId, key: base.key, name: name!, kind, waitKey, wait: JSON.stringify(wait) });
  }
  return { rows, watches };
}

/** The parts of a wait, or why it fails: one bad expression, or one signal that is another's, fails its own step alone. */
function check(context: RunContext, report: WaitReport, taken: Set<string>): readonly Checked[] | WireError {
  const { workspace } = context;
  const checked: Checked[] = [];
  const signals: string[] = [];
  for (const part of partsOf(report)) {
    if ("signal" in part) {
      const waitKey = signalKey(workspace, part.signal);
      if (taken.has(waitKey) || signals.includes(waitKey))
        return {
          name: "SignalTakenError",
          message: `Another wait holds the signal ${part.signal}. Choose an id of its own.`,
        };
      signals.push(waitKey);
      checked.push({ part, workspace, match: {}, equalities: [] });
      continue;
    }
    const compiled = compile(part.match, context.trigger);
    if (!compiled.ok)
      return {
        name: "InvalidMatchError",
        message: part.name === null ? compiled.message : `${part.name}: ${compiled.message}`,
      };
    checked.push({ part, workspace, match: compiled.match, equalities: compiled.equalities });
  }
  // Only now: what fails holds nothing.
  for (const waitKey of signals) taken.add(waitKey);
  return checked;
}

const isList = (checked: readonly Checked[] | WireError): checked is readonly Checked[] => Array.isArray(checked);

/** Signals of these reports that somebody waits for already. Their names are locked: nobody can come in between. */
async function takenSignals(
  t: Queryable,
  contexts: ReadonlyMap<string, RunContext>,
  fresh: readonly Reporting[],
): Promise<Set<string>> {
  const keys = fresh.flatMap(({ jobId, report }) =>
    signalsOf(report).map((signal) => signalKey(contexts.get(jobId)!.workspace, signal)),
  );
  return new Set((await signalHolders(t, keys)).map((holder) => holder.waitKey));
}
