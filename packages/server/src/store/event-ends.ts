/**
 * What an event ends: waits, parts of waits, and runs that it cancels. Found by the keys under which they are stored,
 * tested against their whole conditions, then ended under the locks of their rows. The event's name is locked.
 */
import { limits } from "../core/limits.js";
import { type Match, type MatchedEvent, matches } from "../core/match.js";
import { partOutput } from "../core/parts.js";
import { keysOfEvent } from "../core/wait-key.js";
import { cancelLocked, familyOf, type Moved } from "./control.js";
import { type Queryable, sql } from "./db.js";
import { grantTurns } from "./keys.js";
import { endWaits, lockJobs, type WaitEnd, wakeRuns } from "./resume.js";

/** An event as it is stored. */
export type StoredEvent = {
  readonly id: string;
  readonly workspace: string;
  readonly name: string;
  /** The sender's id for it. */
  readonly key: string;
  /** JSON text. */
  readonly data: string;
  readonly receivedAt: string;
  readonly matched: MatchedEvent;
};

/** A wait, a part of one by its name, or, where `key` is empty, a run that is cancelled. */
type Met = {
  readonly jobId: string;
  readonly key: string;
  readonly part: string | null;
  readonly wait: Match;
  readonly askedAt: string;
  readonly asked: number;
  readonly place: number;
};

const columns = `"jobId", key, part, wait, "askedAt", asked, place`;
const ofSteps = `select step.job_id as "jobId", step.key, null as part, step.wait, step.asked_at::text as "askedAt", step.asked, 0 as place
       from rotor.steps step`;
const ofWatches = `select watch.job_id, watch.key, watch.name, watch.wait, watch.asked_at::text, watch.asked, watch.place
       from rotor.watches watch`;
const unused = "not exists (select 1 from rotor.steps used where used.job_id = step.job_id and used.event_id = $5)";

/**
 * What is stored under any of these keys and was there before the event, of runs after the cursor: waits of runs that the
 * event has not resumed yet, and watches that still hold. All that is of one run comes together: what an event does to a
 * run is decided among all of it. This is planned for each event: what of the watches takes a join is another statement's.
 */
const byKeys = sql(
  "event-ends.by-keys",
  `select ${columns} from (
     ${ofSteps}
      where step.wait_key = any($1::uuid[]) and step.kind = 'event' and step.job_id > $2 and step.asked_at <= $4 and ${unused}
      union all
     ${ofWatches}
      where watch.wait_key = any($1::uuid[]) and watch.kind = 'event' and watch.job_id > $2 and watch.asked_at <= $4
        and (watch.until is null or watch.until > $6::timestamptz)
   ) met
    order by "jobId"
    fetch first $3 rows with ties`,
);

const ofWorkspace = (table: string): string =>
  `exists (select 1 from rotor.jobs job join rotor.queues queue on queue.id = job.queue_id where job.id = ${table}.job_id and queue.workspace_id = $7)`;

/** The same, of an event with more leaves than are looked up one by one: all that waits for its name. */
const byName = sql(
  "event-ends.by-name",
  `select ${columns} from (
     ${ofSteps}
      where step.wait_key is not null and step.kind = 'event' and step.wait ->> 'event' = $1 and step.job_id > $2 and step.asked_at <= $4
        and ${unused} and ${ofWorkspace("step")}
      union all
     ${ofWatches}
      where watch.kind = 'event' and watch.wait ->> 'event' = $1 and watch.job_id > $2 and watch.asked_at <= $4
        and (watch.until is null or watch.until > $6::timestamptz) and ${ofWorkspace("watch")}
   ) met
    order by "jobId"
    fetch first $3 rows with ties`,
);

/**
 * Of these watches, those that are not this event's to end: it has ended another wait of the run; or it started the run,
 * alone or among others, which it then does not cancel.
 */
const spent = sql(
  "event-ends.spent",
  `select item.job_id as "jobId", item.key from unnest($1::uuid[], $2::text[]) as item (job_id, key)
    where case when item.key <> '' then exists (select 1 from rotor.steps where job_id = item.job_id and event_id = $3)
               else exists (select 1 from rotor.payloads where job_id = item.job_id and event_id = $3)
                 or exists (select 1 from rotor.batched where job_id = item.job_id and event_id = $3) end`,
);

