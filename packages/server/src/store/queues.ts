/** Queues: where jobs go, how many at a time, what a failure means. */
import type { StartOptions } from "@rotorsh/sdk/protocol";
import { type Backoff, DEFAULT_BACKOFF } from "../core/backoff.js";
import type { Breaker } from "../core/breaker.js";
import { limits } from "../core/limits.js";
import type { Retention } from "../core/retention.js";
import { type Queryable, sql } from "./db.js";

/** What a user sets of a callback queue. Whatever is left out keeps its value, or gets the default of `newQueue`. */
export type QueueSettings = {
  readonly url: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly concurrency: number | null;
  readonly timeoutMs: number;
  readonly asyncTimeoutMs: number;
  readonly maxAttempts: number;
  readonly backoff: Backoff;
  readonly approvalRequired: boolean;
  readonly approvalTimeoutMs: number;
  readonly standardWebhooks: boolean;
  /** A slot is free only when the endpoint answered or the time limit passed, so that it never sees one more. */
  readonly strictConcurrency: boolean;
  /** Deliveries in any span of `periodMs`; with a `key` (CEL over the payload) for each of its values. */
  readonly rate: { readonly limit: number; readonly periodMs: number; readonly key: string | null } | null;
  readonly breaker: Breaker | null;
  /** What is not in it follows the system's. */
  readonly retention: Retention;
};

export const DEFAULT_QUEUE: QueueSettings = {
  url: null,
  headers: {},
  concurrency: 10,
  timeoutMs: 30_000,
  asyncTimeoutMs: 86_400_000,
  maxAttempts: 10,
  backoff: DEFAULT_BACKOFF,
  approvalRequired: false,
  approvalTimeoutMs: limits.approvalTimeoutMs,
  standardWebhooks: false,
  strictConcurrency: false,
  rate: null,
  breaker: null,
  retention: {},
};

export type Queue = QueueSettings & {
  readonly id: number;
  readonly workspace: string;
  readonly name: string;
  readonly kind: "callback" | "function";
  readonly appId: number | null;
  /** Its breaker is open until then; in the past: nothing has answered since. */
  readonly openAt: Date | null;
  readonly pausedAt: Date | null;
  readonly createdAt: Date;
  /** It has a signing secret of its own. */
  readonly hasSecret: boolean;
  /** Of a function: how its runs are started and ended, but for its rate. */
  readonly starting: StartOptions;
};

const columns = `id, workspace_id as workspace, name, kind, app_id as "appId", url, headers, concurrency, timeout_ms as "timeoutMs",
  async_timeout_ms as "asyncTimeoutMs", max_attempts as "maxAttempts", backoff, approval_required as "approvalRequired",
  approval_timeout_ms::float8 as "approvalTimeoutMs", standard_webhooks as "standardWebhooks",
  strict_concurrency as "strictConcurrency", breaker, retention, starting,
  case when rate_limit is not null then jsonb_build_object('limit', rate_limit, 'periodMs', rate_period_ms, 'key', rate_key) end as rate,
  nullif(open_at, '-infinity') as "openAt", paused_at as "pausedAt", created_at as "createdAt",
  exists (select 1 from rotor.signing_keys own where own.queue_id = queues.id and own.expires_at is null) as "hasSecret"`;

/** No row: the name is taken. */
const insert = sql(
  "queues.insert",
  `insert into rotor.queues (workspace_id, name, kind, url, headers, concurrency, timeout_ms, async_timeout_ms, max_attempts, backoff,
                             approval_required, approval_timeout_ms, standard_webhooks, strict_concurrency, rate_limit, rate_period_ms, rate_key,
                             breaker, retention)
   values ($1, $2, 'callback', $3, $4::jsonb, $5, $6, $7, $8, $9::jsonb, $10, $11, $12, $13, $14, $15, $16, $17::jsonb, $18::jsonb)
   on conflict (workspace_id, kind, name) do nothing
   returning ${columns}`,
);

/**
 * A breaker that is open, and a rate that is used up, are measured anew; what waits for a value of its rate key is let go
 * on by the keeper, and counted again.
 */
