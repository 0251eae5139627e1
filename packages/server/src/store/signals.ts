/**
 * Signals: a key that somebody completes. Whoever completes one and whoever stores a wait for it lock its name: so a
 * signal that nobody waits for yet, and that its sender wants kept, is found by the wait that comes.
 */
import { partOutput } from "../core/parts.js";
import { signalKey } from "../core/wait-key.js";
import { type Db, type Queryable, sql } from "./db.js";
import { lockNames, signalName } from "./names.js";
import { lockJobs, resume } from "./resume.js";
import { signalHolders } from "./watches.js";

/** What became of a completion. */
export type Completed =
  | { readonly kind: "resumed"; readonly runId: string }
  /** Nobody waits for it; it is kept for the next wait until then. */
  | { readonly kind: "buffered"; readonly until: Date }
  /** Nobody waits for it, and it was not to be kept. */
  | { readonly kind: "nobody" }
  /** Nobody waits for it, and one that came before is kept already. */
  | { readonly kind: "kept already" };

/** Kept once: only what is over makes room. */
const keep = sql(
  "signals.keep",
  `insert into rotor.early_signals as early (workspace_id, signal, data, kept_at, until)
   select $1, $2, $3, clock.now, clock.now + $4::float8 * interval '1 millisecond' from (select rotor.clock() as now) clock
   on conflict (workspace_id, signal) do update set data = excluded.data, kept_at = excluded.kept_at, until = excluded.until
    where early.until <= excluded.kept_at
   returning until`,
);

/**
 * Ends the wait for this signal, or the part of one, with `data` (JSON text). Where nobody waits, it is kept for
 * `bufferForMs`, if that is given.
 */
export const completeSignal = (
  db: Db,
  workspace: string,
  signal: string,
  data: string,
  bufferForMs?: number,
): Promise<Completed> =>
  db.transact(async (t) => {
    await lockNames(t, [{ name: signalName(db.schema, workspace, signal), exclusive: true }]);
    return completeLocked(t, workspace, signal, data, bufferForMs);
  });

/** The same for who has locked its name. */
export async function completeLocked(
  t: Queryable,
  workspace: string,
  signal: string,
  data: string,
  bufferForMs?: number,
): Promise<Completed> {
  const [holder] = await signalHolders(t, [signalKey(workspace, signal)]);
  if (holder !== undefined) {
    const { jobId, key, part } = holder;
    await t.query(lockJobs, [[jobId]]);
    const output = partOutput(part, data);
    const [runId] = await resume(t, [{ jobId, key, state: "completed", output, error: null }]);
    if (runId !== undefined) return { kind: "resumed", runId };
  }
  if (bufferForMs === undefined) return { kind: "nobody" };
  const [kept] = await t.query<{ until: Date }>(keep, [workspace, signal, data, bufferForMs]);
  return kept === undefined ? { kind: "kept already" } : { kind: "buffered", until: kept.until };
}

/** What was kept of these signals, the earliest first. */
const early = sql(
  "signals.early",
  `select signal, data, kept_at::text as "keptAt" from rotor.early_signals
    where workspace_id = $1 and signal = any($2::text[]) and until > rotor.clock() order by kept_at, signal`,
);

export const earlySignals = (
  t: Queryable,
  workspace: string,
  signals: readonly string[],
): Promise<{ signal: string; data: string; keptAt: string }[]> => t.query(early, [workspace, [...signals]]);

const use = sql("signals.use", "delete from rotor.early_signals where workspace_id = $1 and signal = $2");

/** It has ended a wait: the next wait for it waits for another. */
export const useEarlySignal = (t: Queryable, workspace: string, signal: string): Promise<unknown> =>
  t.query(use, [workspace, signal]);
