/** Watches that cancel a run when an event comes, stored in the transaction that starts it; the events' names are locked. */
import type { MatchObject, StartOptions } from "@rotorsh/sdk/protocol";
import { compile, type MatchedEvent } from "../core/match.js";
import { type Queryable, sql } from "./db.js";
import { chooseKeys } from "./wait-keys.js";

/** A run that was started, and what may cancel it. */
export type Cancellable = {
  readonly id: string;
  readonly workspace: string;
  /** Its own event: `trigger` in the conditions. */
  readonly event: MatchedEvent;
  readonly cancelOn: NonNullable<StartOptions["cancel_on"]>;
};

/** In place of those that were there: of a debounce the event has become another. */
const watch = sql(
  "cancel-on.watch",
  `insert into rotor.watches (job_id, key, name, kind, wait_key, wait, asked_at, until)
   select item.job_id, '', item.name, 'event', item.wait_key, item.wait::jsonb, rotor.clock(),
          rotor.clock() + item.timeout_ms * interval '1 millisecond'
     from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::float8[]) as item (job_id, name, wait_key, wait, timeout_ms)
   on conflict (job_id, key, name) do update set wait_key = excluded.wait_key, wait = excluded.wait`,
);

/** A condition of `cancelOn`, by the run's own event. It was checked when its function was stored. */
export function compileCancel(match: string | MatchObject | undefined, trigger: MatchedEvent) {
  const compiled = compile(match, trigger);
  if (!compiled.ok) throw new Error(compiled.message);
  return compiled;
}

export async function watchForCancels(t: Queryable, runs: readonly Cancellable[]): Promise<void> {
  const rows = runs.flatMap(({ id, workspace, event, cancelOn }) =>
    cancelOn.flatMap(({ event: name, match, timeout_ms: timeoutMs }, place) => {
      const compiled = compileCancel(match, event);
      const wait = JSON.stringify({ event: name, ...compiled.match });
      const keyable = { workspace, event: name, equalities: compiled.equalities };
      return [{ id, place, keyable, wait, timeoutMs: timeoutMs ?? null }];
    }),
  );
  if (rows.length === 0) return;
  const keys = await chooseKeys(
    t,
    rows.map((row) => row.keyable),
  );
  await t.query(watch, [
    rows.map((row) => row.id),
    rows.map((row) => String(row.place)),
    keys,
    rows.map((row) => row.wait),
    rows.map((row) => row.timeoutMs),
  ]);
}
