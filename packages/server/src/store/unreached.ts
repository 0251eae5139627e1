/**
 * Runs whose app is away. They wait up to a day, each for itself: one that becomes due while the app is away has its own.
 * Who probes whether the app is back, and when, is in `queues.ts` and `claim.ts`.
 */
import { limits } from "../core/limits.js";
import { ended, lockFamily, MOVED, type Moved } from "./control.js";
import { type Db, type Queryable, sql } from "./db.js";
import { grantTurns } from "./keys.js";

/** Since when a run's deliveries have not reached its app, none in between: 0 where the last one did. */
const since = sql(
  "unreached.since",
  `select coalesce(extract(epoch from rotor.clock() - min(ended_at)) * 1000, 0)::float8 as ms
     from rotor.deliveries
    where job_id = $1 and outcome = 'unreached'
      and delivery > coalesce((select max(delivery) from rotor.deliveries where job_id = $1 and outcome <> 'unreached'), 0)`,
);

/** How long a run has waited for its app, in milliseconds, as far as its deliveries tell. */
export const unreachedMs = async (db: Queryable, jobId: string): Promise<number> =>
  (await db.query<{ ms: number }>(since, [jobId]))[0]!.ms;

/** Due for a day, of apps that have been away for as long. The app is probed with one run at a time: these wait their turn. */
const overdue = sql(
  "unreached.overdue",
  `select job.id
     from rotor.apps app
     join rotor.queues queue on queue.app_id = app.id
    cross join lateral (
      select id from rotor.jobs
       where queue_id = queue.id and state = 'waiting' and blocked_on is null and held_at is null
         and due_at <= rotor.clock() - $1::float8 * interval '1 millisecond'
       order by due_at limit $2) job
    where app.unreachable_since <= rotor.clock() - $1::float8 * interval '1 millisecond'
    limit $2`,
);

const giveUp = sql(
  "unreached.give-up",
  `update rotor.jobs job set state = 'failed', due_at = null, delivery = job.delivery + 1
    where job.id = any($1::uuid[]) and job.state = 'waiting' and job.blocked_on is null and job.held_at is null
      and job.due_at <= rotor.clock() - $2::float8 * interval '1 millisecond'
   ${MOVED}`,
);

/** Runs that one transaction fails. */
const BATCH = 500;

/** waiting → failed: their app has been away for a day, and they have been due for as long. Answers how many. */
export async function expireUnreached(db: Db): Promise<number> {
  return db.transact(async (t) => {
    const rows = await t.query<{ id: string }>(overdue, [limits.unreachableMs, BATCH]);
    if (rows.length === 0) return 0;
    const ids = rows.map((row) => row.id);
    await lockFamily(t, ids);
    const moved = await t.query<Moved>(giveUp, [ids, limits.unreachableMs]);
    await ended(t, moved, "failed", {
      name: "AppUnreachableError",
      message: "Its app could not be reached for a day. Retry it when the app is back.",
    });
    await grantTurns(t, moved);
    return moved.length;
  });
}
