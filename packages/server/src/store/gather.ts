/**
 * Runs that gather events before they begin: by debounce the last event counts, by batch all of them do. All of it under
 * the lock on the gathering's name, and the rows of the runs concerned are locked before it is asked whether they are open:
 * one that is due gathers no more, whether or not it has begun.
 */
import { bytesGathered, type Gathered, gather } from "../core/gathering.js";
import { type Queryable, sql } from "./db.js";
import type { NewJob } from "./enqueue.js";
import type { Plan } from "./start-plan.js";

/** The runs of gatherings, open or not: to be locked. */
const runs = sql(
  "gather.runs",
  `select gathering.job_id as id, gathering.queue_id as "queueId", gathering.key as value
     from unnest($1::int[], $2::text[]) as item (queue_id, key)
     join rotor.gatherings gathering on gathering.queue_id = item.queue_id and gathering.key = item.key`,
);

/** Of locked runs, those that are still to begin. */
const open = sql(
  "gather.open",
  `select gathering.queue_id as "queueId", gathering.key as value, gathering.job_id as id, payload.key, gathering.events, gathering.bytes,
          (extract(epoch from rotor.clock() - gathering.opened_at) * 1000)::float8 as "ageMs"
     from unnest($1::int[], $2::text[]) as item (queue_id, key)
     join rotor.gatherings gathering on gathering.queue_id = item.queue_id and gathering.key = item.key
     join rotor.jobs job on job.id = gathering.job_id and job.state = 'waiting' and job.delivery = 0 and job.held_at is null
                        and job.due_at > rotor.clock()
     join rotor.payloads payload on payload.job_id = job.id`,
);

/** A replaced id keeps its age: the row is only written anew. */
const keep = sql(
  "gather.keep",
  `insert into rotor.gatherings as gathering (queue_id, key, job_id, opened_at, events, bytes)
   select item.queue_id, item.key, item.job_id, rotor.clock(), item.events, item.bytes
     from unnest($1::int[], $2::text[], $3::uuid[], $4::int[], $5::int[]) as item (queue_id, key, job_id, events, bytes)
   on conflict (queue_id, key) do update
      set opened_at = case when gathering.job_id = excluded.job_id then gathering.opened_at else excluded.opened_at end,
          job_id = excluded.job_id, events = excluded.events, bytes = excluded.bytes`,
);

const forget = sql(
  "gather.forget",
  `delete from rotor.gatherings gathering using unnest($1::int[], $2::text[]) as item (queue_id, key)
    where gathering.queue_id = item.queue_id and gathering.key = item.key`,
);

const append = sql(
  "gather.append",
  `insert into rotor.batched (job_id, place, event_id, body)
   select * from unnest($1::uuid[], $2::int[], $3::uuid[], $4::bytea[])`,
);

/** Due now, where it was full before its time; a time limit is counted from when a run is due. */
const move = sql(
  "gather.move",
  `with item as (select * from unnest($1::uuid[], $2::bool[], $3::float8[]) as item (id, now, deadline_ms)),
   moved as (
     update rotor.jobs job
        set due_at = case when item.now then rotor.clock() else job.due_at end,
            deadline_at = case when item.now then rotor.clock() else job.due_at end + item.deadline_ms * interval '1 millisecond'
       from item where job.id = item.id
   )
   update rotor.payloads payload set run_at = rotor.clock() from item where payload.job_id = item.id and item.now`,
);

/** The runs that gathered an event, but for those that it opened. */
const gathered = sql(
  "gather.of-event",
  "select job_id as id from rotor.batched where event_id = $1 order by job_id limit $2",
);

export const gatheredBy = async (db: Queryable, eventId: string, limit: number): Promise<string[]> =>
  (await db.query<{ id: string }>(gathered, [eventId, limit])).map((row) => row.id);

/** A start whose event is gathered. */
export type Gatherer = Plan & { readonly special: NonNullable<Plan["special"]> };

const nameOf = ({ special }: Gatherer): string => `${special.to.queueId}/${special.gathering!.value}`;
const names = (plans: readonly Gatherer[]) => [
  plans.map(({ special }) => special.to.queueId),
  plans.map(({ special }) => special.gathering!.value),
];
const once = (plans: readonly Gatherer[]): Gatherer[] => [
  ...new Map(plans.map((plan) => [nameOf(plan), plan])).values(),
];

/** The runs that these starts may add to, to be locked. */
export const runsToLock = async (t: Queryable, plans: readonly Gatherer[]): Promise<string[]> =>
  plans.length === 0 ? [] : (await t.query<{ id: string }>(runs, names(once(plans)))).map((row) => row.id);

/** A run that gathers, as it becomes in this transaction. */
type Run = Gathered & {
  readonly id: string;
  readonly queueId: number;
  readonly value: string;
  readonly key: string | null;
  readonly isNew: boolean;
  /** To be enqueued: as a new run, or in place of what it was. */
  readonly job?: NewJob;
  readonly deadlineMs: number | undefined;
  readonly joined: readonly { readonly place: number; readonly eventId: string; readonly body: Buffer | null }[];
  /** It takes no more. */
  readonly closed: boolean;
  readonly isDueNow: boolean;
};

