/**
 * What may never happen, as queries: each answers the rows that break it, so an empty answer is a good one. `rotor doctor`
 * runs them, and every fault test ends with them. Numbers are those of ARCHITECTURE.md.
 */
import { type Queryable, type Statement, sql } from "./db.js";

const GRACE = "interval '60 seconds'";

const named: readonly { readonly number: number; readonly name: string; readonly statement: Statement }[] = [
  {
    number: 2,
    name: "an unfinished job without a due time",
    statement: sql(
      "invariant.no-due",
      "select id::text from rotor.jobs where due_at is null and state in ('pending_approval', 'waiting', 'active')",
    ),
  },
  {
    number: 2,
    name: "a job past due by a minute in an open queue with room, while a node lives",
    statement: sql(
      "invariant.late",
      `select job.id::text from rotor.jobs job join rotor.queues queue on queue.id = job.queue_id
        where job.state = 'waiting' and job.blocked_on is null and job.held_at is null and job.due_at < rotor.clock() - ${GRACE}
          and queue.paused_at is null and queue.url is not null and queue.open_at < rotor.clock() - ${GRACE}
          and exists (select 1 from rotor.nodes where lease_until > rotor.clock() and started_at < rotor.clock() - ${GRACE})
          and coalesce(queue.concurrency > (select count(*) from rotor.jobs active where active.queue_id = queue.id and active.state = 'active'), true)
          and not exists (select 1 from rotor.settings where name = 'held' and value = 'true')`,
    ),
  },
  {
    number: 2,
    name: "a waiting run that is due later than its steps, and does not back off",
    statement: sql(
      "invariant.no-waker",
      `select job.id::text from rotor.jobs job
        where job.state = 'waiting' and job.held_at is null and job.due_at > rotor.clock() + ${GRACE}
          and exists (select 1 from rotor.steps where job_id = job.id and state = 'waiting' and due_at < job.due_at - ${GRACE})
          and not exists (select 1 from rotor.deliveries last
                           where last.job_id = job.id and last.delivery = job.delivery and last.outcome in ('retry', 'expired'))`,
    ),
  },
  {
    number: 2,
    name: "an unfinished run past its deadline by a minute, while a node lives",
    statement: sql(
      "invariant.deadline",
      `select id::text from rotor.jobs where deadline_at < rotor.clock() - ${GRACE} and due_at is not null
          and exists (select 1 from rotor.nodes where lease_until > rotor.clock() and started_at < rotor.clock() - ${GRACE})
          and not exists (select 1 from rotor.settings where name = 'held' and value = 'true')`,
    ),
  },
  {
    number: 3,
    name: "two results of one run in one place of its order",
    statement: sql(
      "invariant.seq",
      "select job_id::text as id from rotor.steps where seq is not null group by job_id, seq having count(*) > 1",
    ),
  },
  {
    number: 5,
    name: "a finished job without the log row of its end",
    statement: sql(
      "invariant.unlogged",
      `select job.id::text from rotor.jobs job
        where job.due_at is null and not exists (select 1 from rotor.deliveries where job_id = job.id and delivery = job.delivery)`,
    ),
  },
  {
    number: 6,
    name: "more active jobs than a queue allows",
    statement: sql(
      "invariant.concurrency",
      `select queue.id::text from rotor.queues queue join rotor.jobs job on job.queue_id = queue.id and job.state = 'active'
        group by queue.id having count(*) > queue.concurrency`,
    ),
  },
  {
    number: 6,
    name: "more active jobs than a key allows",
    statement: sql(
      "invariant.turns",
      `select key.id::text from rotor.keys key
         join (select key_id as id from rotor.jobs where key_id is not null and state = 'active'
               union all
               select second_key_id from rotor.jobs where second_key_id is not null and state = 'active') active on active.id = key.id
        where key.kind = 'turn' group by key.id having count(*) > key.concurrency`,
    ),
  },
  {
    number: 7,
    name: "a job that waits for a key which is none of its own, so that nothing of its own lets it go on",
    statement: sql(
      "invariant.foreign-key",
      `select id::text from rotor.jobs
        where blocked_on is not null
          and blocked_on is distinct from key_id and blocked_on is distinct from second_key_id and blocked_on is distinct from rate_key_id`,
    ),
  },
  {
    number: 7,
    name: "an active job that no living node holds, past the lease",
    statement: sql(
      "invariant.unheld",
      `select job.id::text from rotor.jobs job
        where job.state = 'active' and job.node_id is not null
          and not exists (select 1 from rotor.nodes where nodes.id = job.node_id and lease_until > rotor.clock() - ${GRACE})
          and exists (select 1 from rotor.nodes where lease_until > rotor.clock() and started_at < rotor.clock() - ${GRACE})`,
    ),
  },
  {
    number: 8,
    name: "an event that started two runs of one function",
    statement: sql(
      "invariant.event-twice",
      "select event_id::text as id from rotor.payloads where event_id is not null and replay_of is null group by event_id, queue_id having count(*) > 1",
    ),
  },
  {
    number: 10,
    name: "one event that ended two waits of one run",
    statement: sql(
      "invariant.consumed-twice",
      "select job_id::text as id from rotor.steps where event_id is not null group by job_id, event_id having count(*) > 1",
    ),
  },
  {
    number: 12,
    name: "a child that ended while a step still waits for it",
    statement: sql(
      "invariant.child",
      `select step.job_id::text as id from rotor.steps step join rotor.jobs child on child.id = (step.wait ->> 'job')::uuid
        where step.state = 'waiting' and step.kind in ('invoke', 'enqueue') and child.due_at is null`,
    ),
  },
  {
    number: 13,
    name: "a job rescued more often than is allowed",
    statement: sql("invariant.rescues", "select id::text from rotor.jobs where rescues > 6"),
  },
  {
    number: 2,
    name: "a finished run with a step that still waits",
    statement: sql(
      "invariant.leftover",
      "select step.job_id::text as id from rotor.steps step join rotor.jobs job on job.id = step.job_id where step.state = 'waiting' and job.due_at is null",
    ),
  },
  {
    number: 2,
    name: "a part of a wait that is over, or an event that may cancel what has ended",
    statement: sql(
      "invariant.watches",
      `select watch.job_id::text as id from rotor.watches watch
        where case when watch.key = '' then not exists (select 1 from rotor.jobs where id = watch.job_id and state not in ('completed', 'cancelled'))
                   else not exists (select 1 from rotor.steps where job_id = watch.job_id and key = watch.key and kind = 'any' and state = 'waiting') end`,
    ),
  },
  {
    number: 10,
    name: "a wait for the first of several things that has lost its parts",
    statement: sql(
      "invariant.parts",
      `select job_id::text as id from rotor.steps step where kind = 'any' and state = 'waiting'
          and not exists (select 1 from rotor.watches where job_id = step.job_id and key = step.key)`,
    ),
  },
];

export type Violation = { readonly number: number; readonly name: string; readonly ids: readonly string[] };

/** The invariants that are broken now; none, if all is well. */
export async function violations(db: Queryable): Promise<Violation[]> {
  const found: Violation[] = [];
  for (const { number, name, statement } of named) {
    const rows = await db.query<{ id: string }>(statement);
    if (rows.length > 0) found.push({ number, name, ids: rows.slice(0, 20).map((row) => row.id) });
  }
  return found;
}
