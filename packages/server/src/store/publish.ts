/**
 * Publishing: an event is stored, the runs that it triggers are enqueued, and what it ends is ended in one commit. If there
 * is more than one commit should do, the event's row keeps a cursor and a due time, and a loop goes on. An event of a
 * later time is stored, and published by that loop when it is due: until then nobody but lists sees it.
 */
import type { SendReport, WireError } from "@rotorsh/sdk/protocol";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { spanOf } from "../core/trace.js";
import { type Db, type Queryable, sql } from "./db.js";
import { type Ended, endAll, FIRST, type Found, findEnds, type StoredEvent } from "./event-ends.js";
import { eventName, lockNames } from "./names.js";
import { partsOf } from "./publish-parts.js";
import type { RunContext } from "./run-context.js";
import { lookStarts, writeStarts } from "./start.js";
import { locksOf } from "./start-plan.js";
import { type Coming, planTriggers, type Triggered } from "./triggers.js";

/** An event to be. `key` is the sender's id for it. */
export type NewEvent = {
  readonly workspace: string;
  readonly name: string;
  readonly key: string;
  readonly data: string;
  /** The sender's time; where it is still to come, the event is published then. */
  readonly tsMs?: number;
  /** W3C trace context of whoever sent it: the runs that it starts are part of that trace. */
  readonly traceparent?: string | undefined;
  readonly tags?: readonly string[];
};

/** What became of it. `runs` are those that it started, in this commit. */
export type Published = {
  readonly id: string;
  readonly duplicate: boolean;
  readonly runs: readonly { readonly id: string; readonly function: string }[];
  readonly resumed: readonly string[];
  readonly cancelled: readonly string[];
  /** When it is published; null: it is. */
  readonly dueAt: Date | null;
  /** Something was stored that waited for an event of this name, and might have met this one. */
  readonly heard: boolean;
};

/** Stores events that are new to their workspace. The clock is read under the names' locks. */
const insert = sql(
  "publish.insert",
  `insert into rotor.events (id, workspace_id, name, key, data, ts, received_at, due_at, tags, traceparent)
   select item.id, item.workspace_id, item.name, item.key, item.data, coalesce(item.ts, clock.now),
          case when item.ts > clock.now + $9 * interval '1 millisecond' then 'infinity' else clock.now end,
          case when item.ts > clock.now + $9 * interval '1 millisecond' then item.ts end,
          array(select jsonb_array_elements_text(item.tags::jsonb)), item.traceparent
     from (select rotor.clock() as now) clock,
          (select id, workspace_id, name, key, data, to_timestamp(ts / 1000) as ts, tags, traceparent, place
             from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::text[], $8::text[]) with ordinality
               as item (id, workspace_id, name, key, data, ts, tags, traceparent, place)) item
    order by item.place
   on conflict (workspace_id, key) do nothing
   returning id, received_at::text as "receivedAt", due_at as "dueAt", floor(extract(epoch from ts) * 1000)::float8 as ts,
             ts > rotor.clock() + $10 * interval '1 millisecond' as far`,
);

/** An event for a time that is too far ahead: nothing was published. */
export class EventTooFarError extends Error {
  override readonly name = "EventTooFarError";
  /** `index`: its place among those that were to be published. */
  constructor(readonly index: number) {
    super(`its time is more than ${limits.delayMs / 86_400_000} days ahead; use a schedule, or send it later`);
  }
}

/** Events that were there before, with the runs that they started. */
const before = sql(
  "publish.before",
  `select event.workspace_id as workspace, event.key, event.id,
          case when event.received_at = 'infinity' then event.due_at end as "dueAt",
          coalesce((select json_agg(json_build_object('id', payload.job_id, 'function', queue.name))
                      from (select job_id from rotor.payloads where event_id = event.id
                            union select job_id from rotor.batched where event_id = event.id) run
                      join rotor.payloads payload on payload.job_id = run.job_id and payload.replay_of is null
                      join rotor.queues queue on queue.id = payload.queue_id), '[]') as runs
     from unnest($1::text[], $2::text[]) as item (workspace_id, key)
     join rotor.events event on event.workspace_id = item.workspace_id and event.key = item.key`,
);

type Before = {
  readonly workspace: string;
  readonly key: string;
  readonly id: string;
  readonly dueAt: Date | null;
  readonly runs: readonly { readonly id: string; readonly function: string }[];
};

const leave = sql(
  "publish.leave",
  "update rotor.events set cursor = $2, due_at = case when $2::text is null then null else rotor.clock() end where id = $1",
);

