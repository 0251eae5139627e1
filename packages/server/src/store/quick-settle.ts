/**
 * The end that most deliveries have: completed, and nobody waits for it or its turn. One statement, a transaction by
 * itself, for any number of jobs. Whatever it does not take is left to `settle.ts`: a stale delivery, a row in other
 * hands, a job with a key, a parent, or an end that a webhook is told of.
 */
import { type Db, hot, sparse } from "./db.js";
import { LOG_ONCE } from "./finish.js";
import type { Settled, Settlement } from "./settle.js";
import { isAnybodyTold } from "./tell.js";

/** The fence is on the row that is locked, and what it protects is written, not looked at. A run that is over waits for nothing. */
const write = hot(
  "settle.quick",
  `with item as (
     select * from unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::float8[], $6::text[], $7::text[], $8::text[])
       as item (id, delivery, attempt, status, duration_ms, output, error, detail)
   ),
   held as materialized (
     select job.id
       from item join rotor.jobs job on job.id = item.id
      where job.delivery = item.delivery and (job.state || '') = 'active' and job.key_id is null and job.second_key_id is null
        for no key update of job skip locked
   ),
   moved as (
     update rotor.jobs job
        set state = 'completed', rescues = 0, woken = false, node_id = null, due_at = null, held_at = null
      where id = any (array(select id from held))
     returning id, queue_id
   ),
   next as materialized (
     select queue.id as queue_id, first.due_at <= rotor.clock() as due
       from (select distinct queue_id as id from moved where $10) queue
      cross join lateral (
        select due_at from rotor.jobs where queue_id = queue.id and state = 'waiting' and blocked_on is null order by due_at limit 1) first
   ),
   logged as (
     insert into rotor.deliveries (job_id, delivery, attempt, outcome, status, ended_at, duration_ms, output, error, detail)
     select item.id, item.delivery, item.attempt, 'completed', item.status, rotor.clock(), item.duration_ms, item.output, item.error, item.detail
       from item where id = any (array(select id from held))
     ${LOG_ONCE}
   ),
   watches as (
     delete from rotor.watches where job_id = any (array(select id from held where id = any($9::uuid[])))
   ),
   dropped as (
     update rotor.steps set state = 'dropped', due_at = null, wait_key = null
      where job_id = any (array(select id from held where id = any($9::uuid[]))) and state = 'waiting'
   )
   select moved.id, not $10 or coalesce(next.due, false) as due from moved left join next on next.queue_id = moved.queue_id`,
);

const DONE = { kind: "settled", state: "completed", outcome: "completed", next: null, resumed: [] } as const;
const LAST: Settled = { ...DONE, due: false };
const ONE_OF_MORE: Settled = { ...DONE, due: true };

/** Writes those that it can; each job is among `items` once. Answers for what it has written. */
export async function quickSettle(db: Db, items: readonly Settlement[]): Promise<Map<Settlement, Settled>> {
  const apt = items.filter(
    ({ outcome, parentId, shared, lingers }) =>
      outcome.outcome === "completed" && outcome.reports.length === 0 && parentId === null && !shared && !lingers,
  );
  if (apt.length === 0 || (await isAnybodyTold(db))) return new Map();
  const values = [
    apt.map((item) => item.jobId),
    apt.map((item) => item.delivery),
    apt.map((item) => item.attempt),
    sparse(apt, (item) => item.status),
    apt.map((item) => Math.round(item.durationMs)),
    sparse(apt, (item) => item.outcome.output),
    sparse(apt, (item) => (item.outcome.error === null ? null : JSON.stringify(item.outcome.error))),
    sparse(apt, (item) => item.detail),
    apt.filter((item) => item.kind !== "callback").map((item) => item.jobId),
    apt.some((item) => item.asks === true),
  ];
  const rows = await db.query<{ id: string; due: boolean }>(write, values);
  const done = new Map(rows.map((row) => [row.id, row.due ? ONE_OF_MORE : LAST]));
  return new Map(apt.filter((item) => done.has(item.jobId)).map((item) => [item, done.get(item.jobId)!]));
}