const update = sql(
  "queues.update",
  `with queue as (
   update rotor.queues
      set url = $3, headers = $4::jsonb, concurrency = $5, timeout_ms = $6, async_timeout_ms = $7, max_attempts = $8, backoff = $9::jsonb,
          approval_required = $10, approval_timeout_ms = $11, standard_webhooks = $12, strict_concurrency = $13, rate_limit = $14, rate_period_ms = $15,
          rate_key = $16, keyed = keyed or $16::text is not null, breaker = $17::jsonb, retention = $18::jsonb, open_at = '-infinity', trips = 0, failures = 0, rate_open_at = '-infinity'
    where workspace_id = $1 and name = $2 and kind = 'callback' and system is null
   returning ${columns}
   ),
   opened as (
     update rotor.keys set open_at = rotor.clock()
      where id = any (array(
        select id from rotor.keys where workspace_id = $1 and kind = 'rate' and queue_id = (select id from queue) and open_at > rotor.clock()
         order by id for no key update))
   )
   select * from queue`,
);

const one = sql(
  "queues.one",
  `select ${columns} from rotor.queues where workspace_id = $1 and kind = $2 and name = $3 and system is null`,
);

const list = sql(
  "queues.list",
  `select ${columns} from rotor.queues where workspace_id = $1 and kind = $2 and name > $3 and system is null order by name limit $4`,
);

/**
 * A queue leaves with nothing unfinished in it: its jobs would have nowhere to go. Each way to be unfinished is an index of
 * its own, and the orders name them: no index has all jobs of a queue. Nor does it take along what people let fire into it.
 */
const remove = sql(
  "queues.remove",
  `delete from rotor.queues
    where workspace_id = $1 and kind = $2 and name = $3 and system is null
      and (select id from rotor.jobs where queue_id = queues.id and state = 'waiting' and blocked_on is null order by due_at limit 1) is null
      and (select id from rotor.jobs where queue_id = queues.id and state = 'active' order by active_at limit 1) is null
      and (select id from rotor.jobs where queue_id = queues.id and state = 'pending_approval' order by due_at limit 1) is null
      and (not keyed or (select id from rotor.jobs where queue_id = queues.id and blocked_on is not null order by blocked_on limit 1) is null)
      and not exists (select 1 from rotor.schedules where queue_id = queues.id and not owned)
   returning id`,
);

/** A schedule that keeps its queue from leaving. */
const scheduled = sql(
  "queues.scheduled",
  `select schedule.name from rotor.schedules schedule join rotor.queues queue on queue.id = schedule.queue_id
    where queue.workspace_id = $1 and queue.kind = $2 and queue.name = $3 and not schedule.owned
    order by schedule.name limit 1`,
);

/** The values of its rate key, which are hardly looked at while it is paused, are looked at soon. */
const pause = sql(
  "queues.pause",
  `with queue as (
   update rotor.queues set paused_at = case when $4 then coalesce(paused_at, rotor.clock()) end
    where workspace_id = $1 and kind = $2 and name = $3 and system is null
   returning ${columns}
   ),
   opened as (
     update rotor.keys set open_at = rotor.clock()
      where not $4 and id = any (array(
        select id from rotor.keys where workspace_id = $1 and kind = 'rate' and queue_id = (select id from queue) and open_at > rotor.clock()
         order by id for no key update))
   )
   select * from queue`,
);

const values = (workspace: string, name: string, settings: QueueSettings) => [
  workspace,
  name,
  settings.url,
  JSON.stringify(settings.headers),
  settings.concurrency,
  settings.timeoutMs,
  settings.asyncTimeoutMs,
  settings.maxAttempts,
  JSON.stringify(settings.backoff),
  settings.approvalRequired,
  settings.approvalTimeoutMs,
  settings.standardWebhooks,
  settings.strictConcurrency,
  settings.rate?.limit ?? null,
  settings.rate?.periodMs ?? null,
  settings.rate?.key ?? null,
  settings.breaker === null ? null : JSON.stringify(settings.breaker),
  JSON.stringify(settings.retention),
];

export type QueueKind = "callback" | "function";

/** Undefined where the name is taken. */
export const createQueue = async (
  db: Queryable,
  workspace: string,
  name: string,
  settings: QueueSettings,
): Promise<Queue | undefined> => (await db.query<Queue>(insert, values(workspace, name, settings)))[0];

export const updateQueue = async (
  db: Queryable,
  workspace: string,
  name: string,
  settings: QueueSettings,
): Promise<Queue | undefined> => (await db.query<Queue>(update, values(workspace, name, settings)))[0];

