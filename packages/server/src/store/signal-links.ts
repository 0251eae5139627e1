/** Links to signals: whether one still does anything, and the one time that it does. */

import { limits } from "../core/limits.js";
import type { SignalLink } from "../core/signal-link.js";
import { type Db, type Queryable, sql } from "./db.js";
import { lockNames, signalName } from "./names.js";
import { type Completed, completeLocked } from "./signals.js";

const clock = sql("signal-links.clock", "select (extract(epoch from rotor.clock()) * 1000)::float8 as ms");

/** When a link is made: by the clock by which it expires. */
export const readClockMs = async (db: Queryable): Promise<number> => (await db.query<{ ms: number }>(clock))[0]!.ms;

/** `used`: its signal was completed by this link, or by another one since this was made. */
export type LinkState = "open" | "used" | "expired";

/** No row: its workspace is gone. */
const look = sql(
  "signal-links.look",
  `select $4::float8 <= extract(epoch from rotor.clock()) * 1000 as expired,
          exists (select 1 from rotor.used_links where workspace_id = $1 and signal = $2 and extract(epoch from used_at) * 1000 >= $3::float8) as used
     from rotor.workspaces where id = $1`,
);

export async function stateOfLink(
  t: Queryable,
  { workspace, signal, madeAtMs, expiresAtMs }: SignalLink,
): Promise<LinkState> {
  const [row] = await t.query<{ expired: boolean; used: boolean }>(look, [workspace, signal, madeAtMs, expiresAtMs]);
  return row?.used ? "used" : row === undefined || row.expired ? "expired" : "open";
}

/** Remembered for as long as any link that was made before can live. */
const use = sql(
  "signal-links.use",
  `insert into rotor.used_links (workspace_id, signal, used_at, until)
   select $1, $2, clock.now, clock.now + $3::float8 * interval '1 millisecond' from (select rotor.clock() as now) clock
   on conflict (workspace_id, signal) do update set used_at = excluded.used_at, until = excluded.until`,
);

/**
 * Completes the link's signal, once. Whoever follows a link may be faster than the run that is to wait: then the signal is
 * kept until the link would have expired.
 */
export const completeByLink = (db: Db, link: SignalLink): Promise<Completed | "used" | "expired"> =>
  db.transact(async (t) => {
    const { workspace, signal, data, expiresAtMs } = link;
    await lockNames(t, [{ name: signalName(db.schema, workspace, signal), exclusive: true }]);
    const state = await stateOfLink(t, link);
    if (state !== "open") return state;
    const leftMs = Math.max(1, expiresAtMs - (await readClockMs(t)));
    const done = await completeLocked(t, workspace, signal, data, leftMs);
    if (done.kind === "kept already") return "used";
    await t.query(use, [workspace, signal, limits.signalKeptMs]);
    return done;
  });
