/**
 * A job that waits becomes another: by a later enqueue under its own id that replaces it, or by a change of some of its
 * parts. What is active or finished is never changed: it may have been delivered as it was.
 */
import type { State } from "../core/job.js";
import { type TurnKey, turnKeys } from "../core/turns.js";
import { bindKeys, TURNS_OF_JOB } from "./bind-keys.js";
import { type Db, type Queryable, sql } from "./db.js";
import type { NewJob } from "./enqueue.js";
import { grantTurns, type HasKeys, KEYS_OF } from "./keys.js";
import { lockJobs } from "./resume.js";

/**
 * Payload and row together, of jobs that are waiting still. What is null stays as it is; a due time moves only where
 * `moves` says so, and a priority alone moves what is due already to the place that it would have had with it. An
 * approval's deadline stays. With another payload or due time its attempts begin anew: it is another job now.
 */
const change = sql(
  "change.jobs",
  `with clock as materialized (select rotor.clock() as now),
   item as (
     select * from unnest($1::uuid[], $2::bytea[], $3::text[], $4::bool[], $5::float8[], $6::timestamptz[], $7::int[], $8::int[], $9::int[],
                          $10::text[], $11::text[], $12::bool[])
       as item (id, body, content_type, moves, delay_ms, run_at, priority, max_attempts, timeout_ms, headers, tags, whole)
   ),
   moved as (
     update rotor.jobs job
        set due_at = case when job.state = 'pending_approval' then job.due_at
                          when not item.moves then
                            case when item.priority is null or job.due_at > clock.now then job.due_at
                                 else least(payload.run_at, clock.now) - item.priority * interval '1 second' end
                          when coalesce(item.run_at, clock.now + item.delay_ms * interval '1 millisecond') <= clock.now
                          then clock.now - coalesce(item.priority, 0) * interval '1 second'
                          else coalesce(item.run_at, clock.now + item.delay_ms * interval '1 millisecond') end,
            attempt = case when item.moves or item.body is not null then 0 else job.attempt end,
            rescues = case when item.moves or item.body is not null then 0 else job.rescues end,
            max_attempts = case when item.whole then item.max_attempts else coalesce(item.max_attempts, job.max_attempts) end,
            timeout_ms = case when item.whole then item.timeout_ms else coalesce(item.timeout_ms, job.timeout_ms) end,
            -- As long as before, from its new time on.
            deadline_at = case when item.moves
                               then greatest(clock.now, coalesce(item.run_at, clock.now + item.delay_ms * interval '1 millisecond'))
                                    + payload.deadline_ms * interval '1 millisecond'
                               else job.deadline_at end
       from item join rotor.payloads payload on payload.job_id = item.id, clock
      where job.id = item.id and job.state in ('waiting', 'pending_approval') and job.held_at is null
     returning job.id, job.state, job.delivery, job.queue_id, job.key_id, job.second_key_id, job.keeps_turn
   ),
   kept as (
     update rotor.payloads payload
        set body = coalesce(item.body, payload.body), content_type = coalesce(item.content_type, payload.content_type),
            run_at = case when item.moves then coalesce(item.run_at, clock.now + item.delay_ms * interval '1 millisecond') else payload.run_at end,
            headers = case when item.whole then item.headers::jsonb else coalesce(item.headers::jsonb, payload.headers) end,
            tags = case when item.tags is null and not item.whole then payload.tags
                        else array(select jsonb_array_elements_text(item.tags::jsonb)) end
       from item, moved, clock
      where payload.job_id = item.id and moved.id = item.id
     returning payload.job_id, payload.body, payload.content_type
   )
   select job.id, job.state, job.queue_id as "queueId", ${KEYS_OF}, job.keeps_turn as "keepsTurn", ${TURNS_OF_JOB} as turns,
          -- A run is counted when it begins.
          case when queue.kind = 'callback' or job.delivery = 0 then queue.rate_key end as "rateKey",
          kept.body, kept.content_type as "contentType"
     from moved job join kept on kept.job_id = job.id join rotor.queues queue on queue.id = job.queue_id`,
);