/** What these starts come to: jobs to enqueue; the run that each event is in, and whether it had been there before. */
export type Gatherings = {
  readonly jobs: readonly NewJob[];
  readonly runOf: ReadonlyMap<Plan, { readonly id: string; readonly joined: boolean }>;
  /** Writes the rest, once the jobs are there. */
  finish(): Promise<void>;
};

/** Gathers events, in their order. The names are locked, and the rows of `runsToLock`. */
export async function gatherAll(t: Queryable, plans: readonly Gatherer[]): Promise<Gatherings> {
  const runOf = new Map<Plan, { id: string; joined: boolean }>();
  if (plans.length === 0) return { jobs: [], runOf, finish: async () => undefined };
  type Row = Gathered & { id: string; queueId: number; value: string; key: string | null };
  const rows = await t.query<Row>(open, names(once(plans)));
  const found = { isNew: false, joined: [], closed: false, isDueNow: false, deadlineMs: undefined };
  const current = new Map(rows.map((row): [string, Run] => [`${row.queueId}/${row.value}`, { ...row, ...found }]));
  const touched = new Map<string, Run>();
  for (const plan of plans) {
    const name = nameOf(plan);
    const before = current.get(name);
    const bytes = plan.job.body.byteLength;
    const decided = gather(plan.special.gathering!.rule, before, bytes);
    if (decided.closed) touched.set(before!.id, { ...before!, ...atOnce(before!) });
    const run = decided.joins ? joined(before!, plan, decided.dueInMs) : opened(plan, decided.dueInMs);
    const after: Run = { ...run, bytes: bytesGathered(decided.joins ? before : undefined, bytes) };
    const kept = decided.full ? { ...after, ...atOnce(after) } : after;
    touched.set(kept.id, kept);
    if (decided.full) current.delete(name);
    else current.set(name, kept);
    runOf.set(plan, { id: kept.id, joined: decided.joins });
  }
  const all = [...touched.values()];
  return {
    jobs: all.flatMap((run) => (run.job === undefined ? [] : [run.job])),
    runOf,
    finish: () => write(t, all, once(plans), current),
  };
}

const atOnce = (run: Run): Pick<Run, "closed" | "isDueNow" | "job"> => ({
  closed: true,
  isDueNow: true,
  ...(run.job !== undefined && { job: { ...run.job, delayMs: 0 } }),
});

const opened = ({ job, special }: Gatherer, dueInMs: number | undefined): Run => ({
  id: job.id,
  queueId: special.to.queueId,
  value: special.gathering!.value,
  key: job.key,
  isNew: true,
  job: { ...job, delayMs: dueInMs },
  deadlineMs: job.deadlineMs,
  joined: [],
  events: 1,
  bytes: 0,
  ageMs: 0,
  closed: false,
  isDueNow: false,
});

/** Of a debounce the run becomes another: the last event, and what follows from it. */
function joined(run: Run, { job, special }: Gatherer, dueInMs: number | undefined): Run {
  const isBatch = special.gathering!.rule.kind === "batch";
  const row = { place: run.events + 1, eventId: job.eventId!, body: isBatch ? job.body : null };
  const more = { ...run, events: run.events + 1, joined: [...run.joined, row], deadlineMs: job.deadlineMs };
  if (isBatch) return more;
  const own = run.isNew
    ? { id: run.id, eventId: run.job!.eventId }
    : { id: job.id, eventId: job.eventId, replaces: true };
  return { ...more, job: { ...job, ...own, key: run.key, delayMs: dueInMs } };
}

async function write(
  t: Queryable,
  all: readonly Run[],
  plans: readonly Gatherer[],
  current: ReadonlyMap<string, Run>,
): Promise<void> {
  const rows = all.flatMap((run) => run.joined.map((row) => ({ ...row, id: run.id })));
  if (rows.length > 0)
    void t.query(append, [
      rows.map((row) => row.id),
      rows.map((row) => row.place),
      rows.map((row) => row.eventId),
      rows.map((row) => row.body),
    ]);
  const moved = all.filter((run) => !run.isNew && (run.isDueNow || run.deadlineMs !== undefined));
  if (moved.length > 0)
    void t.query(move, [
      moved.map((run) => run.id),
      moved.map((run) => run.isDueNow),
      moved.map((run) => run.deadlineMs ?? null),
    ]);
  const open = plans.flatMap((plan) => current.get(nameOf(plan)) ?? []);
  if (open.length > 0)
    void t.query(keep, [
      open.map((run) => run.queueId),
      open.map((run) => run.value),
      open.map((run) => run.id),
      open.map((run) => run.events),
      open.map((run) => run.bytes),
    ]);
  const over = plans.filter((plan) => !current.has(nameOf(plan)));
  if (over.length > 0) await t.query(forget, names(over));
}
