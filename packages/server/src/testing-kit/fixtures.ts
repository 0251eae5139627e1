/** Queues, jobs and runs in a line each, for tests of the store and of what stands on it. No test of its own. */
import type { AnyReport, EventReport, Report, RunReport, StartOptions, Trigger } from "@rotorsh/sdk/protocol";
import { PROTOCOL_VERSION } from "@rotorsh/sdk/protocol";
import { newId } from "../core/ids.js";
import { decide, type End, type Policy, type QueueKind } from "../core/job.js";
import { compile, type MatchedEvent } from "../core/match.js";
import { eventKey } from "../core/wait-key.js";
import { syncApp } from "../store/apps.js";
import { type AGAIN, batchWriter } from "../store/batch.js";
import { type Checkpointed, checkpoint } from "../store/checkpoint.js";
import { claim, type Taken } from "../store/claim.js";
import type { Db } from "../store/db.js";
import { type Enqueued, enqueue, type NewJob } from "../store/enqueue.js";
import { loadJobs } from "../store/load.js";
import { type NewEvent, type Published, publish } from "../store/publish.js";
import { createQueue, DEFAULT_QUEUE, type Queue, type QueueSettings } from "../store/queues.js";
import { type Settled, type Settlement, settle } from "../store/settle.js";
import { createWorkspace } from "../store/workspaces.js";

/** The workspace of every fixture that is not told another. */
export const WORKSPACE = "default";

/** Failures come back after exactly a second. */
export const POLICY: Policy = {
  maxAttempts: 4,
  backoff: { kind: "fixed", factor: 1, minMs: 1_000, maxMs: 1_000, jitter: "none", listMs: [] },
};

/** A callback queue with a URL, in its workspace, which is made where it is not there. */
export async function callbackQueue(db: Db, name = "queue", settings: Partial<QueueSettings> = {}): Promise<Queue> {
  await createWorkspace(db, WORKSPACE, WORKSPACE);
  const queue = await createQueue(db, WORKSPACE, name, {
    ...DEFAULT_QUEUE,
    url: "http://127.0.0.1:9/",
    backoff: POLICY.backoff,
    ...settings,
  });
  if (queue === undefined) throw new Error(`The queue ${name} is there already.`);
  return queue;
}

/** A function served by an app of its own; answers its queue's id. */
export async function functionQueue(
  db: Db,
  name = "function",
  options: {
    triggers?: readonly Trigger[];
    concurrency?: number;
    workspace?: string;
    starting?: StartOptions;
  } = {},
): Promise<number> {
  const workspace = options.workspace ?? WORKSPACE;
  await createWorkspace(db, workspace, workspace);
  const manifest = {
    version: PROTOCOL_VERSION,
    app: name,
    sdk: "test",
    hash: "1",
    dev: false,
    functions: [
      {
        id: name,
        triggers: options.triggers ?? [],
        max_attempts: POLICY.maxAttempts,
        concurrency: options.concurrency ?? 1_000,
        ...options.starting,
      },
    ],
  };
  const synced = await syncApp(db, workspace, `http://127.0.0.1:9/${name}`, manifest, false);
  if (!synced.ok) throw new Error(synced.message);
  const { rows } = await db.script(
    `select id from rotor.queues where kind = 'function' and workspace_id = '${workspace}' and name = '${name}'`,
  );
  return rows[0].id;
}

/** A job to be, due now. */
export const newJob = (queueId: number, more: Partial<NewJob> = {}): NewJob => ({
  id: newId(),
  queueId,
  key: null,
  body: Buffer.from("{}"),
  contentType: "application/json",
  ...more,
});

/** A run to be: its body is the event that starts it. */
export const newRun = (queueId: number, data: unknown = {}, more: Partial<NewJob> = {}): NewJob =>
  newJob(queueId, {
    body: Buffer.from(JSON.stringify({ id: newId(), name: "test/started", data, ts: Date.now() })),
    ...more,
  });

/** Enqueues in one transaction. */
export const enqueueAll = (db: Db, jobs: readonly NewJob[]): Promise<Enqueued[]> =>
  db.transact((t) => enqueue(t, jobs));

