/**
 * A wait looks at the events that came before it was stored. The name's lock is held: an event that is not seen here
 * will see the wait.
 */
import type { EventReport } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { compile, matches } from "../core/match.js";
import { type Queryable, sql } from "./db.js";
import { endWaits } from "./resume.js";
import type { RunContext } from "./run-context.js";

/**
 * Events of this name, oldest first, that this run has not consumed, received since the step named `after` ended, or, if
 * that was earlier, since the event came that ended the wait before this one, or since the run was created. An event that
 * started the run, or was gathered for it, never counts.
 */
const past = sql(
  "look-back.events",
  `select event.id, event.name, event.key, event.data, floor(extract(epoch from event.ts) * 1000)::float8 as ts, event.received_at::text as "receivedAt"
     from rotor.events event
    where event.workspace_id = $1 and event.name = $2
      and event.received_at >= case when $5::float8 is null
            then greatest((select min(ended_at) from rotor.steps where job_id = $3 and key = any($4::text[])), $6::timestamptz)
            else rotor.clock() - $5 * interval '1 millisecond' end
      and event.id is distinct from $7::uuid
      and not exists (select 1 from rotor.steps used where used.job_id = $3 and used.event_id = event.id)
      and not exists (select 1 from rotor.batched where batched.job_id = $3 and batched.event_id = event.id)
    order by event.received_at, event.id
    limit $8`,
);

type PastEvent = { id: string; name: string; key: string; data: string; ts: number; receivedAt: string };

/** Ends the wait with the earliest event that matches; false if there is none. */
export async function lookBack(t: Queryable, run: RunContext, report: EventReport): Promise<boolean> {
  const compiled = compile(report.match, run.trigger);
  if (!compiled.ok) return false;
  const rows = await t.query<PastEvent>(past, [
    run.workspace,
    report.event,
    run.jobId,
    [report.after, report.previous].filter((key) => key !== undefined),
    report.since_ms ?? null,
    run.createdAt,
    run.eventId,
    limits.lookBack,
  ]);
  const found = rows.find((row) =>
    matches(compiled.match, { id: row.key, name: row.name, data: JSON.parse(row.data), ts: row.ts }),
  );
  if (found === undefined) return false;
  await endWaits(
    t,
    [
      {
        jobId: run.jobId,
        key: report.key,
        state: "completed",
        output: found.data,
        error: null,
        eventId: found.id,
        endedAt: found.receivedAt,
      },
    ],
    true,
  );
  return true;
}
