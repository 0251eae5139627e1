/**
 * A workspace leaves with all that is in it, in bounded steps, so that none of them holds locks or memory for long.
 * Whoever calls them goes on until the last one says that nothing is left; a crash between two only leaves some for later.
 */
import { limits } from "../core/limits.js";
import { cancel } from "./control.js";
import { type Db, type Queryable, sql } from "./db.js";
import { type Doomed, removeJobs } from "./prune.js";

/** Each way to be unfinished is an index of its own, and the orders name them: no index has all jobs of a queue. */
const unfinished = sql(
  "leaving.unfinished",
  `select job.id from rotor.queues queue
    cross join lateral (
      (select id from rotor.jobs where queue_id = queue.id and state = 'waiting' and blocked_on is null order by due_at limit $2)
      union all
      (select id from rotor.jobs where queue_id = queue.id and state = 'active' order by active_at limit $2)
      union all
      (select id from rotor.jobs where queue_id = queue.id and state = 'pending_approval' order by due_at limit $2)) job
    where queue.workspace_id = $1
   union all
   select job.id from rotor.keys key
    cross join lateral (select id from rotor.jobs where blocked_on = key.id order by queue_id, due_at limit $2) job
    where key.workspace_id = $1
    limit $2`,
);

/** Whether something in it is not finished. */
export const hasUnfinished = async (db: Queryable, workspace: string): Promise<boolean> =>
  (await db.query(unfinished, [workspace, 1])).length > 0;

/** Its keys open nothing any more, and nothing starts by itself: what is left can only become less. */
const closeKeys = sql(
  "leaving.keys",
  "update rotor.api_keys set revoked_at = rotor.clock() where workspace_id = $1 and revoked_at is null",
);
const closeSchedules = sql("leaving.schedules", "delete from rotor.schedules where workspace_id = $1");
const closeTriggers = sql("leaving.triggers", "delete from rotor.triggers where workspace_id = $1");
const closeWebhooks = sql("leaving.webhooks", "delete from rotor.webhooks where workspace_id = $1");
const closeQueues = sql(
  "leaving.queues",
  "update rotor.queues set paused_at = coalesce(paused_at, rotor.clock()) where workspace_id = $1",
);

/** The oldest of each queue, found by their payloads: those have an index by queue. */
const someJobs = sql(
  "leaving.jobs",
  `select job.id as "jobId", job.delivery from rotor.queues queue
    cross join lateral (select job_id from rotor.payloads where queue_id between queue.id and queue.id order by queue_id, job_id limit $2) payload
    cross join lateral (select id, delivery from rotor.jobs where id = payload.job_id limit 1) job
    where queue.workspace_id = $1 limit $2`,
);
const removeSlots = sql("leaving.slots", "delete from rotor.slots where job_id = any($1::uuid[])");
const removeEvents = sql(
  "leaving.events",
  `delete from rotor.events where id in (select id from rotor.events where workspace_id = $1 limit $2) returning 1`,
);
const removeInbox = sql(
  "leaving.inbox",
  `delete from rotor.inbox where seq in (select seq from rotor.inbox where workspace_id = $1 limit $2) returning 1`,
);
const removeEarlySignals = sql(
  "leaving.early-signals",
  `delete from rotor.early_signals where (workspace_id, signal) in
     (select workspace_id, signal from rotor.early_signals where workspace_id = $1 limit $2) returning 1`,
);
const removeUsedLinks = sql(
  "leaving.used-links",
  `delete from rotor.used_links where (workspace_id, signal) in
     (select workspace_id, signal from rotor.used_links where workspace_id = $1 limit $2) returning 1`,
);
const removeAudit = sql(
  "leaving.audit",
  `delete from rotor.audit_events where id in (select id from rotor.audit_events where workspace_id = $1 limit $2) returning 1`,
);

/** A key that a node trusted when it was revoked may open for a moment longer, and bring one more job. */
const openKeys = sql(
  "leaving.open-keys",
  "select 1 from rotor.api_keys where workspace_id = $1 and revoked_at > rotor.clock() - $2 * interval '1 millisecond' limit 1",
);

/** Whoever changes a queue waits here, or is seen by the statement after this. */
const lockQueues = sql("leaving.lock", "select id from rotor.queues where workspace_id = $1 order by id for update");
const removeWorkspace = sql(
  "leaving.remove",
  `delete from rotor.workspaces where id = $1
      and (select payload.job_id from rotor.queues queue
            cross join lateral (select job_id from rotor.payloads where queue_id between queue.id and queue.id order by queue_id, job_id limit 1) payload
            where queue.workspace_id = $1 limit 1) is null
   returning id`,
);

/** Closes a workspace: the first step of its end. */
export async function closeWorkspace(db: Db, workspace: string): Promise<void> {
  await db.transact(async (t) => {
    await t.query(closeKeys, [workspace]);
    await t.query(closeSchedules, [workspace]);
    await t.query(closeTriggers, [workspace]);
    await t.query(closeWebhooks, [workspace]);
    await t.query(closeQueues, [workspace]);
  });
}

/**
 * One step: `more` is left; only the row itself is, for some seconds (`later`); it is `gone`; `unfinished` work is in it,
 * which `cancelling` would have ended.
 */
export async function emptyWorkspace(
  db: Db,
  workspace: string,
  cancelling: boolean,
): Promise<"more" | "later" | "gone" | "unfinished"> {
  const some = limits.deletedTogether;
  const open = (await db.query<{ id: string }>(unfinished, [workspace, some])).map((row) => row.id);
  if (open.length > 0 && !cancelling) return "unfinished";
  if (open.length > 0) {
    await cancel(db, open);
    return "more";
  }
  const jobs = await db.query<Doomed>(someJobs, [workspace, some]);
  if (jobs.length > 0) {
    await db.transact(async (t) => {
      // One that was woken meanwhile stays whole, and is unfinished at the next step.
      await removeJobs(t, jobs);
      await t.query(removeSlots, [jobs.map((job) => job.jobId)]);
    });
    return "more";
  }
  for (const statement of [removeEvents, removeInbox, removeEarlySignals, removeUsedLinks, removeAudit]) {
    if ((await db.query(statement, [workspace, some])).length > 0) return "more";
  }
  if ((await db.query(openKeys, [workspace, limits.keyTrustedMs * 2])).length > 0) return "later";
  return db.transact(async (t) => {
    await t.query(lockQueues, [workspace]);
    return (await t.query(removeWorkspace, [workspace])).length > 0 ? "gone" : "more";
  });
}
