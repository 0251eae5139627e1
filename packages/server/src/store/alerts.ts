/**
 * Looks for what is wrong, and tells it once: when it begins and when it is over. One node looks at a time, so any number
 * of them tells once; the row that says so and the webhooks' jobs are one commit. Who is in no workspace with a webhook
 * is not looked at.
 *
 * `queue.late`: its oldest due job waits for more than 5 minutes, whether the queue is open or not. `queue.failing`: of
 * at least 10 deliveries in the last 5 minutes half failed; it recovers when less than a quarter of the last 5 minutes'
 * do. `app.unreachable`: its last delivery did not reach it. `schedule.missed`: its tick is overdue by a minute.
 * `queue.drained`: it had unfinished jobs and has none now. `queue.error` is told where it happens, in `tell.ts`.
 */
import type { LifecycleType } from "../core/lifecycle.js";
import { limits } from "../core/limits.js";
import { type Db, sql } from "./db.js";
import { type News, tell } from "./tell.js";

const turn = sql("alerts.turn", "select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as mine");

/** What is no longer needed: alerts about queues that are gone, troubles that may be told again. */
const forget = sql(
  "alerts.forget",
  `delete from rotor.alerts
    where (type like 'queue.%' and not exists (select 1 from rotor.queues queue
                                                where queue.workspace_id = alerts.workspace_id and queue.kind || '/' || queue.name = alerts.subject))
       or (type = 'queue.error' and since < rotor.clock() - $1 * interval '1 millisecond')`,
);

const QUEUES = `queue as (
     select queue.id, queue.workspace_id, queue.name, queue.kind, queue.kind || '/' || queue.name as subject, queue.keyed,
            queue.approval_required, greatest(queue.created_at, watched.since) as since
       from (select workspace_id, min(created_at) as since from rotor.webhooks group by workspace_id) watched
       join rotor.queues queue on queue.workspace_id = watched.workspace_id and queue.system is null
   )`;

/** One entry of an index for each queue; the rest are small tables. `standing`: wrong now, or well again. */
const look = sql(
  "alerts.look",
  `with clock as materialized (select rotor.clock() as now),
   ${QUEUES}
   select queue.workspace_id as workspace, 'queue.late' as type, queue.subject, first.due_at as since, true as wrong,
          jsonb_build_object('queue', jsonb_build_object('name', queue.name, 'kind', queue.kind)) as data
     from clock, queue
    cross join lateral (select due_at from rotor.jobs where queue_id = queue.id and state = 'waiting' and blocked_on is null
                         order by due_at limit 1) first
    where first.due_at < clock.now - $1 * interval '1 millisecond'
   union all
   select queue.workspace_id, 'queue.failing', queue.subject, tally.since, tally.failed * 2 >= tally.ended,
          jsonb_build_object('queue', jsonb_build_object('name', queue.name, 'kind', queue.kind, 'deliveries', tally.ended, 'failed', tally.failed))
     from clock, queue
     join (select queue_id, sum(ended) as ended, sum(failed) as failed, min(at) filter (where failed > 0) as since
             from rotor.tallies, clock where at > clock.now - $2 * interval '1 millisecond' group by queue_id) tally on tally.queue_id = queue.id
    where (tally.ended >= $3 and tally.failed * 2 >= tally.ended) or (tally.ended > 0 and tally.failed * 4 < tally.ended)
   union all
   select app.workspace_id, 'app.unreachable', app.name, app.unreachable_since, true,
          jsonb_build_object('app', jsonb_build_object('name', app.name, 'url', app.url))
     from rotor.apps app
    where app.unreachable_since is not null and exists (select 1 from rotor.webhooks where workspace_id = app.workspace_id)
   union all
   select schedule.workspace_id, 'schedule.missed', schedule.name, schedule.next_at, true,
          jsonb_build_object('schedule', jsonb_build_object('name', schedule.name, 'due_at', schedule.next_at))
     from clock, rotor.schedules schedule
    where schedule.paused_at is null and schedule.next_at < clock.now - $4 * interval '1 millisecond'
      and exists (select 1 from rotor.webhooks where workspace_id = schedule.workspace_id)`,
);

/** What was told and is not over. `queue.drained` and `queue.error` are no states that end. */
const standing = sql(
  "alerts.standing",
  `select workspace_id as workspace, type, subject, since from rotor.alerts where type <> all('{queue.drained,queue.error}')`,
);

type Seen = {
  readonly workspace: string;
  readonly type: LifecycleType;
  readonly subject: string;
  readonly since: Date;
  readonly wrong: boolean;
  readonly data: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
};

type Standing = Pick<Seen, "workspace" | "type" | "subject" | "since">;

const begin = sql(
  "alerts.begin",
  `insert into rotor.alerts (workspace_id, type, subject, since)
   select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) on conflict (workspace_id, type, subject) do nothing`,
);

const end = sql(
  "alerts.end",
  `delete from rotor.alerts alert using unnest($1::text[], $2::text[], $3::text[]) as item (workspace_id, type, subject)
    where alert.workspace_id = item.workspace_id and alert.type = item.type and alert.subject = item.subject`,
);

