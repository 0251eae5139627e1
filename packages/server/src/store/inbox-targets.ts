/** Where rows of the inbox go: the queues that they name, and as dead letters the place where a person finds them. */
import { newId } from "../core/ids.js";
import { type Queryable, sql } from "./db.js";
import { logEnds } from "./finish.js";
import { DEFAULT_QUEUE } from "./queues.js";

/** A row as it was inserted. */
export type InboxRow = {
  /** A bigint, as text. */
  readonly seq: string;
  readonly workspace: string;
  readonly kind: string;
  /** Name of a queue or an event. */
  readonly target: string;
  readonly id: string | null;
  /** JSON text as it was written; null where none was. */
  readonly payload: string | null;
  readonly options: unknown;
};

/** A row that can be no job and no event, and why. */
export type Bad = { readonly row: InboxRow; readonly reason: string };

/** The system's queue that holds dead letters whose own queue is not there. It has no URL. */
export const INBOX_QUEUE = "rotor/inbox";

const find = sql(
  "inbox.targets",
  `select item.workspace_id as workspace, item.name, workspace.id is not null as known, queue.id as "queueId"
     from unnest($1::text[], $2::text[]) as item (workspace_id, name)
     left join rotor.workspaces workspace on workspace.id = item.workspace_id
     left join rotor.queues queue
       on queue.workspace_id = item.workspace_id and queue.kind = 'callback' and queue.name = item.name and queue.system is null`,
);

export type Targets = {
  /** Whether there is this workspace. */
  knows(workspace: string): boolean;
  /** The queue that a job's row names; undefined where it is not there. */
  queueOf(row: InboxRow): number | undefined;
};

/** Looks up what these rows name. A queue that goes after this look fails the transaction, which is then made again. */
export async function findTargets(t: Queryable, rows: readonly InboxRow[]): Promise<Targets> {
  const keyOf = (row: { workspace: string; name: string }): string => `${row.workspace}/${row.name}`;
  const named = rows.map(({ workspace, kind, target }) => ({ workspace, name: kind === "job" ? target : "" }));
  const wanted = [...new Map(named.map((each) => [keyOf(each), each])).values()];
  const found = await t.query<{ workspace: string; name: string; known: boolean; queueId: number | null }>(find, [
    wanted.map((each) => each.workspace),
    wanted.map((each) => each.name),
  ]);
  const known = new Set(found.filter((row) => row.known).map((row) => row.workspace));
  const queues = new Map(found.map((row) => [keyOf(row), row.queueId ?? undefined]));
  return {
    knows: (workspace) => known.has(workspace),
    queueOf: ({ workspace, kind, target }) =>
      kind === "job" ? queues.get(keyOf({ workspace, name: target })) : undefined,
  };
}

/** Where rows of no workspace go: the first one, `default` before all others. */
const home = sql("inbox.home", "select id from rotor.workspaces order by id <> 'default', created_at, id limit 1");

/** Another node may be making the same one: this waits for it, and the statement after this one sees it. */
const makeQueue = sql(
  "inbox.make-queue",
  `insert into rotor.queues (workspace_id, name, kind, system, timeout_ms, async_timeout_ms, max_attempts, backoff, approval_timeout_ms)
   select workspace_id, $2, 'callback', 'inbox', $3, $4, $5, $6::jsonb, $7 from unnest($1::text[]) as item (workspace_id) order by workspace_id
   on conflict (workspace_id, kind, name) do nothing`,
);

const systemQueues = sql(
  "inbox.system-queues",
  `select workspace_id as workspace, id from rotor.queues where workspace_id = any($1::text[]) and kind = 'callback' and name = $2`,
);

/** Failed from the start. Without a key: the row, put right and inserted again under its id, is no duplicate of this. */
const insert = sql(
  "inbox.bury",
  `with kept as (
     insert into rotor.payloads (job_id, queue_id, body, content_type, created_at, run_at)
     select item.id, item.queue_id, item.body, 'application/json', rotor.clock(), rotor.clock()
       from unnest($1::uuid[], $2::int[], $3::bytea[]) as item (id, queue_id, body)
     returning job_id, queue_id
   )
   insert into rotor.jobs (id, queue_id, state, delivery) select job_id, queue_id, 'failed', 1 from kept`,
);

/**
 * Makes dead letters of rows: in the queue that they name, with their payload, else as whole rows in the inbox's own
 * queue of their workspace. `rejected` without an attempt: a retry asks for approval where the queue does.
 */
export async function bury(t: Queryable, targets: Targets, bad: readonly Bad[]): Promise<void> {
  if (bad.length === 0) return;
  const astray = bad.filter(({ row }) => targets.queueOf(row) === undefined).map(({ row }) => row.workspace);
  const own = await ownQueues(t, targets, astray);
  const letters = bad.map(({ row, reason }) => {
    const queueId = targets.queueOf(row);
    return queueId === undefined
      ? { id: newId(), queueId: own(row.workspace), body: wholeRow(row), error: errorOf(row, reason) }
      : { id: newId(), queueId, body: Buffer.from(row.payload ?? "null"), error: errorOf(row, reason) };
  });
  await t.query(insert, [
    letters.map((letter) => letter.id),
    letters.map((letter) => letter.queueId),
    letters.map((letter) => letter.body),
  ]);
  await logEnds(
    t,
    letters.map((letter) => ({
      jobId: letter.id,
      delivery: 1,
      attempt: 0,
      outcome: "rejected",
      state: "failed",
      status: null,
      durationMs: 0,
      output: null,
      error: letter.error,
    })),
    new Map(),
  );
}

/** The inbox's queues of these workspaces, made where they are not there yet. */
async function ownQueues(
  t: Queryable,
  targets: Targets,
  workspaces: readonly string[],
): Promise<(workspace: string) => number> {
  if (workspaces.length === 0) return () => 0;
  const [first] = workspaces.every((each) => targets.knows(each)) ? [] : await t.query<{ id: string }>(home);
  const homeOf = (workspace: string): string => (targets.knows(workspace) ? workspace : (first?.id ?? workspace));
  const homes = [...new Set(workspaces.map(homeOf))];
  const { timeoutMs, asyncTimeoutMs, maxAttempts, backoff, approvalTimeoutMs } = DEFAULT_QUEUE;
  const settings = [timeoutMs, asyncTimeoutMs, maxAttempts, JSON.stringify(backoff), approvalTimeoutMs];
  await t.query(makeQueue, [homes, INBOX_QUEUE, ...settings]);
  const rows = await t.query<{ workspace: string; id: number }>(systemQueues, [homes, INBOX_QUEUE]);
  const ids = new Map(rows.map((row) => [row.workspace, row.id]));
  return (workspace) => ids.get(homeOf(workspace))!;
}

/** Nothing of a row gets lost: its payload's text is put in as it was. */
const wholeRow = ({ workspace, kind, target, id, payload, options }: InboxRow): Buffer =>
  Buffer.from(
    `${JSON.stringify({ workspace_id: workspace, kind, target, id }).slice(0, -1)},"payload":${payload ?? "null"},"options":${JSON.stringify(options)}}`,
  );

const errorOf = ({ seq, id }: InboxRow, reason: string): string => {
  const named = id === null ? "" : ` (id ${JSON.stringify(id.slice(0, 80))})`;
  return JSON.stringify({ name: "InboxError", message: `Row ${seq} of the inbox${named}: ${reason}` });
};
