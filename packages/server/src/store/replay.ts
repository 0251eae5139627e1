/**
 * replay: a new run like an old one, from the start or from one of its steps with the results before it copied. Enqueued as
 * any other, so it has its keys, its function's rate and time limit; the old one stays as it is. A callback job's copy has
 * no concurrency key: whoever replays it says when.
 */
import type { StartOptions } from "@rotorsh/sdk/protocol";
import { newId } from "../core/ids.js";
import type { MatchedEvent } from "../core/match.js";
import { isPlain, startValues } from "../core/start-values.js";
import { functionKeysOf } from "../core/turns.js";
import { type Cancellable, watchForCancels } from "./cancel-on.js";
import { type Db, type Queryable, sql } from "./db.js";
import { enqueue, type NewJob } from "./enqueue.js";
import { eventName, lockNames, type NameLock } from "./names.js";
import { lockJobs } from "./resume.js";

/** A run to be replayed. */
export type Replay = {
  readonly jobId: string;
  /** Key of a step of it: the results recorded before it are copied; of an unfinished step, all results. */
  readonly fromStep?: string;
  /** In place of the old one's event. */
  readonly body?: Buffer;
  /** Of two replays in one queue with one key, the second does nothing and answers the first. */
  readonly key?: string;
};

/** What the functions of these runs say of starts, read before their names can be locked. */
const functions = sql(
  "replay.functions",
  `select distinct on (queue.id) queue.kind, queue.workspace_id as workspace, queue.starting
     from rotor.payloads payload join rotor.queues queue on queue.id = payload.queue_id where payload.job_id = any($1::uuid[])`,
);

/** What a copy is made of. Its time limit is the function's of today. */
const originals = sql(
  "replay.originals",
  `select job.id as "jobId", job.queue_id as "queueId", job.max_attempts as "maxAttempts", job.timeout_ms as "timeoutMs",
          case when queue.kind = 'function' then coalesce((
            select jsonb_agg(jsonb_build_object('name', key.key, 'limit', key.concurrency) order by key.id = job.second_key_id)
              from rotor.keys key where key.id in (job.key_id, job.second_key_id)), '[]') else '[]' end as keys, payload.body, payload.content_type as "contentType",
          payload.headers, payload.tags, payload.event_id as "eventId", queue.kind, queue.workspace_id as workspace, queue.starting
     from rotor.jobs job
     join rotor.payloads payload on payload.job_id = job.id
     join rotor.queues queue on queue.id = job.queue_id
    where job.id = any($1::uuid[])`,
);

type Original = {
  readonly jobId: string;
  readonly queueId: number;
  readonly maxAttempts: number | null;
  readonly timeoutMs: number | null;
  /** Those of a run. */
  readonly keys: readonly { readonly name: string; readonly limit: number }[];
  readonly body: Buffer;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>> | null;
  readonly tags: readonly string[] | null;
  readonly eventId: string | null;
  readonly kind: "callback" | "function";
  readonly workspace: string;
  /** The function's options of today. */
  readonly starting: StartOptions;
};

type Startable = Pick<Original, "kind" | "workspace" | "starting">;

const knownSteps = sql(
  "replay.steps",
  `select step.job_id as "jobId", step.key from rotor.steps step
     join unnest($1::uuid[], $2::text[]) as item (job_id, key) on step.job_id = item.job_id and step.key = item.key`,
);

/**
 * Results recorded before a step, in their order. What a wait of the copy may look back to is decided here: the last of them
 * ends now, since the step behind it could first start now; those before it keep their times, so that a wait whose own
 * step before was copied sees the events that it would have seen. An event stays consumed, and came when it came.
 */
const copySteps = sql(
  "replay.copy-steps",
  `insert into rotor.steps (job_id, key, kind, state, attempt, seq, wait, asked_at, event_id, ended_at, duration_ms, output, error)
   select to_id, key, kind, state, attempt, nextval('rotor.step_seq'), wait, asked_at, event_id,
          case when last and event_id is null then rotor.clock() else ended_at end, duration_ms, output, error
     from (select item.to_id, step.*, lead(step.seq) over (partition by item.to_id order by step.seq) is null as last
             from unnest($1::uuid[], $2::uuid[], $3::text[]) as item (from_id, to_id, key)
             join rotor.steps until on until.job_id = item.from_id and until.key = item.key
             join rotor.steps step on step.job_id = item.from_id and step.seq < coalesce(until.seq, 9223372036854775807)
            order by item.to_id, step.seq) old`,
);

/** With results of an older run, waits may look back as far as that one's could. */
const rememberHistory = sql(
  "replay.history",
  `update rotor.payloads copy set history_from = coalesce(old.history_from, old.created_at)
     from unnest($1::uuid[], $2::uuid[]) as item (from_id, to_id) join rotor.payloads old on old.job_id = item.from_id
    where copy.job_id = item.to_id and exists (select 1 from rotor.steps where job_id = item.to_id)`,
);

/** The events of a batch behind its first; with another input there is but that. */
const copyBatch = sql(
  "replay.copy-batch",
  `insert into rotor.batched (job_id, place, event_id, body)
   select item.to_id, old.place, old.event_id, old.body
     from unnest($1::uuid[], $2::uuid[]) as item (from_id, to_id) join rotor.batched old on old.job_id = item.from_id and old.body is not null`,
);

