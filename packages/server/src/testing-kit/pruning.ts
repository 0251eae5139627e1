/** Sweeps from end to end, and what is left of a job, for tests of what is kept. No test of its own. */
import { DEFAULT_RETENTION, type SystemRetention } from "../core/retention.js";
import { cancel } from "../store/control.js";
import type { Db } from "../store/db.js";
import { prune } from "../store/prune.js";
import { claimOne, enqueueAll, failedWith, newJob, settleOne } from "./fixtures.js";

/** Makes every sweep due, from its start. */
export const restartSweeps = async (db: Db): Promise<void> => {
  await db.script(
    "update rotor.sweeps set next_at = '-infinity', cursor = null, began_at = null, looked = 0, removed = 0",
  );
};

/** Sweeps everything, to its end. Answers how many rows left. */
export async function sweep(db: Db, terms: SystemRetention = DEFAULT_RETENTION): Promise<number> {
  await restartSweeps(db);
  let removed = 0;
  for (let step = await prune(db, terms); step !== undefined; step = await prune(db, terms)) removed += step;
  return removed;
}

export type Rows = {
  readonly jobs: number;
  readonly payloads: number;
  readonly deliveries: number;
  readonly steps: number;
  readonly past_steps: number;
};
export const NOTHING: Rows = { jobs: 0, payloads: 0, deliveries: 0, steps: 0, past_steps: 0 };

/** How many rows there are of each of these jobs. */
export async function rowsOfAll(db: Db, jobIds: readonly string[]): Promise<Map<string, Rows>> {
  const count = (table: string, column = "job_id"): string =>
    `(select count(*)::int from rotor.${table} where ${column} = item.id) as ${table}`;
  const { rows } = await db.script(
    `select item.id, ${count("jobs", "id")}, ${["payloads", "deliveries", "steps", "past_steps"].map((table) => count(table)).join(", ")}
       from unnest('{${jobIds.join(",")}}'::uuid[]) as item (id)`,
  );
  return new Map(rows.map(({ id, ...counts }) => [id, counts]));
}

/**
 * Rows of the large tables that were read from end to end so far. Other connections tell theirs late, so that what a test
 * itself read while it stored its rows may be counted after it: compare with many times their number.
 */
export async function rowsScanned(db: Db): Promise<number> {
  await db.script("select pg_stat_force_next_flush()");
  const { rows } = await db.script(
    `select sum(seq_tup_read)::int as count from pg_stat_user_tables
      where schemaname = '${db.schema}' and relname in ('payloads', 'jobs', 'deliveries')`,
  );
  return rows[0].count;
}

/** A job that was enqueued and has come to this end. */
export async function ended(
  db: Db,
  queueId: number,
  how: "completed" | "failed" | "cancelled",
  more: Parameters<typeof newJob>[1] = {},
): Promise<string> {
  const job = newJob(queueId, more);
  await enqueueAll(db, [job]);
  if (how === "cancelled") await cancel(db, [job.id]);
  else {
    const holder = await claimOne(db, queueId, job.id);
    await settleOne(db, holder, how === "completed" ? { kind: "done", output: null } : failedWith("no", true));
  }
  return job.id;
}