/** A delivery in a holder's hands. */
export type Holder = {
  readonly jobId: string;
  readonly delivery: number;
  readonly attempt: number;
  readonly parentId: string | null;
  readonly kind: QueueKind;
};

/** Claims everything due in this queue. */
export const claimAll = async (db: Db, queueId: number, nodeId: string = newId()): Promise<readonly Taken[]> =>
  (await claim(db, nodeId, [queueId], 1_000)).taken;

/** Claims this one job; throws where it is not due. */
export async function claimOne(db: Db, queueId: number, jobId: string, nodeId: string = newId()): Promise<Holder> {
  const taken = (await claimAll(db, queueId, nodeId)).find((each) => each.jobId === jobId);
  if (taken === undefined) throw new Error(`${jobId} was not claimed.`);
  const [loaded] = await loadJobs(db, [taken]);
  return {
    jobId,
    delivery: taken.delivery,
    attempt: loaded!.attempt,
    parentId: loaded!.parentId,
    kind: taken.kind,
  };
}

/** A run that was just started and claimed. */
export async function activeRun(
  db: Db,
  queueId: number,
  data: unknown = {},
  nodeId: string = newId(),
): Promise<Holder> {
  const run = newRun(queueId, data);
  await enqueueAll(db, [run]);
  return claimOne(db, queueId, run.id, nodeId);
}

/** What a node writes when a delivery has ended so. */
export function settlement(holder: Holder, end: End, more: Partial<Settlement> = {}): Settlement {
  const outcome = decide({ kind: holder.kind, attempt: holder.attempt, asyncTimeoutMs: 60_000 }, end, POLICY, 0);
  if (outcome === undefined) throw new Error("Nothing is written for this end.");
  const { jobId, delivery, attempt, parentId } = holder;
  return {
    jobId,
    delivery,
    attempt,
    parentId,
    outcome,
    policy: POLICY,
    status: 200,
    durationMs: 1,
    random: 0,
    ...more,
  };
}

/** Settles one delivery, waiting for its row where it is in other hands. */
export async function settleOne(db: Db, holder: Holder, end: End, more: Partial<Settlement> = {}): Promise<Settled> {
  const writer = batchWriter<Settlement, Settled>((items) => settle(db, items), { size: 1 });
  return writer.write(settlement(holder, end, more));
}

/** Reports of one delivery, written once; AGAIN where its row is in other hands. */
export async function checkpointOnce(
  db: Db,
  holder: Pick<Holder, "jobId" | "delivery">,
  reports: readonly Report[],
  knownSeq = 0,
): Promise<Checkpointed | typeof AGAIN> {
  const [result] = await checkpoint(
    db,
    [{ jobId: holder.jobId, delivery: holder.delivery, reports, knownSeq }],
    () => false,
  );
  return result!;
}

/** Reports of one delivery, waiting for its row where it is in other hands. */
export async function checkpointOne(
  db: Db,
  holder: Pick<Holder, "jobId" | "delivery">,
  reports: readonly Report[],
  knownSeq = 0,
): Promise<Checkpointed> {
  const writer = batchWriter<readonly Report[], Checkpointed>(
    async ([each]) => [await checkpointOnce(db, holder, each!, knownSeq)],
    { size: 1 },
  );
  return writer.write(reports);
}

/** A step that ran to its end. */
export const ran = (key: string, output: string | number | null = null, attempt = 1): RunReport => ({
  kind: "run",
  key,
  attempt,
  duration_ms: 1,
  outcome: "completed",
  output,
});

/** A wait for an event; an hour unless told otherwise. */
export const waitFor = (key: string, event: string, more: Partial<EventReport> = {}): EventReport => ({
  kind: "event",
  key,
  event,
  timeout_ms: 3_600_000,
  ...more,
});

/** A wait for the first of these, in this order; an hour unless told otherwise. */
export const waitForAny = (key: string, parts: AnyReport["parts"], more: Partial<AnyReport> = {}): AnyReport => ({
  kind: "any",
  key,
  parts,
  timeout_ms: 3_600_000,
  ...more,
});

