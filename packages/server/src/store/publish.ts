/**
 * Publishing: an event is stored, the runs that it triggers are enqueued and the waits that it ends are ended in one
 * commit. If there is more than one commit should do, the event's row keeps a cursor and a due time, and a loop goes on.
 */
import type { SendReport } from "@rotorsh/sdk/protocol";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type Match, type MatchedEvent, matches } from "../core/match.js";
import { spanOf } from "../core/trace.js";
import { keysOfEvent } from "../core/wait-key.js";
import { type Db, type Queryable, sql } from "./db.js";
import { eventName, lockNames } from "./names.js";
import { lockJobs, resume } from "./resume.js";
import type { RunContext } from "./run-context.js";
import { lookStarts, writeStarts } from "./start.js";
import { locksOf } from "./start-plan.js";
import { planTriggers } from "./triggers.js";

/** An event to be. `key` is the sender's id for it. */
export type NewEvent = {
  readonly workspace: string;
  readonly name: string;
  readonly key: string;
  readonly data: string;
  readonly tsMs?: number;
  /** W3C trace context of whoever sent it: the runs that it starts are part of that trace. */
  readonly traceparent?: string | undefined;
};

/** What became of it. `runs` are those that it started, in this commit. */
export type Published = {
  readonly id: string;
  readonly duplicate: boolean;
  readonly runs: readonly { readonly id: string; readonly function: string }[];
  readonly resumed: readonly string[];
};

/** Stores events that are new to their workspace. The clock is read under the names' locks. */
const insert = sql(
  "publish.insert",
  `insert into rotor.events (id, workspace_id, name, key, data, ts, received_at, traceparent)
   select item.id, item.workspace_id, item.name, item.key, item.data, coalesce(to_timestamp(item.ts / 1000), rotor.clock()), rotor.clock(), item.traceparent
     from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::text[]) with ordinality
       as item (id, workspace_id, name, key, data, ts, traceparent, place)
    order by item.place
   on conflict (workspace_id, key) do nothing
   returning id, received_at::text as "receivedAt", floor(extract(epoch from ts) * 1000)::float8 as ts`,
);

/** Events that were there before, with the runs that they started. */
const before = sql(
  "publish.before",
  `select event.workspace_id as workspace, event.key, event.id,
          coalesce((select json_agg(json_build_object('id', payload.job_id, 'function', queue.name))
                      from (select job_id from rotor.payloads where event_id = event.id
                            union select job_id from rotor.batched where event_id = event.id) run
                      join rotor.payloads payload on payload.job_id = run.job_id and payload.replay_of is null
                      join rotor.queues queue on queue.id = payload.queue_id), '[]') as runs
     from unnest($1::text[], $2::text[]) as item (workspace_id, key)
     join rotor.events event on event.workspace_id = item.workspace_id and event.key = item.key`,
);

/**
 * Waits under any of these keys that were stored before the event, of runs after the cursor that it has not resumed yet.
 * The waits of one run come together: which of them an event ends is decided among all of them.
 */
const waits = sql(
  "publish.waits",
  `select step.job_id as "jobId", step.key, step.wait, step.asked_at::text as "askedAt", step.asked
     from rotor.steps step
    where step.wait_key = any($1::uuid[]) and step.kind = 'event' and step.job_id > $2 and step.asked_at <= $4
      and not exists (select 1 from rotor.steps used where used.job_id = step.job_id and used.event_id = $5)
    order by step.job_id
    fetch first $3 rows with ties`,
);

/** The same, of an event with more leaves than are looked up one by one: all waits for its name. */
const allWaits = sql(
  "publish.all-waits",
  `select step.job_id as "jobId", step.key, step.wait, step.asked_at::text as "askedAt", step.asked
     from rotor.steps step
     join rotor.jobs job on job.id = step.job_id
     join rotor.queues queue on queue.id = job.queue_id and queue.workspace_id = $6
    where step.wait_key is not null and step.kind = 'event' and step.wait ->> 'event' = $1 and step.job_id > $2 and step.asked_at <= $4
      and not exists (select 1 from rotor.steps used where used.job_id = step.job_id and used.event_id = $5)
    order by step.job_id
    fetch first $3 rows with ties`,
);