/** Events that are due, and fan-outs that are not finished; whoever takes one holds its row. */
const unfinished = sql(
  "publish.unfinished",
  `select id, workspace_id as workspace, name, key, data, received_at::text as "receivedAt", floor(extract(epoch from ts) * 1000)::float8 as ts, cursor, traceparent
     from rotor.events where due_at <= rotor.clock() order by due_at limit 1 for no key update skip locked`,
);

/** An event of a later time comes: now, by the clock, under its name's lock. */
const receive = sql(
  "publish.receive",
  `update rotor.events set received_at = rotor.clock() where id = $1 and received_at = 'infinity'
   returning received_at::text as "receivedAt"`,
);

const nextDue = sql(
  "publish.next-due",
  "select (extract(epoch from min(due_at) - rotor.clock()) * 1000)::float8 as ms from rotor.events where due_at is not null",
);

/** Milliseconds until an event has effects left to come; undefined where none has. */
export const untilNextEvent = async (db: Queryable): Promise<number | undefined> =>
  (await db.query<{ ms: number | null }>(nextDue))[0]?.ms ?? undefined;

type Inserted = {
  readonly id: string;
  readonly receivedAt: string;
  readonly dueAt: Date | null;
  readonly ts: number;
  readonly far: boolean;
};

/**
 * Publishes all of these events, or none. Answers in order.
 * @throws EventTooFarError where one is for a time that is too far ahead.
 */
export const publish = async (db: Db, events: readonly NewEvent[]): Promise<Published[]> =>
  events.length === 0 ? [] : db.transact((t) => publishIn(t, db.schema, events), "hot");

/** The same in the caller's transaction, which has locked nothing yet that others stand in line for. */
export async function publishIn(t: Queryable, schema: string, events: readonly NewEvent[]): Promise<Published[]> {
  if (events.length === 0) return [];
  const coming = events.map((event) => ({ ...event, id: newId() }));
  const { triggered, tsMs } = await planTriggers(t, coming);
  const parts = partsOf(coming, triggered);
  const locked = lockNames(t, [
    ...events.map((event) => ({ name: eventName(schema, event.workspace, event.name), exclusive: true })),
    ...locksOf(
      schema,
      triggered.map(({ plan }) => plan),
    ),
  ]);
  const published: Published[] = [];
  for (const part of parts) {
    const of = new Set(part.map((event) => event.id));
    const starting = triggered.filter(({ eventId }) => of.has(eventId));
    published.push(...(await publishPart(t, part, { triggered: starting, tsMs, locked, from: published.length })));
  }
  return published;
}

type Planned = Awaited<ReturnType<typeof planTriggers>> & {
  /** The names, which are being locked. */
  readonly locked: Promise<unknown>;
  /** Place of the first one in the whole list. */
  readonly from: number;
};

/** Stores these events, and what follows from them; of the events before them in the list it has come already. */
async function publishPart(
  t: Queryable,
  events: readonly (NewEvent & Coming)[],
  { triggered, tsMs, locked, from }: Planned,
): Promise<Published[]> {
  // The first part is sent together with the locks, behind them.
  const inserting = t.query<Inserted>(insert, [
    events.map((event) => event.id),
    events.map((event) => event.workspace),
    events.map((event) => event.name),
    events.map((event) => event.key),
    events.map((event) => event.data),
    events.map((event) => tsMs.get(event.id) ?? event.tsMs ?? null),
    events.map((event) => (event.tags?.length ? JSON.stringify(event.tags) : null)),
    events.map((event) => event.traceparent ?? null),
    limits.clockSkewMs,
    limits.delayMs,
  ]);
  const [inserted] = await Promise.all([inserting, locked]);
  const rows = new Map(inserted.map((row) => [row.id, row]));
  const far = events.findIndex(({ id }) => rows.get(id)?.far === true);
  if (far !== -1) throw new EventTooFarError(from + far);
  const fresh = events.flatMap((event): StoredEvent[] => {
    const row = rows.get(event.id);
    return row === undefined || row.dueAt !== null ? [] : [stored(event, row)];
  });
  // What is still to come starts its runs when it does.
  const starting = triggered.filter(({ eventId }) => rows.get(eventId)?.dueAt === null);
  const found = await Promise.all(fresh.map((event) => findEnds(t, event, FIRST, "infinity")));
  const { ended, runs } = await takeEffect(
    t,
    fresh.map((event, index) => ({ event, found: found[index]! })),
    starting,
    true,
  );
  for (const [index, event] of fresh.entries())
    if (found[index]!.cursor !== null) await t.query(leave, [event.id, found[index]!.cursor]);
  const endedBy = new Map(fresh.map((event, index) => [event.id, { ...ended[index]!, heard: found[index]!.heard }]));
  const others = events.filter(({ id }) => !rows.has(id));
  const first =
    others.length === 0
      ? []
      : await t.query<Before>(before, [others.map((event) => event.workspace), others.map((event) => event.key)]);
  const known = new Map(first.map((row) => [`${row.workspace}/${row.key}`, row]));
  const nothing = { resumed: [], cancelled: [], heard: false };
  return events.map((event): Published => {
    const { id } = event;
    const row = rows.get(id);
    if (row !== undefined)
      return { id, duplicate: false, runs: runs.get(id) ?? [], ...(endedBy.get(id) ?? nothing), dueAt: row.dueAt };
    const earlier = known.get(`${event.workspace}/${event.key}`);
    return {
      id: earlier?.id ?? id,
      duplicate: true,
      runs: earlier?.runs ?? [],
      ...nothing,
      dueAt: earlier?.dueAt ?? null,
    };
  });
}

