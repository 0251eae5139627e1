/** What stands around a job that does not move: the facts that `core/why.ts` puts into words. Read only when asked. */
import type { WhyFacts } from "../core/why.js";
import { type Queryable, sql } from "./db.js";
import { TURNS } from "./keys.js";

const AHEAD = 1_000;

/** The job's queue, its app, what blocks it, and how many due jobs of its queue go before it, as far as they are counted. */
const facts = sql(
  "why.facts",
  `with clock as materialized (select rotor.clock() as now)
   select clock.now, job.due_at as "dueAt", job.held_at as "heldAt", queue.concurrency, queue.paused_at as "pausedAt", queue.failures,
          nullif(queue.open_at, '-infinity') as "openAt", nullif(queue.rate_open_at, '-infinity') as "rateOpenAt",
          queue.rate_limit as "rateLimit", queue.rate_period_ms::float8 as "ratePeriodMs", queue.rate_key as "rateKey",
          app.name as app, app.url as "appUrl", app.unreachable_since as "unreachableSince",
          blocker.id as "keyId", blocker.concurrency as "keyLimit",
          -- A function's key bears its place in the function's list.
          case when blocker.kind = 'turn' and blocker.queue_id <> 0 then substr(blocker.key, position(':' in blocker.key) + 1)
               else blocker.key end as "keyName", blocker.kind = 'turn' and blocker.queue_id <> 0 as "functionKey",
          last.outcome as "lastOutcome", last.status as "lastStatus", last.error as "lastError", last.ended_at as "lastEndedAt",
          (select count(*)::int from rotor.jobs where queue_id = queue.id and state = 'active') as active,
          (select count(*)::int from rotor.slots where queue_id = queue.id and until > clock.now) as lingering,
          (select count(*)::int from (select 1 from rotor.jobs other
              where other.queue_id = queue.id and other.state = 'waiting' and other.blocked_on is null and other.due_at < job.due_at limit $2) ahead) as ahead,
          (select count(*)::int from rotor.nodes where lease_until > clock.now) as nodes,
          coalesce((select value from rotor.settings where name = 'held') = 'true', false) as held,
          step.key as "stepKey", step.kind as "stepKind", step.wait, step.asked_at as "askedAt"
     from clock, rotor.jobs job
     join rotor.queues queue on queue.id = job.queue_id
     left join rotor.apps app on app.id = queue.app_id
     left join rotor.keys blocker on blocker.id = job.blocked_on
     left join lateral (select key, kind, wait, asked_at from rotor.steps where job_id = job.id and state = 'waiting' order by due_at limit 1) step on true
     left join lateral (select outcome, status, error, ended_at from rotor.deliveries where job_id = job.id order by delivery desc limit 1) last on true
    where job.id = $1`,
);

/** Who has the slots or turns that it waits for, the first to end first. */
const holders = sql(
  "why.holders",
  `select holder.id, queue.name as queue, holder.due_at as "until"
     from (select id, queue_id, due_at from rotor.jobs
            where $2::int is null and queue_id = (select queue_id from rotor.jobs where id = $1) and state = 'active'
           union all
           select turn.id, turn.queue_id, turn.due_at from rotor.keys key cross join lateral ${TURNS} turn where key.id = $2) holder
     join rotor.queues queue on queue.id = holder.queue_id
    order by holder.due_at limit 10`,
);

/** Late events of each name that a wait might have meant. */
const lateEvents = sql(
  "why.events",
  `select late.* from unnest($2::text[]) as wanted (name)
    cross join lateral (
      select id, name, data, (extract(epoch from ts) * 1000)::float8 as ts, received_at as "receivedAt"
        from rotor.events where workspace_id = $1 and events.name = wanted.name and received_at < 'infinity' order by received_at desc limit 20) late
    order by "receivedAt" desc`,
);

/** What a wait for several things waits for, in the order of the code, with all that their conditions need. */
const parts = sql("why.parts", `select name, wait from rotor.watches where job_id = $1 and key = $2 order by place`);

type Row = Omit<WhyFacts, "holders" | "events" | "parts">;
type EventRow = {
  readonly id: string;
  readonly name: string;
  readonly data: string;
  readonly ts: number;
  readonly receivedAt: Date;
};

/** The facts about one job; undefined where it is gone. Events are read for a wait for one. */
export async function whyFacts(db: Queryable, workspace: string, jobId: string): Promise<WhyFacts | undefined> {
  const [row] = await db.query<Row>(facts, [jobId, AHEAD]);
  if (row === undefined) return undefined;
  const awaited: WhyFacts["parts"] =
    row.stepKind === "any"
      ? await db.query<WhyFacts["parts"][number]>(parts, [jobId, row.stepKey])
      : row.stepKind === "event" && row.wait !== null
        ? [{ name: null, wait: row.wait }]
        : [];
  const names = [...new Set(awaited.flatMap(({ wait }) => (wait.event === undefined ? [] : [wait.event])))];
  const [who, events] = await Promise.all([
    db.query<WhyFacts["holders"][number]>(holders, [jobId, row.keyId]),
    names.length === 0 ? [] : db.query<EventRow>(lateEvents, [workspace, names]),
  ]);
  const read = events.map((event) => ({ ...event, data: JSON.parse(event.data) }));
  return { ...row, parts: awaited, holders: who, events: read };
}