const keysOf = (rows: readonly Standing[]): string[][] => [
  rows.map(({ workspace }) => workspace),
  rows.map(({ type }) => type),
  rows.map(({ subject }) => subject),
];

/**
 * Queues that had work and have none. A queue's row of this type says since when that is known, or `-infinity` while it
 * has work; work that came and went between two looks is known by the newest payload. Where more jobs are blocked, or
 * wait for a person, than one look goes through, queues that may have such jobs are taken to have some.
 *
 * The orders name indexes: without them the planner reads the whole table where it believes, by statistics from before, to
 * find such rows soon; and for a queue without payloads all those of the others, the newest first.
 */
const drain = sql(
  "alerts.drain",
  `with clock as materialized (select rotor.clock() as now),
   ${QUEUES},
   blocked as materialized (select queue_id from rotor.jobs where blocked_on is not null order by blocked_on limit $1),
   asking as materialized (select queue_id from rotor.jobs where state = 'pending_approval' order by due_at limit $1),
   seen as (
     select queue.*,
            exists (select 1 from rotor.jobs where queue_id = queue.id and state = 'waiting' and blocked_on is null)
            or exists (select 1 from rotor.jobs where queue_id = queue.id and state = 'active')
            or queue.id in (select queue_id from blocked) or (queue.keyed and (select count(*) from blocked) >= $1)
            or queue.id in (select queue_id from asking) or (queue.approval_required and (select count(*) from asking) >= $1) as busy,
            (select created_at from rotor.payloads where queue_id between queue.id and queue.id order by queue_id desc, job_id desc limit 1) as newest
       from queue
   ),
   told as (
     insert into rotor.alerts as alert (workspace_id, type, subject, since)
     select seen.workspace_id, 'queue.drained', seen.subject, case when seen.busy then '-infinity' else clock.now end
       from clock, seen left join rotor.alerts before
         on before.workspace_id = seen.workspace_id and before.type = 'queue.drained' and before.subject = seen.subject
      where case when seen.busy then before.since is distinct from '-infinity'
                 else before.since = '-infinity' or seen.newest > coalesce(before.since, seen.since) end
     on conflict (workspace_id, type, subject) do update set since = excluded.since
     returning workspace_id, subject, since
   )
   select told.workspace_id as workspace, jsonb_build_object('queue', jsonb_build_object('name', queue.name, 'kind', queue.kind)) as data
     from told join queue on queue.workspace_id = told.workspace_id and queue.subject = told.subject
    where told.since > '-infinity'`,
);

/** Looks once. Answers how many jobs of webhooks that made; undefined: another node looks just now. */
export async function watch(db: Db): Promise<number | undefined> {
  return db.transact(async (t) => {
    const [locked] = await t.query<{ mine: boolean }>(turn, [`${db.schema}/watch`]);
    if (!locked!.mine) return undefined;
    await t.query(forget, [limits.queueErrorMs]);
    const [seen, known, drained] = await Promise.all([
      t.query<Seen>(look, [limits.queueLateMs, limits.failingMs, limits.failingDeliveries, limits.scheduleMissedMs]),
      t.query<Standing>(standing),
      t.query<Pick<News, "workspace" | "data">>(drain, [limits.watchJobs]),
    ]);
    const { begun, over } = compare(seen, known);
    if (begun.length > 0) await t.query(begin, [...keysOf(begun), begun.map(({ since }) => since.toISOString())]);
    if (over.length > 0) await t.query(end, keysOf(over));
    return tell(t, [
      ...begun.map(({ workspace, type, since, data }) => ({ workspace, type, data: dated(data, since) })),
      ...over.map(({ workspace, type, subject, since }) => ({
        workspace,
        type: `${type}.recovered` as LifecycleType,
        data: dated(subjectData(type, subject), since),
      })),
      ...drained.map(({ workspace, data }) => ({ workspace, type: "queue.drained" as const, data })),
    ]);
  });
}

/** What is wrong and was not told, and what was told and is over. A failing queue without deliveries fails on. */
function compare(seen: readonly Seen[], known: readonly Standing[]): { begun: Seen[]; over: Standing[] } {
  const keyOf = ({ workspace, type, subject }: Standing): string => `${workspace} ${type} ${subject}`;
  const told = new Set(known.map(keyOf));
  const wrong = new Set(seen.filter((each) => each.wrong).map(keyOf));
  const well = new Set(seen.filter((each) => !each.wrong).map(keyOf));
  return {
    begun: seen.filter((each) => each.wrong && !told.has(keyOf(each))),
    over: known.filter((each) => (each.type === "queue.failing" ? well.has(keyOf(each)) : !wrong.has(keyOf(each)))),
  };
}

type Data = Seen["data"];

const dated = (data: Data, since: Date): Data =>
  Object.fromEntries(Object.entries(data).map(([name, value]) => [name, { ...value, since: since.toISOString() }]));

/** The subject of an alert that is over, of which only the row is left. */
function subjectData(type: LifecycleType, subject: string): Data {
  if (type === "app.unreachable") return { app: { name: subject } };
  if (type === "schedule.missed") return { schedule: { name: subject } };
  const slash = subject.indexOf("/");
  return { queue: { name: subject.slice(slash + 1), kind: subject.slice(0, slash) } };
}