/** A row of an event, and what conditions see of it. */
const stored = (
  event: Omit<StoredEvent, "id" | "receivedAt" | "matched">,
  row: { readonly id: string; readonly receivedAt: string; readonly ts: number },
): StoredEvent => ({
  id: row.id,
  workspace: event.workspace,
  name: event.name,
  key: event.key,
  data: event.data,
  receivedAt: row.receivedAt,
  matched: { id: event.key, name: event.name, data: JSON.parse(event.data), ts: row.ts },
});

/**
 * Publishes one event that is due, or takes one bounded step of an unfinished fan-out. False if there is none. The name is
 * locked: no wait is being stored meanwhile.
 */
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
      cursor: string | null;
      traceparent: string | null;
    }>(unfinished);
    if (row === undefined) return false;
    const isComing = row.receivedAt === "infinity";
    const { triggered } = isComing
      ? await planTriggers(t, [{ ...row, tsMs: row.ts, traceparent: row.traceparent ?? undefined }])
      : { triggered: [] };
    await lockNames(t, [
      { name: eventName(db.schema, row.workspace, row.name), exclusive: true },
      ...locksOf(
        db.schema,
        triggered.map(({ plan }) => plan),
      ),
    ]);
    const [received] = isComing ? await t.query<{ receivedAt: string }>(receive, [row.id]) : [];
    const event = stored(row, { ...row, ...received });
    const found = await findEnds(t, event, row.cursor ?? FIRST, isComing ? "infinity" : event.receivedAt);
    await takeEffect(t, [{ event, found }], triggered, isComing);
    await t.query(leave, [event.id, found.cursor]);
    return true;
  });
}

/**
 * Publishes what a step sends. Ids are made from run and step, so that a repetition is the same event. Answers the step's
 * output, as JSON text, or why it fails.
 */
export async function sendReported(
  db: Db,
  { workspace, jobId, traceparent }: RunContext,
  report: SendReport,
): Promise<string | WireError> {
  const events = report.events.map((event, index) => ({
    workspace,
    name: event.name,
    key: event.id ?? `rotor:step:${jobId}/${report.key}/${index}`,
    data: JSON.stringify(event.data ?? null),
    tsMs: event.ts,
    tags: event.tags,
    traceparent: spanOf(traceparent, jobId),
  }));
  try {
    const published = await publish(db, events);
    // Known by the id under which the API shows it, which is its sender's.
    return JSON.stringify({
      events: published.map(({ runs }, index) => ({ id: events[index]!.key, runs: runs.map((run) => run.id) })),
    });
  } catch (error) {
    if (!(error instanceof EventTooFarError)) throw error;
    const { name } = events[error.index]!;
    return { name: error.name, message: `The event ${name}: ${error.message}.` };
  }
}

/**
 * Ends what these events met, and starts what they trigger; all rows of jobs are locked at once, in the order of their ids.
 * The runs that were started, by event.
 */
async function takeEffect(
  t: Queryable,
  met: readonly { readonly event: StoredEvent; readonly found: Found }[],
  starting: readonly Triggered[],
  isComing: boolean,
): Promise<{ readonly ended: readonly Ended[]; readonly runs: ReadonlyMap<string, Published["runs"]> }> {
  const plans = starting.map(({ plan }) => plan);
  const looked = await lookStarts(t, plans);
  const ended = await endAll(t, met, looked.rows, isComing);
  // Last, since it may take keys.
  const started = await writeStarts(t, plans, looked);
  const runs = new Map<string, Published["runs"]>();
  for (const [index, { eventId, function: name }] of starting.entries()) {
    const answer = started[index]!;
    if (answer.kind !== "skipped") runs.set(eventId, [...(runs.get(eventId) ?? []), { id: answer.id, function: name }]);
  }
  return { ended, runs };
}