const leave = sql(
  "publish.leave",
  "update rotor.events set cursor = $2, due_at = case when $2::text is null then null else rotor.clock() end where id = $1",
);

/** Fan-outs that are not finished; whoever takes one holds its row. */
const unfinished = sql(
  "publish.unfinished",
  `select id, workspace_id as workspace, name, key, data, received_at::text as "receivedAt", floor(extract(epoch from ts) * 1000)::float8 as ts, cursor
     from rotor.events where due_at <= rotor.clock() order by due_at limit 1 for no key update skip locked`,
);

type Stored = NewEvent & { readonly id: string; readonly receivedAt: string; readonly matched: MatchedEvent };
type Wait = {
  readonly jobId: string;
  readonly key: string;
  readonly wait: Match;
  readonly askedAt: string;
  readonly asked: number;
};

/** Publishes all of these events, or none. Answers in order. */
export const publish = async (db: Db, events: readonly NewEvent[]): Promise<Published[]> =>
  events.length === 0 ? [] : db.transact((t) => publishIn(t, db.schema, events));

/** The same in the caller's transaction, which has locked nothing yet that others stand in line for. */
export async function publishIn(t: Queryable, schema: string, events: readonly NewEvent[]): Promise<Published[]> {
  if (events.length === 0) return [];
  const ids = events.map(() => newId());
  const { triggered, tsMs } = await planTriggers(
    t,
    events.map((event, index) => ({ ...event, id: ids[index]! })),
  );
  const locked = lockNames(t, [
    ...events.map((event) => ({ name: eventName(schema, event.workspace, event.name), exclusive: true })),
    ...locksOf(
      schema,
      triggered.map(({ plan }) => plan),
    ),
  ]);
  // Sent together with its locks, behind them.
  const inserting = t.query<{ id: string; receivedAt: string; ts: number }>(insert, [
    ids,
    events.map((event) => event.workspace),
    events.map((event) => event.name),
    events.map((event) => event.key),
    events.map((event) => event.data),
    events.map((event, index) => tsMs.get(ids[index]!) ?? event.tsMs ?? null),
    events.map((event) => event.traceparent ?? null),
  ]);
  const [inserted] = await Promise.all([inserting, locked]);
  const rows = new Map(inserted.map((row) => [row.id, row]));
  const fresh = events.flatMap((event, index): Stored[] => {
    const row = rows.get(ids[index]!);
    if (row === undefined) return [];
    return [
      {
        ...event,
        id: row.id,
        receivedAt: row.receivedAt,
        matched: { id: event.key, name: event.name, data: JSON.parse(event.data), ts: row.ts },
      },
    ];
  });
  const starting = triggered.filter(({ eventId }) => rows.has(eventId));
  const plans = starting.map(({ plan }) => plan);
  const looked = await lookStarts(t, plans);
  const resumed = new Map<string, string[]>();
  const found = await Promise.all(fresh.map((event) => findWaits(t, event, FIRST, "infinity")));
  // All rows at once, in order of their ids, whichever event they are for.
  await lockRows(t, [...found.flatMap(runsOf), ...looked.rows]);
  for (const [index, event] of fresh.entries()) {
    resumed.set(event.id, await endWaitsWith(t, event, found[index]!));
    if (found[index]!.cursor !== null) await t.query(leave, [event.id, found[index]!.cursor]);
  }
  // Last, since it may take keys.
  const started = await writeStarts(t, plans, looked);
  const runs = new Map<string, { id: string; function: string }[]>();
  for (const [index, { eventId, function: name }] of starting.entries()) {
    const answer = started[index]!;
    if (answer.kind !== "skipped") runs.set(eventId, [...(runs.get(eventId) ?? []), { id: answer.id, function: name }]);
  }
  const others = events.filter((_, index) => !rows.has(ids[index]!));
  const first =
    others.length === 0
      ? []
      : await t.query<{ workspace: string; key: string; id: string; runs: { id: string; function: string }[] }>(
          before,
          [others.map((event) => event.workspace), others.map((event) => event.key)],
        );
  const known = new Map(first.map((row) => [`${row.workspace}/${row.key}`, row]));
  return events.map((event, index): Published => {
    const id = ids[index]!;
    if (rows.has(id))
      return {
        id,
        duplicate: false,
        runs: runs.get(id) ?? [],
        resumed: resumed.get(id) ?? [],
      };
    const earlier = known.get(`${event.workspace}/${event.key}`);
    return { id: earlier?.id ?? id, duplicate: true, runs: earlier?.runs ?? [], resumed: [] };
  });
}

