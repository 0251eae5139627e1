/** Finds whatever of a workspace has exactly this id or name: by an index each, nothing is searched through. */
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";

export type Found = {
  readonly type: "run" | "job" | "event" | "queue" | "function" | "schedule" | "webhook";
  readonly id: string;
  readonly name: string | null;
  readonly queue: string | null;
  readonly state: string | null;
};

/** $2 the text, $3 the same where it is an id of ours. */
const find = sql(
  "find.all",
  `select case queue.kind when 'function' then 'run' else 'job' end as type, job.id::text as id, payload.key as name, queue.name as queue, job.state
     from rotor.queues queue
     join rotor.payloads payload on payload.queue_id = queue.id
     join rotor.jobs job on job.id = payload.job_id
    where queue.workspace_id = $1 and payload.job_id = $3
   union all
   select case queue.kind when 'function' then 'run' else 'job' end, job.id::text, payload.key, queue.name, job.state
     from rotor.queues queue
    cross join lateral (select job_id, key from rotor.payloads where queue_id = queue.id and key = $2 limit 1) payload
     join rotor.jobs job on job.id = payload.job_id
    where queue.workspace_id = $1 and payload.job_id is distinct from $3
   union all
   select 'event', key, name, null, null from rotor.events where workspace_id = $1 and key = $2
   union all
   select 'event', key, name, null, null from rotor.events where workspace_id = $1 and id = $3 and key <> $2
   union all
   select case kind when 'function' then 'function' else 'queue' end, name, name, null, null
     from rotor.queues where workspace_id = $1 and name = $2 and system is null
   union all
   select 'schedule', name, name, null, null from rotor.schedules where workspace_id = $1 and name = $2
   union all
   select 'webhook', name, name, null, null from rotor.webhooks where workspace_id = $1 and name = $2
    limit $4`,
);

/** @param id the same text, where it is formed like an id of ours. */
export const findAnything = (db: Queryable, workspace: string, text: string, id: string | null): Promise<Found[]> =>
  db.query<Found>(find, [workspace, text, id, limits.found]);
