/**
 * Watches: what else an event or a signal ends. The parts of a wait for the first of several things, written with its
 * step and deleted when it ends, whichever way; and signals, each of which has one waiter, step or part.
 */
import { type Queryable, sql } from "./db.js";

/** A part to be. `wait` is JSON text. */
export type NewWatch = {
  readonly jobId: string;
  readonly key: string;
  readonly name: string;
  readonly kind: "event" | "signal";
  readonly waitKey: string;
  readonly wait: string;
};

/** Parts are asked when their step is: it is written before them, in the same transaction. */
const insert = sql(
  "watches.insert",
  `insert into rotor.watches (job_id, key, name, kind, place, wait_key, wait, asked_at, asked)
   select item.job_id, item.key, item.name, item.kind, item.place, item.wait_key, item.wait::jsonb, step.asked_at, step.asked
     from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[]) with ordinality
       as item (job_id, key, name, kind, wait_key, wait, place)
     join rotor.steps step on step.job_id = item.job_id and step.key = item.key and step.state = 'waiting'`,
);

/** Stores the parts of waits that were written just before, in the order of the code. */
export async function insertWatches(t: Queryable, watches: readonly NewWatch[]): Promise<void> {
  if (watches.length === 0) return;
  await t.query(insert, [
    watches.map((watch) => watch.jobId),
    watches.map((watch) => watch.key),
    watches.map((watch) => watch.name),
    watches.map((watch) => watch.kind),
    watches.map((watch) => watch.waitKey),
    watches.map((watch) => watch.wait),
  ]);
}

/** Who waits for these signals: a step, or a part of one by its name. The signals' names are locked. */
const holders = sql(
  "watches.signals",
  `select wait_key as "waitKey", job_id as "jobId", key, null as part from rotor.steps
    where wait_key = any($1::uuid[]) and kind = 'signal'
    union all
   select wait_key, job_id, key, name from rotor.watches where wait_key = any($1::uuid[]) and kind = 'signal'`,
);

export type SignalHolder = {
  readonly waitKey: string;
  readonly jobId: string;
  readonly key: string;
  readonly part: string | null;
};

export const signalHolders = async (t: Queryable, waitKeys: readonly string[]): Promise<SignalHolder[]> =>
  waitKeys.length === 0 ? [] : t.query<SignalHolder>(holders, [[...waitKeys]]);