/** One bounded step of an unfinished fan-out. False if there is none. The name is locked: no wait is being stored meanwhile. */
export async function publishRest(db: Db): Promise<boolean> {
  return db.transact(async (t) => {
    const [row] = await t.query<{
      id: string;
      workspace: string;
      name: string;
      key: string;
      data: string;
      receivedAt: string;
      ts: number;
      cursor: string;
    }>(unfinished);
    if (row === undefined) return false;
    const event: Stored = { ...row, matched: { id: row.key, name: row.name, data: JSON.parse(row.data), ts: row.ts } };
    await lockNames(t, [{ name: eventName(db.schema, event.workspace, event.name), exclusive: true }]);
    const found = await findWaits(t, event, row.cursor, event.receivedAt);
    await lockRows(t, runsOf(found));
    await endWaitsWith(t, event, found);
    await t.query(leave, [event.id, found.cursor]);
    return true;
  });
}

/** Publishes what a step sends. Ids are made from run and step, so that a repetition is the same event. */
export async function sendReported(
  db: Db,
  { workspace, jobId, traceparent }: RunContext,
  report: SendReport,
): Promise<string> {
  const events = report.events.map((event, index) => ({
    workspace,
    name: event.name,
    key: event.id ?? `rotor:step:${jobId}/${report.key}/${index}`,
    data: JSON.stringify(event.data ?? null),
    tsMs: event.ts,
    traceparent: spanOf(traceparent, jobId),
  }));
  const published = await publish(db, events);
  // Known by the id under which the API shows it, which is its sender's.
  return JSON.stringify({
    events: published.map(({ runs }, index) => ({ id: events[index]!.key, runs: runs.map((run) => run.id) })),
  });
}

/** `cursor`: the last run that was looked at; null where there are no more. */
type Found = { readonly chosen: readonly Wait[]; readonly cursor: string | null };

/** Before all runs. */
const FIRST = "00000000-0000-0000-0000-000000000000";

/** The waits stored until then that this event may end: keyed look-up, then the whole condition. */
async function findWaits(t: Queryable, event: Stored, cursor: string, until: string): Promise<Found> {
  const keys = keysOfEvent(event.workspace, event.name, event.matched.data);
  const rest = [cursor, limits.effects, until, event.id];
  const rows =
    keys === undefined
      ? await t.query<Wait>(allWaits, [event.name, ...rest, event.workspace])
      : await t.query<Wait>(waits, [keys, ...rest]);
  const cursorAfter = rows.length < limits.effects ? null : rows.at(-1)!.jobId;
  return { chosen: rows.filter((row) => matches(row.wait, event.matched)), cursor: cursorAfter };
}

const runsOf = (found: Found): string[] => found.chosen.map((wait) => wait.jobId);

const lockRows = async (t: Queryable, ids: readonly string[]): Promise<void> => {
  if (ids.length > 0) await t.query(lockJobs, [[...new Set(ids)]]);
};

/**
 * In a run, an event ends one wait: the one stored last, and of those stored together the first in the order of the
 * code. Where that one is past due by the clock, the next.
 */
async function endWaitsWith(t: Queryable, event: Stored, found: Found): Promise<string[]> {
  const resumed: string[] = [];
  let left = [...found.chosen].sort((a, b) =>
    a.askedAt === b.askedAt ? a.asked - b.asked : a.askedAt < b.askedAt ? 1 : -1,
  );
  while (left.length > 0) {
    const perRun = new Map<string, Wait>();
    for (const wait of left) if (!perRun.has(wait.jobId)) perRun.set(wait.jobId, wait);
    const ended = await resume(
      t,
      [...perRun.values()].map((wait) => ({
        jobId: wait.jobId,
        key: wait.key,
        state: "completed",
        output: event.data,
        error: null,
        eventId: event.id,
        endedAt: event.receivedAt,
      })),
    );
    resumed.push(...ended);
    const done = new Set(ended);
    left = left.filter((wait) => !done.has(wait.jobId) && perRun.get(wait.jobId) !== wait);
  }
  return resumed;
}
