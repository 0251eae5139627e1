/**
 * Schedules: what is kept of them, and how they are changed. Every change is reckoned under the row's lock, so that a
 * tick sees the rule from before it or from after it: a tick that was due and not made yet is the new rule's to make.
 * What a tick does is in `ticks.ts`.
 */
import { readRule } from "../core/cron.js";
import type { CatchUp, Overlap } from "../core/schedule.js";
import { type Db, type Queryable, sql, type Transaction } from "./db.js";

export type ScheduleSettings = {
  readonly queueId: number;
  readonly cron: string;
  readonly timezone: string;
  readonly body: Buffer;
  readonly contentType: string;
  readonly overlap: Overlap;
  readonly catchUp: CatchUp;
};

export type Schedule = ScheduleSettings & {
  readonly id: number;
  readonly workspace: string;
  readonly name: string;
  readonly queue: string;
  readonly kind: "callback" | "function";
  readonly owned: boolean;
  readonly pausedAt: Date | null;
  /** The first tick that is neither made nor given up; means nothing while it is paused. */
  readonly nextAt: Date;
  /** The last tick that enqueued. */
  readonly lastAt: Date | null;
  readonly lastJobId: string | null;
  /** Ticks that enqueued nothing since the job before was not finished, and the last of them. */
  readonly skipped: number;
  readonly skippedAt: Date | null;
  /** Ticks that were not made up for, and the last of them. */
  readonly missed: number;
  readonly missedAt: Date | null;
};

export const scheduleColumns = `schedule.id, schedule.workspace_id as workspace, schedule.name, schedule.queue_id as "queueId",
  queue.name as queue, queue.kind, schedule.cron, schedule.timezone, schedule.body, schedule.content_type as "contentType",
  schedule.overlap, schedule.catch_up as "catchUp", schedule.owned, schedule.paused_at as "pausedAt", schedule.next_at as "nextAt",
  schedule.last_at as "lastAt", schedule.last_job_id as "lastJobId", schedule.skipped, schedule.skipped_at as "skippedAt",
  schedule.missed, schedule.missed_at as "missedAt"`;

/** No row: the name is taken, by somebody whose commit is waited for. */
const insert = sql(
  "schedules.insert",
  `insert into rotor.schedules (workspace_id, name, queue_id, cron, timezone, body, content_type, overlap, catch_up, next_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (workspace_id, name) do nothing returning id`,
);

const insertTrigger = sql(
  "schedules.insert-trigger",
  `insert into rotor.schedules (workspace_id, name, queue_id, cron, timezone, body, content_type, owned, next_at)
   values ($1, $2, $3, $4, $5, 'null', 'application/json', true, $6) on conflict (workspace_id, name) do nothing returning id`,
);

/** The row is the caller's until he commits: no tick is made and nothing is changed meanwhile. */
const lock = sql(
  "schedules.lock",
  "select id from rotor.schedules where workspace_id = $1 and name = $2 for no key update",
);

/** Under the lock: nobody else writes this row. */
const update = sql(
  "schedules.update",
  `update rotor.schedules set queue_id = $2, cron = $3, timezone = $4, body = $5, content_type = $6, overlap = $7, catch_up = $8,
          next_at = $9 where id = $1`,
);

const list = sql(
  "schedules.list",
  `select ${scheduleColumns} from rotor.schedules schedule join rotor.queues queue on queue.id = schedule.queue_id
    where schedule.workspace_id = $1 and ($2::text is null or schedule.name = $2) and schedule.name > $3 order by schedule.name limit $4`,
);

/** Waits for a tick that is under way; what it enqueued stays. */
const remove = sql(
  "schedules.remove",
  "delete from rotor.schedules where workspace_id = $1 and name = $2 and not owned returning id",
);

/** Waits for a tick that is under way; after this there is none. */
const pause = sql(
  "schedules.pause",
  "update rotor.schedules set paused_at = coalesce(paused_at, rotor.clock()) where workspace_id = $1 and name = $2",
);

/** Under the lock. */
const resume = sql("schedules.resume", "update rotor.schedules set paused_at = null, next_at = $2 where id = $1");

const clock = sql("schedules.clock", "select rotor.clock() as now");

/** The database's time, for reckoning the next tick. */
export const readClock = async (db: Queryable): Promise<Date> => (await db.query<{ now: Date }>(clock))[0]!.now;

export const getSchedule = async (db: Queryable, workspace: string, name: string): Promise<Schedule | undefined> =>
  (await db.query<Schedule>(list, [workspace, name, "", 1]))[0];

