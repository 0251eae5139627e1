/**
 * Tells webhooks what happened: one job a webhook and event, written in the transaction in which it happens. Which
 * webhooks there are is `webhooks.ts`'s business; what they are told is decided in `core/lifecycle.ts`.
 */
import { newId } from "../core/ids.js";
import type { QueueKind, State } from "../core/job.js";
import {
  type Ended,
  EVERYTHING,
  type Happening,
  happeningsOf,
  type JobFacts,
  jobData,
  type LifecycleType,
  lifecycleBody,
  typeOf,
  wants,
} from "../core/lifecycle.js";
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";

/** Types that any webhook of the schema wants. */
const wanted = sql("tell.wanted", "select distinct unnest(types) as type from rotor.webhooks");

type Remembered = { readonly at: number; readonly types: ReadonlySet<string> };
const remembered = new WeakMap<object, Remembered>();
/** How often what was remembered was forgotten: what was read before that is old news. */
const changes = new WeakMap<object, number>();

/**
 * The types that some webhook wants. Every end of every job asks, and most servers have no webhook, so the answer is
 * remembered for a second: then asking costs nothing, where even a statement over an empty table is planned and carried
 * out in each of those transactions. What is told, and to whom, is read anew in the transaction; only a type that nobody
 * wanted before may go untold on the other nodes in the first second.
 */
async function wantedTypes(t: Queryable): Promise<ReadonlySet<string>> {
  const { origin } = t;
  const known = origin === undefined ? undefined : remembered.get(origin);
  if (known !== undefined && performance.now() - known.at < limits.webhooksKeptMs) return known.types;
  const at = performance.now();
  const before = origin === undefined ? undefined : changes.get(origin);
  const types = new Set((await t.query<{ type: string }>(wanted)).map((row) => row.type));
  if (origin !== undefined && changes.get(origin) === before) remembered.set(origin, { at, types });
  return types;
}

/** Webhooks of this database were changed here: the next who asks looks. */
export function forgetWanted(db: Queryable): void {
  if (db.origin === undefined) return;
  remembered.delete(db.origin);
  changes.set(db.origin, (changes.get(db.origin) ?? 0) + 1);
}

/** True where anybody wants to be told of anything. */
export const isAnybodyTold = async (db: Queryable): Promise<boolean> => (await wantedTypes(db)).size > 0;

const KINDS: readonly QueueKind[] = ["callback", "function"];

/** What happened to one job. */
type OfJob = {
  readonly jobId: string;
  readonly happening: Happening;
  readonly state: State;
  readonly attempt: number;
  /** JSON text. */
  readonly error: string | null;
};

/**
 * The webhooks of each job's workspace beside what they are told of it. A job that itself tells is not among them:
 * else one webhook that fails would never come to rest.
 */
const listeners = sql(
  "tell.listeners",
  `select item.place::int, webhook.queue_id as "to", webhook.types, rotor.clock() as now,
          queue.workspace_id as workspace, queue.name as queue, queue.kind, job.parent_id as "parentId",
          coalesce(job.max_attempts, queue.max_attempts) as "maxAttempts",
          payload.key, payload.tags, payload.created_at as "createdAt", payload.run_at as "runAt"
     from unnest($1::uuid[]) with ordinality as item (id, place)
     join rotor.jobs job on job.id = item.id
     join rotor.queues queue on queue.id = job.queue_id and queue.system is distinct from 'webhook'
     join rotor.webhooks webhook on webhook.workspace_id = queue.workspace_id
     join rotor.payloads payload on payload.job_id = job.id`,
);

type Listener = Omit<JobFacts, "id" | "state" | "attempt" | "error"> & {
  readonly place: number;
  readonly to: number;
  readonly types: readonly string[];
  readonly now: Date;
  readonly workspace: string;
};

/** A queue with trouble is told once an hour: each of its jobs may have the same. */
const firstInAWhile = sql(
  "tell.first",
  `insert into rotor.alerts (workspace_id, type, subject, since)
   select distinct workspace, 'queue.error', subject, rotor.clock() from unnest($1::text[], $2::text[]) as item (workspace, subject)
    order by 1, 3
   on conflict (workspace_id, type, subject) do nothing
   returning workspace_id as workspace, subject`,
);

/** Tells of jobs' and deliveries' ends. Runs in the transaction that wrote them. */
export async function tellEnds(
  t: Queryable,
  ends: readonly (Ended & { readonly jobId: string; readonly attempt: number })[],
): Promise<void> {
  const types = await wantedTypes(t);
  if (types.size === 0) return;
  await tellOfJobs(
    t,
    types,
    ends.flatMap((end) => happeningsOf(end).map((happening) => ({ ...end, happening }))),
  );
}

/** Tells that jobs wait for a person's yes, or have got it. Runs in the transaction that moved them. */
export async function tellApprovals(
  t: Queryable,
  happening: "pending" | "approved",
  jobIds: readonly string[],
): Promise<void> {
  if (jobIds.length === 0) return;
  const types = await wantedTypes(t);
  if (types.size === 0) return;
  const state = happening === "pending" ? "pending_approval" : "waiting";
  await tellOfJobs(
    t,
    types,
    jobIds.map((jobId) => ({ jobId, happening, state, attempt: 0, error: null })),
  );
}

