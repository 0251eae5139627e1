/**
 * deadline: any unfinished state → failed. A run that has a time limit for all of it ends by it, whatever it waits for and
 * whoever delivers it; a late holder is told as after any end that was not his.
 */
import { limits } from "../core/limits.js";
import { runTimeoutError } from "../core/run-timeout.js";
import { ended, MOVED, type Moved } from "./control.js";
import { type Db, sql } from "./db.js";
import { grantTurns } from "./keys.js";
import { lockWhole } from "./rescue.js";
import { linger } from "./slots.js";

/** Unfinished jobs past their deadline, by the index that has no other: where none is, this looks at one entry. */
const overdue = sql(
  "deadlines.overdue",
  `select id, parent_id as "parentId" from rotor.jobs
    where deadline_at <= rotor.clock() and due_at is not null order by deadline_at limit $1`,
);

/**
 * Ends those that are unfinished still and have no later deadline by now. An active delivery keeps its number, so that its
 * log row is the one that its holder would have written. What nobody had approved yet has lapsed, and asks again when it
 * is retried.
 */
const endAll = sql(
  "deadlines.end",
  `update rotor.jobs job
      set state = 'failed', due_at = null, held_at = null, node_id = null, woken = false, blocked_on = null,
          delivery = job.delivery + case when job.state = 'active' then 0 else 1 end
     from rotor.payloads payload
    where job.id = any($1::uuid[]) and job.due_at is not null and job.deadline_at <= rotor.clock() and payload.job_id = job.id
   ${MOVED}, payload.deadline_ms::float8 as "deadlineMs",
             (select state from rotor.jobs where id = job.id) = 'pending_approval' as "undecided"`,
);

type Late = Moved & { readonly deadlineMs: number; readonly undecided: boolean };

/** Jobs that one transaction ends. */
const BATCH = 500;

/** Ends what has not ended in time; rows in other hands are met at the next look. Answers how many. */
export async function endLate(db: Db): Promise<number> {
  return db.transact(async (t) => {
    const rows = await t.query<{ id: string; parentId: string | null }>(overdue, [BATCH]);
    if (rows.length === 0) return 0;
    const ids = (await lockWhole(t, rows)).map((row) => row.id);
    void t.query(linger, [ids, limits.expiryGraceMs]);
    const moved = await t.query<Late>(endAll, [ids]);
    for (const limitMs of new Set(moved.map((job) => job.deadlineMs)))
      for (const undecided of [true, false]) {
        const alike = moved.filter((job) => job.deadlineMs === limitMs && job.undecided === undecided);
        if (alike.length > 0) await ended(t, alike, undecided ? "expired" : "failed", runTimeoutError(limitMs));
      }
    await grantTurns(t, moved);
    return moved.length;
  });
}
