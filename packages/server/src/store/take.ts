/** What the two statements that take jobs have in common: how much room there is, and what becomes of a job that is taken. */

/** Queue by queue, by the limit: a join would compare each of them to each other. */
const roomOf = (items: string, from: string): string => `select queue.id, queue.kind, queue.timeout_ms,
            greatest(0, least(item.room, coalesce(queue.concurrency - active.count - slots.count, item.room)))::int as room${from === "" ? "" : ", item.due_from"}
       from clock, ${items}
      cross join lateral (
        select id, kind, timeout_ms, concurrency, strict_concurrency, open_at, rate_open_at, paused_at, url from rotor.queues where id = item.id limit 1) queue
      cross join lateral (select count(*) from rotor.jobs where queue_id = queue.id and state = 'active'${from}) active
      cross join lateral (select count(*) from rotor.slots where queue.strict_concurrency and queue_id = queue.id and until > clock.now) slots
      where greatest(queue.open_at, queue.rate_open_at) <= clock.now and queue.paused_at is null and queue.url is not null`;

/**
 * Room under a queue's concurrency: active rows, and slots whose job has left, are counted under its lock. Nothing is
 * stored that could leak.
 */
export const ROOM = roomOf("unnest($1::int[], $2::int[]) as item (id, room)", "");
/** The same from the floors $7 and $8 of these queues on; see `floors.ts`. */
export const ROOM_FROM = roomOf(
  "unnest($1::int[], $2::int[], $7::timestamptz[], $8::timestamptz[]) as item (id, room, due_from, active_from)",
  " and active_at >= item.active_from",
);

/** Neither a key nor a rate limits the queue, and its breaker is closed. */
export const PLAIN = "(not queue.keyed and queue.rate_limit is null and queue.trips = 0)";

/** What becomes of a job that is taken. */
export const TAKE = `set state = 'active', attempt = job.attempt + 1, delivery = job.delivery + 1, woken = false, node_id = $3, active_at = clock.now,
          due_at = clock.now + case when queue.kind = 'function' then $4::int else coalesce(job.timeout_ms, queue.timeout_ms) end * interval '1 millisecond'`;

/** The row as it was before is what a subselect of the same statement sees: since when it was due. */
export const TAKEN = `returning job.id as "jobId", job.queue_id as "queueId", queue.kind, job.delivery,
          (select due_at from rotor.jobs where id = job.id) as "dueAt"`;

export type Taken = {
  readonly jobId: string;
  readonly queueId: number;
  readonly kind: "callback" | "function";
  readonly delivery: number;
  /** Since when it was due; a priority's head start is part of it. */
  readonly dueAt: Date;
};

/** What a claim did. `blocked`: jobs that were due and wait for a key now. */
export type Claim = { readonly taken: readonly Taken[]; readonly blocked: number };

/**
 * What one statement of a transaction leaves for the next, where both are sent at once: the queues that the first has locked,
 * and the claimed runs that had begun before. Settings of this transaction, under the schema's name; empty where there is none.
 */
const listIn = (setting: string, type: string): string =>
  `string_to_array(nullif(current_setting('rotor.${setting}', true), ''), ',')::${type}[]`;
/** Read once a statement, not once a row. */
export const LOCKED = `(select ${listIn("locked_queues", "int")})::int[]`;
export const RESUMED = listIn("resumed_runs", "uuid");

/** Leaves a list of ids; `ids` is an expression for an aggregate of text. */
export const leave = (setting: "locked_queues" | "resumed_runs", ids: string): string =>
  `set_config('rotor.${setting}', coalesce(${ids}, ''), true)`;