export const listSchedules = (db: Queryable, workspace: string, after: string, limit: number): Promise<Schedule[]> =>
  db.query<Schedule>(list, [workspace, null, after, limit]);

/** False where the name is taken. The expression has been checked. */
export async function createSchedule(
  db: Queryable,
  workspace: string,
  name: string,
  settings: ScheduleSettings,
): Promise<boolean> {
  const { queueId, cron, timezone, body, contentType, overlap, catchUp } = settings;
  const nextAt = readRule(cron, timezone).after(await readClock(db));
  const values = [workspace, name, queueId, cron, timezone, body, contentType, overlap, catchUp, nextAt];
  return (await db.query(insert, values)).length > 0;
}

/** The row as it is now, locked; nothing where it is not there. */
async function locked(t: Transaction, workspace: string, name: string): Promise<Schedule | undefined> {
  if ((await t.query(lock, [workspace, name])).length === 0) return undefined;
  return getSchedule(t, workspace, name);
}

/** A tick of the rule before that is due and not made is not forgotten: the new rule is asked from before it. */
async function nextUnder(t: Transaction, rule: Pick<Schedule, "cron" | "timezone">, before: Schedule): Promise<Date> {
  const since = Math.min((await readClock(t)).getTime(), before.nextAt.getTime() - 1);
  return readRule(rule.cron, rule.timezone).after(new Date(since));
}

/** What came of a change: `owned` by a function's trigger, and only the app changes it. */
export type Changed = "changed" | "owned" | "unknown";

/** Gives a schedule these settings; what is left out stays. They have been checked. */
export const changeSchedule = (
  db: Db,
  workspace: string,
  name: string,
  changes: Partial<ScheduleSettings>,
): Promise<Changed> =>
  db.transact(async (t) => {
    const before = await locked(t, workspace, name);
    if (before === undefined) return "unknown";
    if (before.owned) return "owned";
    const { queueId, cron, timezone, body, contentType, overlap, catchUp } = { ...before, ...changes };
    const nextAt = await nextUnder(t, { cron, timezone }, before);
    await t.query(update, [before.id, queueId, cron, timezone, body, contentType, overlap, catchUp, nextAt]);
    return "changed";
  });

/** Makes a schedule, or gives an existing one all of these settings. */
export async function putSchedule(
  db: Db,
  workspace: string,
  name: string,
  settings: ScheduleSettings,
): Promise<"created" | "changed" | "owned"> {
  for (;;) {
    if (await createSchedule(db, workspace, name, settings)) return "created";
    const changed = await changeSchedule(db, workspace, name, settings);
    // Else it was deleted in between, and can be made.
    if (changed !== "unknown") return changed;
  }
}

/** A function's cron trigger: made where it is not there, else given this rule. The workspace's apps are locked. */
export async function putTrigger(
  t: Transaction,
  workspace: string,
  name: string,
  trigger: { readonly queueId: number; readonly cron: string; readonly timezone: string },
): Promise<void> {
  const { queueId, cron, timezone } = trigger;
  const nextAt = readRule(cron, timezone).after(await readClock(t));
  if ((await t.query(insertTrigger, [workspace, name, queueId, cron, timezone, nextAt])).length > 0) return;
  const before = await locked(t, workspace, name);
  if (before === undefined || (before.cron === cron && before.timezone === timezone)) return;
  const { body, contentType, overlap, catchUp } = before;
  const next = await nextUnder(t, trigger, before);
  await t.query(update, [before.id, queueId, cron, timezone, body, contentType, overlap, catchUp, next]);
}

export const deleteSchedule = async (db: Queryable, workspace: string, name: string): Promise<boolean> =>
  (await db.query(remove, [workspace, name])).length > 0;

/** No tick is made from the commit on, not even one that was due. */
export async function pauseSchedule(db: Queryable, workspace: string, name: string): Promise<void> {
  await db.query(pause, [workspace, name]);
}

/** Goes on with the next tick: what came while it was paused is not caught up. One that is not paused stays as it is. */
export const resumeSchedule = (db: Db, workspace: string, name: string): Promise<void> =>
  db.transact(async (t) => {
    const schedule = await locked(t, workspace, name);
    if (schedule === undefined || schedule.pausedAt === null) return;
    const nextAt = readRule(schedule.cron, schedule.timezone).after(await readClock(t));
    await t.query(resume, [schedule.id, nextAt]);
  });