/** `cursor`: the last run that was looked at; null where there are no more. `heard`: something waited for this name. */
export type Found = { readonly chosen: readonly Met[]; readonly cursor: string | null; readonly heard: boolean };

/** Before all runs. */
export const FIRST = "00000000-0000-0000-0000-000000000000";

/** What this event may end of what was stored until then: keyed look-up, then the whole condition. */
export async function findEnds(t: Queryable, event: StoredEvent, cursor: string, until: string): Promise<Found> {
  const keys = keysOfEvent(event.workspace, event.name, event.matched.data);
  const rest = [cursor, limits.effects, until, event.id, event.receivedAt];
  const rows =
    keys === undefined
      ? await t.query<Met>(byName, [event.name, ...rest, event.workspace])
      : await t.query<Met>(byKeys, [keys, ...rest]);
  return {
    chosen: await withoutSpent(
      t,
      event,
      rows.filter((row) => matches(row.wait, event.matched)),
    ),
    cursor: rows.length < limits.effects ? null : rows.at(-1)!.jobId,
    heard: rows.length > 0,
  };
}

async function withoutSpent(t: Queryable, event: StoredEvent, met: readonly Met[]): Promise<readonly Met[]> {
  const watches = met.filter(isWatch);
  if (watches.length === 0) return met;
  const rows = await t.query<{ jobId: string; key: string }>(spent, [
    watches.map((each) => each.jobId),
    watches.map((each) => each.key),
    event.id,
  ]);
  const gone = new Set(rows.map((row) => `${row.jobId}/${row.key}`));
  return met.filter((each) => !isWatch(each) || !gone.has(`${each.jobId}/${each.key}`));
}

const isWatch = (met: Met): boolean => met.part !== null;

/** What an event did. Ids of runs. */
export type Ended = { readonly resumed: readonly string[]; readonly cancelled: readonly string[] };

const note = sql(
  "event-ends.note",
  `insert into rotor.cancellations (job_id, event_id) select item.job_id, $2 from unnest($1::uuid[]) as item (job_id)
   on conflict (job_id) do update set event_id = excluded.event_id`,
);

/**
 * The time at which events came is read once more, after it was looked for what they meet and under the locks of its rows: a
 * wait that time ended by then had ended before, and one that is due later is theirs, however long the look and the locks
 * took. All of them have one time, so that among those of one name the order stays.
 */
const receive = sql(
  "event-ends.receive",
  `with clock as materialized (select rotor.clock() as now)
   update rotor.events set received_at = clock.now from clock where id = any($1::uuid[]) returning received_at::text as "receivedAt"`,
);

/**
 * Ends what these events met; all rows are locked at once, in the order of their ids, whichever event they are for, and
 * with those that the caller needs. A run that is both resumed and cancelled is cancelled. `isComing`: they come now, and are
 * no rest of a fan-out.
 */
export async function endAll(
  t: Queryable,
  found: readonly { readonly event: StoredEvent; readonly found: Found }[],
  rows: readonly string[],
  isComing: boolean,
): Promise<Ended[]> {
  const all = found.flatMap(({ found }) => found.chosen);
  const doomed = all.filter((each) => each.key === "").map((each) => each.jobId);
  const family = doomed.length === 0 ? [] : await familyOf(t, doomed);
  const ids = [...new Set([...all.map((each) => each.jobId), ...family, ...rows])];
  if (ids.length > 0) await t.query(lockJobs, [ids]);
  const met = isComing ? await received(t, found) : found;
  const moved: Moved[] = [];
  const cancelled: string[][] = [];
  for (const { event, found } of met) {
    const ended = await cancelRuns(t, event, found);
    moved.push(...ended);
    cancelled.push(ended.map((job) => job.jobId));
  }
  const resumed = await endWaitsOf(t, met);
  if (moved.length > 0) await grantTurns(t, moved);
  return met.map((_, index) => ({ resumed: resumed[index]!, cancelled: cancelled[index]! }));
}