export const getQueue = async (
  db: Queryable,
  workspace: string,
  kind: QueueKind,
  name: string,
): Promise<Queue | undefined> => (await db.query<Queue>(one, [workspace, kind, name]))[0];

export const listQueues = (
  db: Queryable,
  workspace: string,
  kind: QueueKind,
  after: string,
  limit: number,
): Promise<Queue[]> => db.query<Queue>(list, [workspace, kind, after, limit]);

/** False where there is no such queue, or something unfinished in it, or a schedule of it. */
export const deleteQueue = async (db: Queryable, workspace: string, kind: QueueKind, name: string): Promise<boolean> =>
  (await db.query(remove, [workspace, kind, name])).length > 0;

/** The name of the first schedule, not an app's own, that fires into a queue. */
export const scheduleInto = async (
  db: Queryable,
  workspace: string,
  kind: QueueKind,
  name: string,
): Promise<string | undefined> => (await db.query<{ name: string }>(scheduled, [workspace, kind, name]))[0]?.name;

export const pauseQueue = async (
  db: Queryable,
  workspace: string,
  kind: QueueKind,
  name: string,
  paused: boolean,
): Promise<Queue | undefined> => (await db.query<Queue>(pause, [workspace, kind, name, paused]))[0];

/**
 * An endpoint was not reached: its queue is not visited for a while, twice as long each time in a row. Trips once for
 * all deliveries that fail together. For an app, all of its functions.
 */
const trip = sql(
  "queues.trip",
  `with app as (
     update rotor.apps set unreachable_since = coalesce(unreachable_since, rotor.clock()) where id = $2
     returning unreachable_since
   ),
   tripped as (
     update rotor.queues
        set trips = least(trips + 1, 30),
            open_at = rotor.clock() + least($3 * 2 ^ least(trips, 20), $4) * interval '1 millisecond'
      where (id = $1 or app_id = $2) and (trips <= $5 or open_at <= rotor.clock())
   )
   select (extract(epoch from rotor.clock() - app.unreachable_since) * 1000)::float8 as "sinceMs" from app`,
);

/**
 * Answers for how long the app has been out of reach, in milliseconds; 0 for a queue without an app.
 * @param trips as they were when the delivery was claimed: a probe that fails opens again what is held open for it alone.
 */
export async function tripQueue(db: Queryable, queueId: number, appId: number | null, trips: number): Promise<number> {
  const [row] = await db.query<{ sinceMs: number }>(trip, [
    queueId,
    appId,
    limits.breakerMinMs,
    limits.breakerMaxMs,
    trips,
  ]);
  return row?.sinceMs ?? 0;
}

const close = sql(
  "queues.close",
  `with app as (update rotor.apps set unreachable_since = null where id = $2 and unreachable_since is not null)
   update rotor.queues set trips = 0, failures = 0, open_at = '-infinity' where (id = $1 or app_id = $2) and (trips > 0 or failures > 0)`,
);

/** The endpoint answered: as before. */
export const resetQueue = (db: Queryable, queueId: number, appId: number | null): Promise<unknown> =>
  db.query(close, [queueId, appId]);

/** Whether this failure opens the breaker: the probe's, or the one that makes too many in a row. */
const OPENS = `($2 or (trips = 0 and failures + 1 >= (breaker ->> 'failures')::int))`;

/**
 * A failure that is its endpoint's, of a queue with a breaker. Of the deliveries that were on their way when it opened,
 * none opens it again.
 */
const fail = sql(
  "queues.fail",
  `update rotor.queues
      set failures = failures + 1,
          trips = case when ${OPENS} then least(trips + 1, 30) else trips end,
          open_at = case when ${OPENS}
                         then rotor.clock() + least((breaker ->> 'minMs')::float8 * 2 ^ least(trips, 20), (breaker ->> 'maxMs')::float8) * interval '1 millisecond'
                         else open_at end
    where id = $1 and breaker is not null`,
);

/** Counts a failure of a queue's endpoint. `probe`: it was sent alone, to see whether the endpoint is well again. */
export const failQueue = (db: Queryable, queueId: number, probe: boolean): Promise<unknown> =>
  db.query(fail, [queueId, probe]);