/** Lets an event cancel a run, as its function's cancelOn does. */
export async function cancelOn(
  db: Db,
  jobId: string,
  event: string,
  { match, trigger, untilMs }: { match?: EventReport["match"]; trigger?: MatchedEvent; untilMs?: number } = {},
): Promise<void> {
  const compiled = compile(match, trigger ?? { id: "", name: "", data: null, ts: 0 });
  if (!compiled.ok) throw new Error(compiled.message);
  const place = {
    name: "fixtures.cancel-on",
    text: `insert into rotor.watches (job_id, key, name, kind, wait_key, wait, asked_at, until)
           select $1, '', (select count(*)::text from rotor.watches where job_id = $1 and key = ''), 'event', $2, $3::jsonb, rotor.clock(),
                  rotor.clock() + $4::float8 * interval '1 millisecond'`,
  };
  await db.query(place, [
    jobId,
    eventKey(WORKSPACE, event, compiled.equality),
    JSON.stringify({ event, ...compiled.match }),
    untilMs ?? null,
  ]);
}

/** "Not yet", with these reports. */
export const notYet = (reports: readonly Report[] = [], knownSeq = 0): End => ({ kind: "waiting", reports, knownSeq });

export const failedWith = (message: string, final = false): End => ({
  kind: "failed",
  final,
  error: { name: "Error", message },
});

/** Publishes one event. */
export async function publishOne(
  db: Db,
  name: string,
  data: unknown = {},
  more: Partial<NewEvent> = {},
): Promise<Published> {
  const [published] = await publish(db, [
    { workspace: WORKSPACE, name, key: newId(), data: JSON.stringify(data), ...more },
  ]);
  return published!;
}

/** A stored row, as text: two of them are equal where nothing was changed. */
export type StoredRows = Readonly<Record<string, readonly string[]>>;

/** Every column of every row of these jobs in the tables that a transition may write. */
export async function storedRows(db: Db): Promise<StoredRows> {
  const tables = ["jobs", "steps", "deliveries", "payloads", "past_steps"];
  const texts = await Promise.all(
    tables.map((table) => db.script(`select to_jsonb(row)::text as text from rotor.${table} row order by 1`)),
  );
  return Object.fromEntries(tables.map((table, index) => [table, texts[index]!.rows.map((row) => row.text as string)]));
}

export type StoredJob = {
  readonly state: string;
  readonly attempt: number;
  readonly delivery: number;
  readonly rescues: number;
  readonly woken: boolean;
  readonly held: boolean;
  readonly nodeId: string | null;
  /** Milliseconds from the database's now; null where it is finished. */
  readonly dueInMs: number | null;
};

const job = {
  name: "fixtures.job",
  text: `select state, attempt, delivery, rescues, woken, held_at is not null as held, node_id as "nodeId",
                (extract(epoch from due_at - rotor.clock()) * 1000)::float8 as "dueInMs"
           from rotor.jobs where id = $1`,
};

export const readJob = async (db: Db, jobId: string): Promise<StoredJob> =>
  (await db.query<StoredJob>(job, [jobId]))[0]!;

export type StoredStep = {
  readonly key: string;
  readonly kind: string;
  readonly state: string;
  readonly attempt: number;
  readonly seq: string | null;
  readonly output: unknown;
  readonly error: { readonly name: string; readonly message: string } | null;
  readonly eventId: string | null;
};

const steps = {
  name: "fixtures.steps",
  text: `select key, kind, state, attempt, seq, output::json as output, error::json as error, event_id as "eventId"
           from rotor.steps where job_id = $1 order by seq nulls last, key`,
};

/** A run's steps by key, in the order of their results. */
export const readSteps = async (db: Db, jobId: string): Promise<Record<string, StoredStep>> =>
  Object.fromEntries((await db.query<StoredStep>(steps, [jobId])).map((step) => [step.key, step]));

/** Forgets all jobs, events and nodes; queues stay. */
export const clearJobs = async (db: Db): Promise<void> => {
  await db.script(
    `delete from rotor.jobs; delete from rotor.steps; delete from rotor.past_steps; delete from rotor.deliveries;
     delete from rotor.payloads; delete from rotor.events; delete from rotor.nodes; delete from rotor.watches;
     delete from rotor.singles; delete from rotor.gatherings; delete from rotor.batched;
     delete from rotor.cancellations; delete from rotor.early_signals; delete from rotor.used_links`,
  );
};
