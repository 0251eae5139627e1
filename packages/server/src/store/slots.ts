/**
 * Slots that a job has left although its endpoint may be at work still, in queues with strict_concurrency: its node died,
 * its connection broke, it was cancelled. A claim counts them until the delivery's time limit has passed.
 */
import { type Queryable, sql } from "./db.js";

/**
 * Keeps the slots of these jobs, as far as they are posted (a node holds them) and their queue is strict. To be sent
 * before the statement that moves them, in its transaction, with their rows locked: until then `due_at` is the limit.
 */
export const linger = sql(
  "slots.linger",
  `insert into rotor.slots (job_id, delivery, queue_id, key_id, until)
   select job.id, job.delivery, job.queue_id, job.key_id, job.due_at + $2::int * interval '1 millisecond'
     from rotor.jobs job join rotor.queues queue on queue.id = job.queue_id
    where job.id = any($1::uuid[]) and (job.state || '') = 'active' and job.node_id is not null
      and queue.strict_concurrency and job.due_at + $2::int * interval '1 millisecond' > rotor.clock()
   on conflict (job_id, delivery) do nothing`,
);

const forget = sql("slots.forget", "delete from rotor.slots where until <= rotor.clock()");

/** Removes slots whose time has passed; they count no more in any case. */
export const forgetSlots = (db: Queryable): Promise<unknown> => db.query(forget);
