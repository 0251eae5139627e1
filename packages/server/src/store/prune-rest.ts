/** prune, of what is no job: events, the audit log, and small tables that collect what has ended. */
import { firstIdAt } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { sweepEveryMs } from "../core/retention.js";
import { type Queryable, type Statement, sql } from "./db.js";
import { matchSweeps, type Sweep, writeStep } from "./sweeps.js";
import { forgetTallies } from "./tallies.js";

/**
 * The next events, and which of them are old enough. One that still has effects to come stays; one that never came, since
 * its database was adopted without its work, is as old as the time that it was meant for.
 */
const walkEvents = sql(
  "prune.walk-events",
  `select id, case when received_at = 'infinity' then ts else received_at end < rotor.clock() - $4 * interval '1 millisecond' and due_at is null as expired
     from rotor.events where ($1::uuid is null or id > $1) and id < $2 order by id limit $3`,
);
const deleteEvents = sql(
  "prune.events",
  "delete from rotor.events where id = any($1::uuid[]) and due_at is null returning id",
);

const walkAudit = sql(
  "prune.walk-audit",
  `select id, at < rotor.clock() - $4 * interval '1 millisecond' as expired
     from rotor.audit_events where ($1::uuid is null or id > $1) and id < $2 order by id limit $3`,
);
const deleteAudit = sql("prune.audit", "delete from rotor.audit_events where id = any($1::uuid[]) returning id");

/** Walks a table whose ids are ordered by time, from its oldest row on, and deletes what is older than `keptMs`. */
async function pruneOld(
  t: Queryable,
  sweep: Sweep,
  keptMs: number,
  statements: { readonly walk: Statement; readonly remove: Statement },
): Promise<number> {
  const bound = firstIdAt(sweep.nowMs - keptMs);
  const walked = await t.query<{ id: string; expired: boolean }>(statements.walk, [
    sweep.cursor,
    bound,
    limits.pruned,
    keptMs,
  ]);
  const expired = walked.filter((row) => row.expired).map((row) => row.id);
  const removed = expired.length === 0 ? 0 : (await t.query(statements.remove, [expired])).length;
  const next = walked.length < limits.pruned ? null : walked.at(-1)!.id;
  await writeStep(t, sweep, { looked: walked.length, removed, next }, sweepEveryMs(keptMs));
  return removed;
}

/** How long events are kept is how far back a wait can look. */
export const pruneEvents = (t: Queryable, sweep: Sweep, keptMs: number): Promise<number> =>
  pruneOld(t, sweep, keptMs, { walk: walkEvents, remove: deleteEvents });

export const pruneAudit = (t: Queryable, sweep: Sweep, keptMs: number): Promise<number> =>
  pruneOld(t, sweep, keptMs, { walk: walkAudit, remove: deleteAudit });

const deleteApiKeys = sql(
  "prune.api-keys",
  "delete from rotor.api_keys where least(revoked_at, expires_at) < rotor.clock() - $1 * interval '1 millisecond' returning id",
);

const deleteEarlySignals = sql(
  "prune.early-signals",
  `delete from rotor.early_signals where (workspace_id, signal) in
     (select workspace_id, signal from rotor.early_signals where until <= rotor.clock() order by until limit $1) and until <= rotor.clock() returning 1`,
);
const deleteUsedLinks = sql(
  "prune.used-links",
  `delete from rotor.used_links where (workspace_id, signal) in
     (select workspace_id, signal from rotor.used_links where until <= rotor.clock() order by until limit $1) and until <= rotor.clock() returning 1`,
);

const deleteSessions = sql(
  "prune.sessions",
  `delete from rotor.sessions where hash in (select hash from rotor.sessions where expires_at <= rotor.clock() order by expires_at limit $1) returning 1`,
);

const REST_EVERY_MS = 60_000;

/** API keys that ended long ago, logins that are over, and what was kept of signals for a time that is over; and queues new to the pruner. */
export async function pruneRest(t: Queryable, sweep: Sweep): Promise<number> {
  await matchSweeps(t);
  const removed = (await t.query(deleteApiKeys, [limits.endedKeyMs])).length;
  const some = limits.pruned;
  const early = (await t.query(deleteEarlySignals, [some])).length;
  const used = (await t.query(deleteUsedLinks, [some])).length;
  const over = (await t.query(deleteSessions, [some])).length;
  const tallies = await forgetTallies(t, limits.talliesMs, some);
  const looked = removed + early + used + over + tallies;
  // A full step: there is more of it.
  const again = Math.max(early, used, over, tallies) === some ? 0 : REST_EVERY_MS;
  await writeStep(t, sweep, { looked, removed: looked, next: null }, again);
  return looked;
}
