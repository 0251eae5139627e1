/**
 * claim: waiting → active. Due jobs of queues that are open and have room, for one node. The queue row is locked by a
 * statement of its own, so that the one which counts sees every claim before it. Jobs that share a key with others take
 * one round more, in `claim-keyed.ts`.
 */
import { limits } from "../core/limits.js";
import { type RateCounts, type RateRoom, roomAt, spend } from "../core/rate.js";
import type { Ready } from "../core/turns.js";
import { claimKeyed } from "./claim-keyed.js";
import { type Db, hot, type Queryable, sql } from "./db.js";
import { type Floors, floorsOf, NO_FLOORS } from "./floors.js";
import { endDueWaits } from "./resume.js";
import { type Claim, PLAIN, ROOM, TAKE, TAKEN, type Taken } from "./take.js";

export type { Claim, Taken } from "./take.js";

/** A queue with something due, now or later. */
export type Due = Ready & {
  readonly kind: "callback" | "function";
  /** Neither a key nor a rate limits it, and its breaker is closed: `claim-plain.ts` will do. */
  readonly plain: boolean;
  readonly dueInMs: number;
};

/**
 * What is told of a queue whose first job is in `first`. What is due now comes first, from another queue on each time, so that of more
 * queues than one look tells each has its turn.
 */
const TOLD = `select queue.id as "queueId", queue.workspace_id as workspace, queue.kind, ${PLAIN} as plain,
          (extract(epoch from greatest(first.due_at, queue.open_at, queue.rate_open_at) - clock.now) * 1000)::float8 as "dueInMs"`;
const IN_TURN =
  "order by greatest(first.due_at, queue.open_at, queue.rate_open_at, clock.now), queue.id <= $2::int, queue.id limit $1";

/**
 * For each queue that may be visited, when its first job is due. Goes through the index of what waits from one queue to the next
 * (a "loose index scan"), so that it costs as much as there are queues with jobs, however many others there are. A queue
 * without room is not visited, whatever is due in it: counting stops at its limit.
 */
const look = hot(
  "claim.look",
  `with recursive clock as materialized (select rotor.clock() as now),
   first (queue_id, due_at) as (
     (select queue_id, due_at from rotor.jobs where state = 'waiting' and blocked_on is null order by queue_id, due_at limit 1)
     union all
     select next.queue_id, next.due_at
       from first
      cross join lateral (
        select queue_id, due_at from rotor.jobs
         where state = 'waiting' and blocked_on is null and queue_id > first.queue_id order by queue_id, due_at limit 1) next
   )
   ${TOLD}
     from clock, first join rotor.queues queue on queue.id = first.queue_id
    where queue.paused_at is null and queue.url is not null
      and (queue.concurrency is null or queue.concurrency > (
        select count(*) from (select 1 from rotor.jobs where queue_id = queue.id and state = 'active' limit queue.concurrency) active))
    ${IN_TURN}`,
);

/** The same where that is slow, from a floor on for each queue that has one; of those the claim alone counts. */
const lookFrom = hot(
  "claim.look-from",
  `with clock as materialized (select rotor.clock() as now)
   ${TOLD}
     from clock, rotor.queues queue
     left join unnest($3::int[], $4::timestamptz[]) as floor (id, due) on floor.id = queue.id
    cross join lateral (
      select due_at from rotor.jobs
       where queue_id = queue.id and state = 'waiting' and blocked_on is null and due_at >= coalesce(floor.due, '-infinity')
       order by due_at limit 1) first
    where queue.paused_at is null and queue.url is not null
      and (queue.concurrency is null or floor.id is not null or queue.concurrency > (
        select count(*) from (select 1 from rotor.jobs where queue_id = queue.id and state = 'active' limit queue.concurrency) active))
    ${IN_TURN}`,
);

/** Looks at all queues; `after` is the queue from which on those with due work are told first. */
export const lookForDue = (db: Queryable, after = 0, floors: Floors = NO_FLOORS): Promise<Due[]> => {
  if (floors === NO_FLOORS) return db.query<Due>(look, [limits.queuesPerLook, after]);
  const ids = [...floors.keys()];
  return db.query<Due>(lookFrom, [limits.queuesPerLook, after, ids, floorsOf(floors, ids)[0]]);
};

/** A queue that this transaction has locked. */
export type LockedQueue = RateCounts & {
  readonly id: number;
  readonly limit: number | null;
  readonly periodMs: number | null;
  readonly keyed: boolean;
  /** Its rate limit is one for each value of a key. */
  readonly byKey: boolean;
  /** Its breaker was open and nothing has answered since: one job goes first. */
  readonly probing: boolean;
  readonly nowMs: number;
};

/** Locks queues that no other node claims from at this moment; theirs are visited by them. */
const lockQueues = sql(
  "claim.lock",
  `select id, rate_limit as "limit", rate_period_ms::float8 as "periodMs", rate_key is not null as "byKey", keyed,
          trips > 0 as probing, rate_bucket::float8 as bucket, rate_counts as counts,
          (extract(epoch from rotor.clock()) * 1000)::float8 as "nowMs"
     from rotor.queues where id = any($1::int[]) order by id for no key update skip locked`,
);

