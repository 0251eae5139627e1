/** Singletons that look for an unfinished run at a start: modes skip and cancel. Under the lock on their value's name. */
import { type Queryable, sql } from "./db.js";

/** A value of a function's singleton. */
export type Single = { readonly queueId: number; readonly value: string };

/** The unfinished run of a value, and the run that it may have been started by. */
export type Holder = Single & { readonly id: string; readonly parentId: string | null };

/** The name's lock is held: nobody starts another meanwhile. That it is unfinished is true for a moment only. */
const holders = sql(
  "singles.holders",
  `select single.queue_id as "queueId", single.key as value, job.id, job.parent_id as "parentId"
     from unnest($1::int[], $2::text[]) as item (queue_id, key)
     join rotor.singles single on single.queue_id = item.queue_id and single.key = item.key
     join rotor.jobs job on job.id = single.job_id and job.due_at is not null`,
);

const hold = sql(
  "singles.hold",
  `insert into rotor.singles (queue_id, key, job_id) select * from unnest($1::int[], $2::text[], $3::uuid[])
   on conflict (queue_id, key) do update set job_id = excluded.job_id`,
);

export const nameOfSingle = ({ queueId, value }: Single): string => `${queueId}/${value}`;

export async function findHolders(t: Queryable, singles: readonly Single[]): Promise<Map<string, Holder>> {
  if (singles.length === 0) return new Map();
  const rows = await t.query<Holder>(holders, [
    singles.map((single) => single.queueId),
    singles.map((single) => single.value),
  ]);
  return new Map(rows.map((row) => [nameOfSingle(row), row]));
}

/** From now on these are the runs of their values; one run a value. */
export async function holdSingles(t: Queryable, held: readonly (Single & { readonly id: string })[]): Promise<void> {
  if (held.length === 0) return;
  await t.query(hold, [held.map((each) => each.queueId), held.map((each) => each.value), held.map((each) => each.id)]);
}
