/** Waits whose condition has no equality: every event of their name is tested against each of them. */
import { type Queryable, sql } from "./db.js";

export type Unindexed = {
  readonly workspace: string;
  readonly event: string;
  /** The condition. */
  readonly match: string;
  /** Waits, parts of waits and runs to cancel that are stored with it. */
  readonly waits: number;
};

const find = sql(
  "unindexed.find",
  `select queue.workspace_id as workspace, waiting.wait ->> 'event' as event, waiting.wait ->> 'cel' as match, count(*)::int as waits
     from (
       select job_id, wait from rotor.steps where wait_key is not null and wait ->> 'unindexed' = 'true'
       union all
       select job_id, wait from rotor.watches where wait ->> 'unindexed' = 'true') waiting
     join rotor.jobs job on job.id = waiting.job_id
     join rotor.queues queue on queue.id = job.queue_id
    group by 1, 2, 3 order by waits desc, workspace, event, match limit 100`,
);

/** By condition, the most common first. A look at all waits: for whoever asks, not for what runs by itself. */
export const unindexedWaits = (db: Queryable): Promise<Unindexed[]> => db.query<Unindexed>(find);
