/** Stored runs to ask an app's code about: the unfinished ones first, spread over the steps that they stand at. Reads only. */
import type { State } from "../core/job.js";
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";

export type AppFunction = {
  readonly queueId: number;
  readonly name: string;
  /** Unfinished runs; each kind of them is counted up to `limits.checkLooked`. */
  readonly unfinished: number;
};

/** The keys that jobs wait for, each found by the one before it: an index has the jobs of a key, none those of a queue that wait for any. */
const BLOCKING = `recursive blocking as (
     (select blocked_on as id from rotor.jobs where blocked_on is not null order by blocked_on limit 1)
     union all
     select next.id from blocking cross join lateral (
       select blocked_on as id from rotor.jobs where blocked_on > blocking.id order by blocked_on limit 1) next
   )`;

/** Runs of a queue that wait for a key, of each one those that are due soonest. */
const blocked = (queueId: string): string =>
  `select job.id from (select id from blocking limit $3) key cross join lateral (
       select id from rotor.jobs where blocked_on = key.id and queue_id = ${queueId} and state = 'waiting' order by due_at limit $3) job limit $3`;

/** The functions of an app, those that it no longer has among them. */
const functions = sql(
  "sample.functions",
  `with ${BLOCKING}
   select queue.id as "queueId", queue.name,
          ((select count(*) from (select 1 from rotor.jobs where queue_id = queue.id and state = 'waiting' and blocked_on is null limit $3) waiting)
         + (select count(*) from (select 1 from rotor.jobs where queue_id = queue.id and state = 'active' limit $3) active)
         + (select count(*) from (${blocked("queue.id")}) blocked))::int as unfinished
     from rotor.queues queue join rotor.apps app on app.id = queue.app_id
    where app.workspace_id = $1 and app.name = $2 and queue.kind = 'function'
    order by queue.name`,
);

export const listAppFunctions = (db: Queryable, workspace: string, app: string): Promise<AppFunction[]> =>
  db.query<AppFunction>(functions, [workspace, app, limits.checkLooked]);

export type Sampled = { readonly jobId: string; readonly isFinished: boolean };

/**
 * Runs of one function. Unfinished ones are taken from those that are due soonest, due last, active, or wait for a key; of
 * each step that some of them stand at, whatever its use, one by one. Finished ones are the newest.
 */
const sample = sql(
  "sample.runs",
  `with ${BLOCKING},
   pool as (
     (select id from rotor.jobs where queue_id = $1 and state = 'waiting' and blocked_on is null order by due_at limit $3)
     union
     (select id from rotor.jobs where queue_id = $1 and state = 'waiting' and blocked_on is null order by due_at desc limit $3)
     union
     (select id from rotor.jobs where queue_id = $1 and state = 'active' order by active_at limit $3)
     union
     (${blocked("$1")})
   ),
   standing as (
     select pool.id, coalesce((select regexp_replace(key, '#[0-9]+$', '') from rotor.steps
                                where job_id = pool.id and state = 'waiting' order by due_at, key limit 1), '') as step
       from pool
   ),
   unfinished as (
     select id, row_number() over (order by turn, id) as place
       from (select id, row_number() over (partition by step order by id) as turn from standing) each
   ),
   finished as (
     select job.id, row_number() over (order by job.id desc) as place
       from (select job_id from rotor.payloads where queue_id = $1 order by job_id desc limit $3) newest
       join rotor.jobs job on job.id = newest.job_id and job.state in ('completed', 'failed')
   )
   select id as "jobId", false as "isFinished" from unfinished where place <= $2
   union all
   (select id, true from finished order by place limit greatest(0, $2 - (select count(*) from unfinished)))`,
);

export const sampleRuns = (db: Queryable, queueId: number, limit: number): Promise<Sampled[]> =>
  db.query<Sampled>(sample, [queueId, limit, limits.checkLooked]);

/** A stored run, with what its deliveries carry beside its steps. */
export type StoredRun = {
  readonly state: State;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly body: Buffer;
  /** Of a batch: the events behind the first, as JSON texts with commas between them. */
  readonly batched: string | null;
  readonly output: string | null;
};

const one = sql(
  "sample.one",
  `select job.state, greatest(job.attempt, 1) as attempt, coalesce(job.max_attempts, queue.max_attempts) as "maxAttempts", payload.body,
          (select string_agg(convert_from(body, 'UTF8'), ',' order by place) from rotor.batched where job_id = job.id) as batched,
          case when job.state = 'completed' then (select output from rotor.deliveries where job_id = job.id order by delivery desc limit 1) end as output
     from rotor.jobs job
     join rotor.payloads payload on payload.job_id = job.id
     join rotor.queues queue on queue.id = job.queue_id
    where job.id = $1`,
);

/** Undefined: it has been pruned meanwhile. */
export const readStoredRun = async (db: Queryable, jobId: string): Promise<StoredRun | undefined> =>
  (await db.query<StoredRun>(one, [jobId]))[0];