async function tellOfJobs(t: Queryable, types: ReadonlySet<string>, all: readonly OfJob[]): Promise<void> {
  const news = all.filter(({ happening }) =>
    KINDS.some((kind) => {
      const type = typeOf(happening, kind);
      return type !== undefined && (types.has(EVERYTHING) || types.has(type));
    }),
  );
  if (news.length === 0) return;
  const rows = await t.query<Listener>(listeners, [news.map(({ jobId }) => jobId)]);
  const told: Told[] = rows.flatMap((row) => {
    const { happening, jobId, state, attempt, error } = news[row.place - 1]!;
    const type = typeOf(happening, row.kind);
    if (type === undefined || !wants(row.types, type)) return [];
    const data = jobData(happening, { ...row, id: jobId, state, attempt, error });
    return [{ to: row.to, type, workspace: row.workspace, subject: subjectOf(row), now: row.now, data }];
  });
  write(t, await withoutRepeatedErrors(t, told));
}

const subjectOf = ({ kind, queue }: { kind: QueueKind; queue: string }): string => `${kind}/${queue}`;

/** One trouble of a queue for each webhook, and none where the last one is not long ago. */
async function withoutRepeatedErrors(t: Queryable, told: readonly Told[]): Promise<Told[]> {
  const errors = told.filter(({ type }) => type === "queue.error");
  const others = told.filter(({ type }) => type !== "queue.error");
  if (errors.length === 0) return others;
  const first = await t.query<{ workspace: string; subject: string }>(firstInAWhile, [
    errors.map(({ workspace }) => workspace),
    errors.map(({ subject }) => subject),
  ]);
  const fresh = new Set(first.map(({ workspace, subject }) => `${workspace}/${subject}`));
  const one = new Map(
    errors
      .filter(({ workspace, subject }) => fresh.has(`${workspace}/${subject}`))
      .map((each) => [`${each.to}/${each.subject}`, each]),
  );
  return [...others, ...one.values()];
}

/** Something about a workspace that is no job. */
export type News = {
  readonly workspace: string;
  readonly type: LifecycleType;
  readonly data: Readonly<Record<string, unknown>>;
};

const ofWorkspaces = sql(
  "tell.of-workspaces",
  `select workspace_id as workspace, queue_id as "to", types, rotor.clock() as now from rotor.webhooks where workspace_id = any($1::text[])`,
);

/** Tells what no job is the subject of. Answers how many jobs that made. */
export async function tell(t: Queryable, news: readonly News[]): Promise<number> {
  if (news.length === 0) return 0;
  const rows = await t.query<{ workspace: string; to: number; types: string[]; now: Date }>(ofWorkspaces, [
    [...new Set(news.map(({ workspace }) => workspace))],
  ]);
  const told = news.flatMap(({ workspace, type, data }) =>
    rows
      .filter((row) => row.workspace === workspace && wants(row.types, type))
      .map(({ to, now }) => ({ to, type, workspace, subject: "", now, data })),
  );
  write(t, told);
  return told.length;
}

const oneQueue = sql(
  "tell.one",
  `select queue.workspace_id as workspace, queue.id as "to", rotor.clock() as now from rotor.queues queue where id = $1`,
);

/** Tells one webhook that it was asked to be tested. Answers the job; undefined: the webhook is gone. */
export async function tellTest(t: Queryable, queueId: number, name: string): Promise<string | undefined> {
  const [row] = await t.query<{ workspace: string; to: number; now: Date }>(oneQueue, [queueId]);
  if (row === undefined) return undefined;
  const [id] = write(t, [{ ...row, type: "webhook.test", subject: "", data: { webhook: { name } } }]);
  return id;
}

type Told = {
  /** The webhook's queue. */
  readonly to: number;
  readonly type: LifecycleType;
  readonly workspace: string;
  readonly subject: string;
  readonly now: Date;
  readonly data: Readonly<Record<string, unknown>>;
};

/** Inserts payload and job together. A webhook that was deleted meanwhile gets none. */
const insert = sql(
  "tell.insert",
  `with clock as materialized (select rotor.clock() as now),
   kept as (
     insert into rotor.payloads (job_id, queue_id, body, content_type, created_at, run_at, tags)
     select item.id, item.queue_id, item.body, 'application/json', clock.now, clock.now, array[item.type]
       from unnest($1::uuid[], $2::int[], $3::text[], $4::bytea[]) as item (id, queue_id, type, body)
       join rotor.queues queue on queue.id = item.queue_id, clock
     returning job_id, queue_id, run_at
   )
   insert into rotor.jobs (id, queue_id, state, due_at) select job_id, queue_id, 'waiting', run_at from kept`,
);

/** Not awaited: it leaves together with what follows, and its error is the transaction's. Answers the ids. */
function write(t: Queryable, told: readonly Told[]): string[] {
  if (told.length === 0) return [];
  const jobs = told.map(({ to, type, workspace, now, data }) => {
    const id = newId();
    return { id, to, type, body: lifecycleBody({ id, type, createdAt: now, workspace, data }) };
  });
  void t.query(insert, [
    jobs.map(({ id }) => id),
    jobs.map(({ to }) => to),
    jobs.map(({ type }) => type),
    jobs.map(({ body }) => body),
  ]);
  return jobs.map(({ id }) => id);
}