/** Off its keys, before it is bound to those that it has now. */
const unbind = sql(
  "change.unbind",
  `update rotor.jobs job set key_id = null, second_key_id = null, rate_key_id = null, blocked_on = null, keeps_turn = item.keeps_turn
     from unnest($1::uuid[], $2::bool[]) as item (id, keeps_turn) where job.id = item.id`,
);

type Changed = HasKeys & {
  readonly id: string;
  readonly state: State;
  readonly queueId: number;
  readonly keepsTurn: boolean;
  readonly turns: readonly TurnKey[];
  readonly rateKey: string | null;
  readonly body: Buffer;
  readonly contentType: string;
};

/** What may be changed of a job; what is left out stays. A concurrency key of null: it has none any more. */
export type Changes = Partial<
  Pick<
    NewJob,
    | "body"
    | "contentType"
    | "delayMs"
    | "runAt"
    | "priority"
    | "maxAttempts"
    | "timeoutMs"
    | "headers"
    | "tags"
    | "keyOrder"
  >
> & { readonly concurrencyKey?: string | null };

const write = (t: Queryable, items: readonly { id: string; to: Changes; whole: boolean }[]): Promise<Changed[]> =>
  t.query<Changed>(change, [
    items.map(({ id }) => id),
    items.map(({ to }) => to.body ?? null),
    items.map(({ to }) => to.contentType ?? null),
    items.map(({ to, whole }) => whole || to.delayMs !== undefined || to.runAt !== undefined),
    items.map(({ to }) => to.delayMs ?? 0),
    items.map(({ to }) => to.runAt ?? null),
    items.map(({ to }) => to.priority ?? null),
    items.map(({ to }) => to.maxAttempts ?? null),
    items.map(({ to }) => to.timeoutMs ?? null),
    items.map(({ to }) => (to.headers ? JSON.stringify(to.headers) : null)),
    items.map(({ to }) => (to.tags ? JSON.stringify(to.tags) : null)),
    items.map(({ whole }) => whole),
  ]);

/**
 * Puts jobs in the place of those that wait under their ids. Answers, by the id of the new one, the old row that has
 * become it; the caller binds it to its keys. Of several for one row, the last counts.
 */
export async function replaceWaiting(
  t: Queryable,
  items: readonly { readonly job: NewJob; readonly id: string }[],
): Promise<Map<string, { id: string; state: State; rateKey: string | null }>> {
  const replaced = new Map<string, { id: string; state: State; rateKey: string | null }>();
  if (items.length === 0) return replaced;
  const last = [...new Map(items.map((item) => [item.id, item])).values()];
  await t.query(lockJobs, [last.map((item) => item.id)]);
  const rows = await write(
    t,
    last.map(({ id, job }) => ({ id, to: job, whole: true })),
  );
  const changed = new Map(rows.map((row) => [row.id, row]));
  const moved = last.filter(({ id }) => changed.has(id));
  void t.query(unbind, [moved.map(({ id }) => id), moved.map(({ job }) => turnKeys(job).strict)]);
  for (const { job, id } of items) {
    const row = changed.get(id);
    if (row !== undefined) replaced.set(job.id, { id, state: row.state, rateKey: row.rateKey });
  }
  return replaced;
}

/** Changes a job that waits. False: it does not wait any more. */
export async function changeJob(db: Db, id: string, to: Changes): Promise<boolean> {
  return db.transact(async (t) => {
    await t.query(lockJobs, [[id]]);
    const [row] = await write(t, [{ id, to, whole: false }]);
    if (row === undefined) return false;
    const { queueId, body, contentType, rateKey } = row;
    const { concurrencyKey, keyOrder } = to;
    const now =
      concurrencyKey === undefined
        ? { keys: row.turns, strict: row.keepsTurn }
        : turnKeys({ queueId, concurrencyKey, keyOrder });
    if (to.concurrencyKey !== undefined || (row.rateKey !== null && to.body !== undefined)) {
      void t.query(unbind, [[id], [now.strict]]);
      const job = { queueId, body, contentType };
      if (now.keys.length > 0 || rateKey !== null) await bindKeys(t, [{ id, job, turns: now.keys, rateKey }]);
      await grantTurns(t, [row]);
    }
    return true;
  });
}
