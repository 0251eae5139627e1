/**
 * How a workspace stands, for people who look: counts of what is unfinished or failed, what waits longest, what is wrong.
 * Nothing here reads more rows than it is told to: each count is a walk along one index that ends at a bound, and beyond it
 * the planner's own estimate is told as one. The orders name the indexes.
 */
import { type Queryable, sql } from "./db.js";

/** What is known of a queue without looking at its jobs. */
export type QueueHead = {
  readonly id: number;
  readonly workspace: string;
  readonly name: string;
  readonly kind: "callback" | "function";
  readonly concurrency: number | null;
  readonly pausedAt: Date | null;
  /** Its breaker is open, or its app away, until then. */
  readonly openAt: Date | null;
  readonly trips: number;
  readonly hasUrl: boolean;
};

const heads = sql(
  "stats.queues",
  `select id, workspace_id as workspace, name, kind, concurrency, paused_at as "pausedAt", case when open_at > rotor.clock() then open_at end as "openAt", trips, url is not null as "hasUrl"
     from rotor.queues where ($1::text is null or workspace_id = $1) and system is null order by name, kind, workspace_id limit $2`,
);

/** The queues and functions of a workspace, or of all, by name. */
export const queueHeads = (db: Queryable, workspace: string | null, limit: number): Promise<QueueHead[]> =>
  db.query<QueueHead>(heads, [workspace, limit]);

/** Jobs of one queue; each count ends at the bound that it was given. */
export type QueueCounts = {
  readonly queueId: number;
  /** Not blocked by a key: those of the next are among them. */
  readonly waiting: number;
  /** Of these, those whose time is there. */
  readonly due: number;
  readonly oldestDueAt: Date | null;
  readonly active: number;
  readonly failed: number;
};

const counts = sql(
  "stats.counts",
  `with clock as materialized (select rotor.clock() as now)
   select queue.id as "queueId", waiting.count as waiting, waiting.due, waiting.oldest as "oldestDueAt", active.count as active, failed.count as failed
     from clock, unnest($1::int[]) as queue (id)
    cross join lateral (
      select count(*)::int as count, (count(*) filter (where due_at <= clock.now))::int as due, min(due_at) filter (where due_at <= clock.now) as oldest
        from (select due_at from rotor.jobs where queue_id = queue.id and state = 'waiting' and blocked_on is null order by due_at limit $2) job) waiting
    cross join lateral (
      select count(*)::int as count from (select 1 from rotor.jobs where queue_id = queue.id and state = 'active' order by active_at limit $2) job) active
    cross join lateral (
      select count(*)::int as count from (select 1 from rotor.jobs where queue_id = queue.id and state = 'failed' order by id limit $2) job) failed`,
);

export const countQueues = (db: Queryable, queueIds: readonly number[], bound: number): Promise<QueueCounts[]> =>
  db.query<QueueCounts>(counts, [[...queueIds], bound]);

/** Jobs of all workspaces that are blocked by a key, wait for a person or are held, looked at up to a bound, by their queue. */
const special = sql(
  "stats.special",
  `select 'blocked' as what, queue_id as "queueId", count(*)::int as count, min(due_at) as "oldestAt"
     from (select queue_id, due_at from rotor.jobs where blocked_on is not null order by blocked_on limit $1) job group by queue_id
   union all
   select case when state = 'pending_approval' then 'pending_approval' else 'held' end, queue_id, count(*)::int, min(coalesce(held_at, due_at))
     from (select queue_id, state, held_at, due_at from rotor.jobs where state = 'pending_approval' or held_at is not null order by due_at limit $1) job
    group by 1, 2`,
);

export type Special = {
  readonly what: "blocked" | "pending_approval" | "held";
  readonly queueId: number;
  readonly count: number;
  readonly oldestAt: Date | null;
};

export const countSpecial = (db: Queryable, bound: number): Promise<Special[]> => db.query<Special>(special, [bound]);

const ESTIMATES = {
  waiting: sql(
    "stats.estimate-waiting",
    "explain (format json) select 1 from rotor.jobs where queue_id = $1 and state = 'waiting' and blocked_on is null",
  ),
  active: sql(
    "stats.estimate-active",
    "explain (format json) select 1 from rotor.jobs where queue_id = $1 and state = 'active'",
  ),
  failed: sql(
    "stats.estimate-failed",
    "explain (format json) select 1 from rotor.jobs where queue_id = $1 and state = 'failed'",
  ),
} as const;

/** How many jobs of a queue are in a state, by what Postgres knows of the table: no row is read for it. */
export async function estimateJobs(db: Queryable, queueId: number, state: keyof typeof ESTIMATES): Promise<number> {
  const [row] = await db.query<{ "QUERY PLAN": [{ Plan: { "Plan Rows": number } }] }>(ESTIMATES[state], [queueId]);
  return row!["QUERY PLAN"][0].Plan["Plan Rows"];
}

/** What is wrong beside queues. */
export type Trouble = {
  readonly type: "app.unreachable" | "schedule.missed";
  readonly subject: string;
  readonly since: Date;
};

const troubles = sql(
  "stats.troubles",
  `select 'app.unreachable' as type, name as subject, unreachable_since as since from rotor.apps where workspace_id = $1 and unreachable_since is not null
   union all
   select 'schedule.missed', name, next_at from rotor.schedules
    where workspace_id = $1 and paused_at is null and next_at < rotor.clock() - $2 * interval '1 millisecond'
   limit 100`,
);

export const listTroubles = (db: Queryable, workspace: string, missedMs: number): Promise<Trouble[]> =>
  db.query<Trouble>(troubles, [workspace, missedMs]);

export type NodeView = {
  readonly id: string;
  readonly label: string;
  readonly startedAt: Date;
  readonly alive: boolean;
};

const nodes = sql(
  "stats.nodes",
  `select id, label, started_at as "startedAt", lease_until > rotor.clock() as alive from rotor.nodes order by started_at limit 100`,
);

export const listNodes = (db: Queryable): Promise<NodeView[]> => db.query<NodeView>(nodes);

/** Age of the oldest transaction in this database: what it holds back, no vacuum removes. Others' are seen, if we may. */
const oldest = sql(
  "stats.oldest-transaction",
  `select rotor.clock() as now, (extract(epoch from clock_timestamp() - min(xact_start)) * 1000)::float8 as ms
     from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`,
);

/** The database's time, and for how long its oldest transaction has been open; null: none is. */
export const readPulse = async (db: Queryable): Promise<{ readonly now: Date; readonly ms: number | null }> =>
  (await db.query<{ now: Date; ms: number | null }>(oldest))[0]!;