/** Replays runs. Answers in order the new ids; undefined where there is no such run, or no such step in it. */
export async function replayAll(db: Db, items: readonly Replay[]): Promise<(string | undefined)[]> {
  if (items.length === 0) return [];
  return db.transact(async (t) => {
    const ids = [...new Set(items.map((item) => item.jobId))];
    // Names come before rows: an event that cancels the copy is published before it is there, or sees what it is to cancel.
    await lockNames(t, namesOf(db.schema, await t.query<Startable>(functions, [ids])));
    // Locked, so that none is pruned between the statements: a copy without its steps would run them again.
    await t.query(lockJobs, [ids]);
    const olds = new Map((await t.query<Original>(originals, [ids])).map((row) => [row.jobId, row]));
    const steps = await stepsOf(t, items);
    const copies = items.flatMap((item) => {
      const old = olds.get(item.jobId);
      if (old === undefined || (item.fromStep !== undefined && !steps.has(`${item.jobId}/${item.fromStep}`))) return [];
      return [{ item, job: jobOf(item, old) }];
    });
    const enqueued = await enqueue(
      t,
      copies.map(({ job }) => job),
    );
    const made = copies.filter(({ job }, index) => enqueued[index]!.id === job.id);
    const partly = made.filter(({ item }) => item.fromStep !== undefined);
    if (partly.length > 0) {
      const [from, to] = pairs(partly);
      void t.query(copySteps, [from, to, partly.map(({ item }) => item.fromStep!)]);
      void t.query(rememberHistory, [from, to]);
    }
    void t.query(copyBatch, pairs(made.filter(({ item }) => item.body === undefined)));
    await watchForCancels(
      t,
      made.flatMap(({ item, job }) => watched(olds.get(item.jobId)!, job)),
    );
    const answers = new Map(copies.map(({ item }, index) => [item, enqueued[index]!.id]));
    return items.map((item) => answers.get(item));
  });
}

/** Replays one run. */
export const replay = async (db: Db, jobId: string, how: Omit<Replay, "jobId">): Promise<string | undefined> =>
  (await replayAll(db, [{ jobId, ...how }]))[0];

const pairs = (copies: readonly { readonly item: Replay; readonly job: NewJob }[]): [string[], string[]] => [
  copies.map(({ item }) => item.jobId),
  copies.map(({ job }) => job.id),
];

async function stepsOf(t: Queryable, items: readonly Replay[]): Promise<ReadonlySet<string>> {
  const asked = items.filter((item) => item.fromStep !== undefined);
  if (asked.length === 0) return new Set();
  const rows = await t.query<{ jobId: string; key: string }>(knownSteps, [
    asked.map((item) => item.jobId),
    asked.map((item) => item.fromStep!),
  ]);
  return new Set(rows.map((row) => `${row.jobId}/${row.key}`));
}

/** What may cancel runs of this function. */
const cancelOnOf = ({ kind, starting }: Startable) => (kind === "function" ? (starting.cancel_on ?? []) : []);

const namesOf = (schema: string, olds: readonly Startable[]): NameLock[] =>
  olds.flatMap((old) =>
    cancelOnOf(old).map(({ event }) => ({ name: eventName(schema, old.workspace, event), exclusive: false })),
  );

const eventIn = (body: Buffer): MatchedEvent => JSON.parse(body.toString()) as MatchedEvent;

function watched(old: Original, { id, body }: NewJob): Cancellable[] {
  const cancelOn = cancelOnOf(old);
  return cancelOn.length === 0 ? [] : [{ id, workspace: old.workspace, event: eventIn(body), cancelOn }];
}

/** What a run's function says today of such an event: its keys, or where it has none the old run's, its place, its time. */
function optionsOf({ kind, starting, keys }: Original, body: Buffer): Partial<NewJob> {
  const own = keys.length > 0 && { functionKeys: functionKeysOf(keys) };
  if (kind !== "function" || isPlain(starting)) return { ...own };
  const values = startValues(starting, eventIn(body));
  return {
    ...(values.keys.length > 0 ? { functionKeys: values.keys } : own),
    ...(values.priority !== undefined && { priority: values.priority }),
    ...(starting.timeout_ms !== undefined && { deadlineMs: starting.timeout_ms }),
  };
}

/** The copy as a job to be: where what its function says of starts goes, but for what chooses between starts. */
const jobOf = (item: Replay, old: Original): NewJob => ({
  id: newId(),
  queueId: old.queueId,
  key: item.key ?? null,
  body: item.body ?? old.body,
  contentType: old.contentType,
  ...optionsOf(old, item.body ?? old.body),
  ...(old.maxAttempts !== null && { maxAttempts: old.maxAttempts }),
  ...(old.timeoutMs !== null && { timeoutMs: old.timeoutMs }),
  ...(old.headers !== null && { headers: old.headers }),
  ...(old.tags !== null && { tags: old.tags }),
  ...(old.eventId !== null && { eventId: old.eventId }),
  replayOf: item.jobId,
});
