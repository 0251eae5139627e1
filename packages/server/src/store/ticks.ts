/**
 * Ticks: what is due by the clock is enqueued once, on any number of nodes, since moving `next_at` on and enqueueing are
 * one commit. Which of the due ticks are made is decided in `core/schedule.ts`.
 */

import type { StartOptions } from "@rotorsh/sdk/protocol";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { decideTicks, type Ticking } from "../core/schedule.js";
import { isZone } from "../core/schedule-clock.js";
import { type Db, type Queryable, sql, type Transaction } from "./db.js";
import type { NewJob } from "./enqueue.js";
import { readClock, type Schedule, scheduleColumns } from "./schedules.js";
import { startIn } from "./start.js";
import type { Start } from "./start-plan.js";

/** What is due, locked; what another node or a change has in hand is left to it. A zone that this node does not know is, too. */
const due = sql(
  "ticks.due",
  `select id, octet_length(body) as bytes from rotor.schedules
    where paused_at is null and next_at <= rotor.clock() and timezone <> all ($1::text[])
    order by next_at limit $2 for no key update skip locked`,
);

/** Locked before: nothing of this changes any more, but for the jobs, each of which has been finished or not. */
const load = sql(
  "ticks.load",
  `select ${scheduleColumns}, queue.starting,
          exists (select from rotor.jobs job where job.id = schedule.last_job_id and job.due_at is not null) as busy
     from rotor.schedules schedule join rotor.queues queue on queue.id = schedule.queue_id
    where schedule.id = any($1::int[]) and schedule.paused_at is null and schedule.next_at <= rotor.clock()
    order by schedule.next_at`,
);

/** Only from the tick that was seen: who comes second moves nothing, and enqueues nothing. */
const advance = sql(
  "ticks.advance",
  `update rotor.schedules schedule
      set next_at = item.next_at, last_at = coalesce(item.last_at, schedule.last_at),
          skipped = schedule.skipped + item.skipped, skipped_at = coalesce(item.skipped_at, schedule.skipped_at),
          missed = schedule.missed + item.missed, missed_at = coalesce(item.missed_at, schedule.missed_at)
     from unnest($1::int[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::int[], $6::timestamptz[], $7::int[], $8::timestamptz[])
       as item (id, seen_at, next_at, last_at, skipped, skipped_at, missed, missed_at)
    where schedule.id = item.id and schedule.next_at = item.seen_at
   returning schedule.id`,
);

const note = sql(
  "ticks.note",
  `update rotor.schedules schedule set last_job_id = item.job_id from unnest($1::int[], $2::uuid[]) as item (id, job_id)
    where schedule.id = item.id`,
);

const untilNext = sql(
  "ticks.until",
  `select (extract(epoch from min(next_at) - rotor.clock()) * 1000)::float8 as ms from rotor.schedules
    where paused_at is null and timezone <> all ($1::text[])`,
);

/** Zones that other nodes know and this one does not: its time zone data is older. */
const unknownZones = new Set<string>();

/** Milliseconds until the next tick of any schedule; undefined without one. */
export const untilNextTick = async (db: Queryable): Promise<number | undefined> =>
  (await db.query<{ ms: number | null }>(untilNext, [[...unknownZones]]))[0]?.ms ?? undefined;

/** What one schedule did. */
export type Ticked = Pick<Ticking, "skipped" | "missed"> & {
  readonly workspace: string;
  readonly schedule: string;
  /** Of the ticks that were made, oldest first. */
  readonly jobIds: readonly string[];
};

type Due = Schedule & { readonly busy: boolean; readonly starting: StartOptions };
type Decided = { readonly schedule: Due; readonly ticking: Ticking };

/** Makes ticks that are due; what there was no room for is due still. */
export const tick = (db: Db): Promise<Ticked[]> =>
  db.transact(async (t) => {
    const rows = await t.query<{ id: number; bytes: number }>(due, [[...unknownZones], limits.ticks]);
    if (rows.length === 0) return [];
    const loaded = await t.query<Due>(load, [firstOf(rows)]);
    const now = await readClock(t);
    let bytes: number = limits.tickBytes;
    const decided: Decided[] = [];
    for (const schedule of loaded) {
      if (!isZone(schedule.timezone)) {
        unknownZones.add(schedule.timezone);
        continue;
      }
      const each = costOf(schedule.body.byteLength);
      const ticking = decideTicks(schedule, now, Math.max(1, Math.floor(bytes / each)));
      bytes -= ticking.made.length * each;
      decided.push({ schedule, ticking });
    }
    return write(t, db.schema, decided);
  });

/** Of jobs with little payload, too, one transaction shall enqueue no more than a batch. */
const costOf = (bytes: number): number => Math.max(bytes, limits.tickBytes / limits.batch);

/** The first of the schedules that are due, as many as one tick each leaves room for; always one. */
function firstOf(rows: readonly { id: number; bytes: number }[]): number[] {
  const ids: number[] = [];
  let room: number = limits.tickBytes;
  for (const { id, bytes } of rows) {
    room -= costOf(bytes);
    if (room < 0 && ids.length > 0) break;
    ids.push(id);
  }
  return ids;
}

async function write(t: Transaction, schema: string, decided: readonly Decided[]): Promise<Ticked[]> {
  const moved = await t.query<{ id: number }>(advance, [
    decided.map(({ schedule }) => schedule.id),
    decided.map(({ schedule }) => schedule.nextAt.toISOString()),
    decided.map(({ ticking }) => ticking.nextAt.toISOString()),
    decided.map(({ ticking }) => ticking.made.at(-1)?.toISOString() ?? null),
    decided.map(({ ticking }) => ticking.skipped?.count ?? 0),
    decided.map(({ ticking }) => ticking.skipped?.at.toISOString() ?? null),
    decided.map(({ ticking }) => ticking.missed?.count ?? 0),
    decided.map(({ ticking }) => ticking.missed?.at.toISOString() ?? null),
  ]);
  const ids = new Set(moved.map(({ id }) => id));
  const ready = decided.filter(({ schedule }) => ids.has(schedule.id));
  const starts = ready.flatMap(({ schedule, ticking }) => ticking.made.map((at) => startOf(schedule, at)));
  const started = (await startIn(t, schema, starts)).values();
  const ticked = ready.map(({ schedule, ticking: { made, skipped, missed } }) => ({
    id: schedule.id,
    workspace: schedule.workspace,
    schedule: schedule.name,
    skipped,
    missed,
    // A tick that its function's singleton does not let start is made, and starts nothing.
    jobIds: made.flatMap(() => {
      const answer = started.next().value!;
      return answer.kind === "skipped" ? [] : [answer.id];
    }),
  }));
  const last = ticked.filter(({ jobIds }) => jobIds.length > 0);
  if (last.length > 0) await t.query(note, [last.map(({ id }) => id), last.map(({ jobIds }) => jobIds.at(-1)!)]);
  return ticked.map(({ id: _, ...each }) => each);
}

const startOf = (schedule: Due, at: Date): Start => {
  const { queueId, workspace, starting } = schedule;
  const job = jobOf(schedule, at);
  return schedule.kind === "function" ? { to: { queueId, workspace, starting }, job } : { job };
};

/** The job of a tick. Its key names the tick, so that even a clock set back enqueues it once. */
const jobOf = (schedule: Schedule, at: Date): NewJob => ({
  id: newId(),
  queueId: schedule.queueId,
  key: `rotor:tick:${schedule.id}/${at.toISOString()}`,
  runAt: at.toISOString(),
  ...scheduledJob(schedule, at),
});

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