async function received<M extends { readonly event: StoredEvent }>(t: Queryable, met: readonly M[]): Promise<M[]> {
  if (met.length === 0) return [];
  const [row] = await t.query<{ receivedAt: string }>(receive, [met.map(({ event }) => event.id)]);
  return met.map((each) => ({ ...each, event: { ...each.event, receivedAt: row!.receivedAt } }));
}

/** Cancels the runs whose cancelOn this event meets; the log says which event it was. */
async function cancelRuns(t: Queryable, event: StoredEvent, found: Found): Promise<Moved[]> {
  const ids = [...new Set(found.chosen.filter((each) => each.key === "").map((each) => each.jobId))];
  if (ids.length === 0) return [];
  const moved = await cancelLocked(t, ids, {
    error: { name: "CancelledByEventError", message: `The event ${event.name} (${event.matched.id}) cancelled it.` },
  });
  if (moved.length > 0) await t.query(note, [moved.map((job) => job.jobId), event.id]);
  return moved;
}

/** Of these waits those that wait still, and are not past due at that time. Their runs are locked. */
const open = sql(
  "event-ends.open",
  `select step.job_id as "jobId", step.key from unnest($1::uuid[], $2::text[]) as item (job_id, key)
     join rotor.steps step on step.job_id = item.job_id and step.key = item.key
    where step.state = 'waiting' and step.due_at > $3::timestamptz`,
);

/**
 * What each event ends. In a run it is one wait: the one stored last, and of those stored together the first in the order of
 * the code; so, too, of the parts of one. What is not open any more, or an event before it in the list has, is none of its.
 */
function share(waits: readonly (readonly Met[])[], isOpen: (wait: Met) => boolean): Met[][] {
  const taken = new Set<string>();
  return waits.map((all) => {
    const perRun = new Map<string, Met>();
    for (const wait of [...all].sort(inTurn)) {
      if (perRun.has(wait.jobId) || taken.has(nameOf(wait)) || !isOpen(wait)) continue;
      perRun.set(wait.jobId, wait);
      taken.add(nameOf(wait));
    }
    return [...perRun.values()];
  });
}

/** Ends what these events met of waits, in their order. Answers for each event the runs that it has resumed. */
async function endWaitsOf(
  t: Queryable,
  met: readonly { readonly event: StoredEvent; readonly found: Found }[],
): Promise<string[][]> {
  const waits = met.map(({ found }) => found.chosen.filter((each) => each.key !== ""));
  const all = waits.flat();
  if (all.length === 0) return waits.map(() => []);
  let isOpen = (_: Met): boolean => true;
  // Where none has a second choice the write says what was open.
  if (new Set(all.map((wait) => wait.jobId)).size < all.length) {
    const distinct = [...new Map(all.map((wait) => [nameOf(wait), wait])).values()];
    const rows = await t.query<{ jobId: string; key: string }>(open, [
      distinct.map((wait) => wait.jobId),
      distinct.map((wait) => wait.key),
      met[0]!.event.receivedAt,
    ]);
    const names = new Set(rows.map(nameOf));
    isOpen = (wait) => names.has(nameOf(wait));
  }
  const shares = share(waits, isOpen);
  const ends = shares.flatMap((each, index) => {
    const { event } = met[index]!;
    return each.map(
      ({ jobId, key, part }): WaitEnd => ({
        jobId,
        key,
        state: "completed",
        output: partOutput(part, event.data),
        error: null,
        eventId: event.id,
        endedAt: event.receivedAt,
      }),
    );
  });
  const ended = new Set((await endWaits(t, ends)).map(nameOf));
  const resumed = shares.map((each) => each.filter((wait) => ended.has(nameOf(wait))).map((wait) => wait.jobId));
  await wakeRuns(t, resumed.flat());
  return resumed;
}

const nameOf = ({ jobId, key }: { readonly jobId: string; readonly key: string }): string => `${jobId}/${key}`;

const inTurn = (a: Met, b: Met): number =>
  a.askedAt === b.askedAt ? a.asked - b.asked || a.place - b.place : a.askedAt < b.askedAt ? 1 : -1;