/** Takes due jobs, of each queue at most its room. The array keeps the planner from joining its way through the table. */
const take = sql(
  "claim.take",
  `with clock as materialized (select rotor.clock() as now),
   room as (${ROOM}),
   due as (
     select job.id
       from room
      cross join lateral (
        select id from rotor.jobs
         where queue_id = room.id and state = 'waiting' and blocked_on is null and held_at is null and due_at <= (select now from clock)
         order by due_at
         limit room.room
           for no key update skip locked) job
      limit $5
   )
   update rotor.jobs job
      ${TAKE}
     from rotor.queues queue, clock
    where job.id = any (array(select id from due)) and job.state = 'waiting' and queue.id = job.queue_id
   ${TAKEN}`,
);

const NOTHING: Claim = { taken: [], blocked: 0 };

/** What began is counted, and where the limit is used up the queue is not visited until there is room again. */
const count = sql(
  "claim.count",
  `update rotor.queues queue
      set rate_bucket = item.bucket, rate_counts = array(select jsonb_array_elements_text(item.counts::jsonb)::int),
          rate_open_at = case when item.open_in_ms > 0 then rotor.clock() + item.open_in_ms * interval '1 millisecond' else '-infinity' end
     from unnest($1::int[], $2::float8[], $3::text[], $4::float8[]) as item (id, bucket, counts, open_in_ms)
    where queue.id = item.id`,
);

/**
 * A probe is on its way: until it has answered, or for as long as the breaker was open last, none follows it. A run may
 * take hours to answer, and is heard of before that: others follow it soon.
 */
const probe = sql(
  "claim.probe",
  `update rotor.queues
      set open_at = rotor.clock() + interval '1 millisecond' *
            case when kind = 'function' then $2
                 else least((breaker ->> 'minMs')::float8 * 2 ^ least(trips - 1, 20), (breaker ->> 'maxMs')::float8) end
    where id = any($1::int[]) and (breaker is not null or kind = 'function')`,
);

/**
 * Claims up to `room` jobs from these queues, for which there is room in the order given. Due waits of the claimed runs
 * are recorded as ended in the same commit.
 */
export async function claim(db: Db, nodeId: string, queueIds: readonly number[], room: number): Promise<Claim> {
  return db.transact(async (t) => {
    const locked = await t.query<LockedQueue>(lockQueues, [[...queueIds]]);
    if (locked.length === 0) return NOTHING;
    const cap = Math.max(1, Math.min(limits.claim, Math.ceil(room / locked.length)));
    const rates = new Map<number, RateRoom>();
    for (const queue of locked) {
      if (queue.limit !== null && queue.periodMs !== null && !queue.byKey)
        rates.set(queue.id, roomAt({ limit: queue.limit, periodMs: queue.periodMs }, queue, queue.nowMs));
    }
    const rooms = (queues: readonly LockedQueue[]): [number[], number[]] => [
      queues.map((queue) => queue.id),
      queues.map((queue) => Math.min(queue.probing ? 1 : cap, rates.get(queue.id)?.room ?? cap)),
    ];
    const plain = locked.filter((queue) => !queue.keyed);
    const keyed = locked.filter((queue) => queue.keyed);
    const taken =
      plain.length === 0 ? [] : await t.query<Taken>(take, [...rooms(plain), nodeId, limits.runTimeoutMs, room]);
    let blocked = 0;
    if (keyed.length > 0 && taken.length < room) {
      const others = await claimKeyed(t, nodeId, ...rooms(keyed), room - taken.length);
      taken.push(...others.taken);
      blocked = others.blocked;
    }
    writeRates(t, locked, rates, taken);
    const probes = locked.filter((queue) => queue.probing && taken.some((job) => job.queueId === queue.id));
    if (probes.length > 0) void t.query(probe, [probes.map((queue) => queue.id), limits.breakerMinMs]);
    await endDueWaits(
      t,
      // A run that begins waits for nothing yet.
      taken.filter((job) => job.kind === "function" && job.delivery > 1).map((job) => job.jobId),
    );
    return { taken, blocked };
  }, "hot");
}

function writeRates(
  t: Queryable,
  locked: readonly LockedQueue[],
  rates: ReadonlyMap<number, RateRoom>,
  taken: readonly Taken[],
): void {
  const states = locked.flatMap((queue) => {
    const rate = rates.get(queue.id);
    if (rate === undefined) return [];
    const begun = taken.filter((job) => job.queueId === queue.id).length;
    if (begun === 0 && rate.room > 0) return [];
    const state = spend(rate.now, begun);
    const after = roomAt({ limit: queue.limit!, periodMs: queue.periodMs! }, state, queue.nowMs);
    return [{ id: queue.id, state, openInMs: after.openInMs }];
  });
  if (states.length === 0) return;
  void t.query(count, [
    states.map((each) => each.id),
    states.map((each) => each.state.bucket),
    states.map((each) => JSON.stringify(each.state.counts)),
    states.map((each) => each.openInMs),
  ]);
}
