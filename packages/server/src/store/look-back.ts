/**
 * A wait looks at what came before it was stored: events, and signals that were kept for it. The names' locks are held: an
 * event that is not seen here will see the wait.
 */
import { limits } from "../core/limits.js";
import { compile, matches } from "../core/match.js";
import { type Part, partOutput, partsOf, type WaitReport } from "../core/parts.js";
import { type Queryable, sql } from "./db.js";
import { endWaits } from "./resume.js";
import type { RunContext } from "./run-context.js";
import { earlySignals, useEarlySignal } from "./signals.js";

/**
 * Events of these names, oldest first, that this run has not consumed, received since the step named `after` ended, or, if
 * that was earlier, since the event came that ended the wait before this one, or since the run was created. An event that
 * started the run, or was gathered for it, never counts, nor does one that is still to come. Each name is walked in the
 * order of its index, some at a time.
 */
const past = sql(
  "look-back.events",
  `select event.id, event.name, event.key, event.data, floor(extract(epoch from event.ts) * 1000)::float8 as ts, event.received_at::text as "receivedAt"
     from unnest($2::text[]) as wanted (name)
    cross join lateral (
      select * from rotor.events event
       where event.workspace_id = $1 and event.name = wanted.name
         and event.received_at < 'infinity'
         and event.received_at >= $9::timestamptz and (event.received_at, event.id) > ($9::timestamptz, $10::uuid)
         and event.received_at >= case when $5::float8 is null
               then greatest((select min(ended_at) from rotor.steps where job_id = $3 and key = any($4::text[])), $6::timestamptz)
               else rotor.clock() - $5 * interval '1 millisecond' end
         and event.id is distinct from $7::uuid
         and not exists (select 1 from rotor.steps used where used.job_id = $3 and used.event_id = event.id)
         and not exists (select 1 from rotor.batched where batched.job_id = $3 and batched.event_id = event.id)
       order by event.received_at, event.id
       limit $8) event
    order by event.received_at, event.id
    limit $8`,
);

type PastEvent = { id: string; name: string; key: string; data: string; ts: number; receivedAt: string };

/** What ends a wait that was just stored. `at` is as Postgres writes times in UTC, which sort as texts. */
type Early = {
  readonly part: Part;
  readonly data: string;
  readonly at: string;
  readonly eventId?: string;
};

/** Ends the wait with the earliest of what came that meets one of its parts; false if nothing did. */
export async function lookBack(t: Queryable, run: RunContext, report: WaitReport): Promise<boolean> {
  const parts = partsOf(report);
  const [event, signal] = [await earliestEvent(t, run, report, parts), await earliestSignal(t, run, parts)];
  const found = event === undefined || (signal !== undefined && signal.at < event.at) ? signal : event;
  if (found === undefined) return false;
  await endWaits(
    t,
    [
      {
        jobId: run.jobId,
        key: report.key,
        state: "completed",
        output: partOutput(found.part.name, found.data),
        error: null,
        eventId: found.eventId,
        // The next look-back begins where this ended: what came behind a kept signal must not be passed over. A wait for
        // that signal alone has passed nothing over.
        endedAt: report.kind === "signal" ? null : found.at,
      },
    ],
    true,
  );
  if ("signal" in found.part) await useEarlySignal(t, run.workspace, found.part.signal);
  return true;
}

async function earliestEvent(
  t: Queryable,
  run: RunContext,
  report: WaitReport,
  parts: readonly Part[],
): Promise<Early | undefined> {
  if (report.kind === "signal") return undefined;
  const waits = parts.flatMap((part) => {
    if ("signal" in part) return [];
    const compiled = compile(part.match, run.trigger);
    return compiled.ok ? [{ part, event: part.event, match: compiled.match }] : [];
  });
  if (waits.length === 0) return undefined;
  const names = [...new Set(waits.map((wait) => wait.event))];
  const after = [report.after, report.previous].filter((key) => key !== undefined);
  const { workspace, jobId, createdAt, eventId } = run;
  const window = [workspace, names, jobId, after, report.since_ms ?? null, createdAt, eventId, limits.lookBack];
  for (let last: Pick<PastEvent, "receivedAt" | "id"> | undefined = BEFORE_ALL; last !== undefined; ) {
    const rows: PastEvent[] = await t.query<PastEvent>(past, [...window, last.receivedAt, last.id]);
    for (const row of rows) {
      const event = { id: row.key, name: row.name, data: JSON.parse(row.data), ts: row.ts };
      const wait = waits.find((each) => each.event === row.name && matches(each.match, event));
      if (wait !== undefined) return { part: wait.part, data: row.data, at: row.receivedAt, eventId: row.id };
    }
    last = rows.length < limits.lookBack ? undefined : rows.at(-1);
  }
  return undefined;
}

const BEFORE_ALL = { receivedAt: "-infinity", id: "00000000-0000-0000-0000-000000000000" };

async function earliestSignal(t: Queryable, run: RunContext, parts: readonly Part[]): Promise<Early | undefined> {
  const signals = new Map(parts.flatMap((part) => ("signal" in part ? [[part.signal, part] as const] : [])));
  if (signals.size === 0) return undefined;
  const [first] = await earlySignals(t, run.workspace, [...signals.keys()]);
  return first && { part: signals.get(first.signal)!, data: first.data, at: first.keptAt };
}
