/** Under which key a wait is stored, where its condition has several equalities: the one that the fewest waits share. */

import { limits } from "../core/limits.js";
import type { Equality } from "../core/wait-key.js";
import { eventKey } from "../core/wait-key.js";
import { type Queryable, sql } from "./db.js";

/** How many waits are stored under each of these keys, counted up to a cap: beyond it, all are alike. */
const crowds = sql(
  "wait-keys.crowds",
  `select (select count(*) from (select 1 from rotor.steps where wait_key = item.key limit $2) step)::int
        + (select count(*) from (select 1 from rotor.watches where wait_key = item.key limit $2) watch)::int as count
     from unnest($1::uuid[]) with ordinality as item (key, place) order by place`,
);

/** A wait to be, and the equalities that each event which ends it meets. */
export type Keyable = { readonly workspace: string; readonly event: string; readonly equalities: readonly Equality[] };

/** A key for each: the bare one where there is no equality. Only where there is a choice is anything read. */
export async function chooseKeys(t: Queryable, waits: readonly Keyable[]): Promise<string[]> {
  const candidates = waits.map(({ workspace, event, equalities }) =>
    equalities.length === 0
      ? [eventKey(workspace, event)]
      : equalities.map((equality) => eventKey(workspace, event, equality)),
  );
  const open = candidates.filter((keys) => keys.length > 1).flat();
  if (open.length === 0) return candidates.map((keys) => keys[0]!);
  const counted = await t.query<{ count: number }>(crowds, [open, limits.crowd]);
  const countOf = new Map(open.map((key, index) => [key, Math.min(counted[index]!.count, limits.crowd)]));
  return candidates.map((keys) =>
    keys.reduce((best, key) => ((countOf.get(key) ?? 0) < (countOf.get(best) ?? 0) ? key : best)),
  );
}
