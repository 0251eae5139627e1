/** Schedules: a tick enqueues once, on any number of nodes, since moving `next_at` on and enqueueing are one commit. */
import { nextTick } from "../core/cron.js";
import { newId } from "../core/ids.js";
import { type Db, type Queryable, sql } from "./db.js";
import { enqueue } from "./enqueue.js";

export type ScheduleSettings = {
  readonly queueId: number;
  readonly cron: string;
  readonly timezone: string;
  readonly body: Buffer;
  readonly contentType: string;
};

export type Schedule = ScheduleSettings & {
  readonly id: number;
  readonly workspace: string;
  readonly name: string;
  readonly queue: string;
  readonly kind: "callback" | "function";
  readonly owned: boolean;
  readonly pausedAt: Date | null;
  readonly nextAt: Date;
  readonly lastAt: Date | null;
};

const columns = `schedule.id, schedule.workspace_id as workspace, schedule.name, schedule.queue_id as "queueId", queue.name as queue, queue.kind,
  schedule.cron, schedule.timezone, schedule.body, schedule.content_type as "contentType", schedule.owned,
  schedule.paused_at as "pausedAt", schedule.next_at as "nextAt", schedule.last_at as "lastAt"`;

/** No row: the name is taken. */
const insert = sql(
  "schedules.insert",
  `insert into rotor.schedules (workspace_id, name, queue_id, cron, timezone, body, content_type, next_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (workspace_id, name) do nothing returning id`,
);

const update = sql(
  "schedules.update",
  `update rotor.schedules set queue_id = $3, cron = $4, timezone = $5, body = $6, content_type = $7, next_at = $8
    where workspace_id = $1 and name = $2 and not owned returning id`,
);

const list = sql(
  "schedules.list",
  `select ${columns} from rotor.schedules schedule join rotor.queues queue on queue.id = schedule.queue_id
    where schedule.workspace_id = $1 and ($2::text is null or schedule.name = $2) and schedule.name > $3 order by schedule.name limit $4`,
);

const remove = sql(
  "schedules.remove",
  "delete from rotor.schedules where workspace_id = $1 and name = $2 and not owned returning id",
);

/** Going on after a pause begins with the next tick: what was missed while paused is not caught up. */
const pause = sql(
  "schedules.pause",
  `update rotor.schedules set paused_at = case when $3 then coalesce(paused_at, rotor.clock()) end, next_at = coalesce($4, next_at)
    where workspace_id = $1 and name = $2 returning id`,
);

const clock = sql("schedules.clock", "select rotor.clock() as now");

/** The database's time, for reckoning the next tick. */
export const readClock = async (db: Queryable): Promise<Date> => (await db.query<{ now: Date }>(clock))[0]!.now;

async function next(db: Queryable, cron: string, timezone: string): Promise<Date> {
  const tick = nextTick(cron, timezone, await readClock(db));
  if (tick === undefined) throw new Error(`cron ${cron} never comes`);
  return tick;
}

/** False where the name is taken (create), or unknown (update). The expression has been checked. */
export async function writeSchedule(
  db: Queryable,
  workspace: string,
  name: string,
  settings: ScheduleSettings,
  mode: "create" | "update",
): Promise<boolean> {
  const nextAt = await next(db, settings.cron, settings.timezone);
  const rows = await db.query(mode === "create" ? insert : update, [
    workspace,
    name,
    settings.queueId,
    settings.cron,
    settings.timezone,
    settings.body,
    settings.contentType,
    nextAt,
  ]);
  return rows.length > 0;
}

export const getSchedule = async (db: Queryable, workspace: string, name: string): Promise<Schedule | undefined> =>
  (await db.query<Schedule>(list, [workspace, name, "", 1]))[0];

export const listSchedules = (db: Queryable, workspace: string, after: string, limit: number): Promise<Schedule[]> =>
  db.query<Schedule>(list, [workspace, null, after, limit]);

export const deleteSchedule = async (db: Queryable, workspace: string, name: string): Promise<boolean> =>
  (await db.query(remove, [workspace, name])).length > 0;

export async function pauseSchedule(db: Queryable, schedule: Schedule, paused: boolean): Promise<void> {
  const nextAt = paused ? null : await next(db, schedule.cron, schedule.timezone);
  await db.query(pause, [schedule.workspace, schedule.name, paused, nextAt]);
}

const due = sql(
  "schedules.due",
  `select ${columns} from rotor.schedules schedule join rotor.queues queue on queue.id = schedule.queue_id
    where schedule.paused_at is null and schedule.next_at <= rotor.clock()
    order by schedule.next_at limit 100 for no key update of schedule skip locked`,
);

const advance = sql(
  "schedules.advance",
  "update rotor.schedules set next_at = $3, last_at = next_at where id = $1 and next_at = $2 returning id",
);

const untilNext = sql(
  "schedules.until",
  `select (extract(epoch from min(next_at) - rotor.clock()) * 1000)::float8 as ms from rotor.schedules where paused_at is null`,
);

/** Milliseconds until the next tick of any schedule; undefined without one. */
export const untilNextTick = async (db: Queryable): Promise<number | undefined> =>
  (await db.query<{ ms: number | null }>(untilNext))[0]?.ms ?? undefined;

/**
 * Ticks what is due: one job for the tick in hand; of further ticks missed meanwhile none is caught up. Answers the
 * jobs. The job's key names the tick, so that even a clock set back enqueues it once.
 */
export async function tick(db: Db): Promise<{ schedule: string; jobId: string }[]> {
  return db.transact(async (t) => {
    const rows = await t.query<Schedule>(due);
    if (rows.length === 0) return [];
    const now = await readClock(t);
    const ready: { schedule: Schedule; at: Date }[] = [];
    for (const schedule of rows) {
      // A calendar of the future may have no further tick: a year later it is looked at again.
      const following = nextTick(schedule.cron, schedule.timezone, now) ?? new Date(now.getTime() + 366 * 86_400_000);
      if ((await t.query(advance, [schedule.id, schedule.nextAt, following])).length > 0)
        ready.push({ schedule, at: schedule.nextAt });
    }
    const jobs = await enqueue(
      t,
      ready.map(({ schedule, at }) => ({
        id: newId(),
        queueId: schedule.queueId,
        key: `rotor:tick:${schedule.id}/${at.toISOString()}`,
        ...scheduledJob(schedule, at),
      })),
    );
    return ready.map(({ schedule }, index) => ({ schedule: schedule.name, jobId: jobs[index]!.id }));
  });
}

/** A function's run gets an event; a callback its payload. */
export function scheduledJob(schedule: Schedule, at: Date): { body: Buffer; contentType: string } {
  if (schedule.kind === "callback") return { body: schedule.body, contentType: schedule.contentType };
  const event = {
    id: `${schedule.name}/${at.toISOString()}`,
    name: "rotor/schedule.ticked",
    data: JSON.parse(schedule.body.toString() || "null"),
    ts: at.getTime(),
  };
  return { body: Buffer.from(JSON.stringify(event)), contentType: "application/json" };
}
