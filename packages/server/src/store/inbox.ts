/**
 * The third door: rows that people inserted in transactions of their own become jobs and events, and what cannot become
 * one a dead letter. What a row says is read by whoever calls, with the eyes of the HTTP API.
 */
import { limits } from "../core/limits.js";
import { type Db, type Queryable, sql } from "./db.js";
import { enqueue, type NewJob } from "./enqueue.js";
import { type Bad, bury, findTargets, type InboxRow } from "./inbox-targets.js";
import { isDisconnect, isUnavailable } from "./outage.js";
import { type NewEvent, type Published, publishIn } from "./publish.js";

/** What a row asks for. */
export type InboxItem =
  | { readonly kind: "job"; readonly job: Omit<NewJob, "queueId">; readonly rejectDuplicate: boolean }
  | { readonly kind: "event"; readonly event: NewEvent }
  /** It cannot be done; `reason` is a sentence for who inserted it. */
  | { readonly kind: "bad"; readonly reason: string };

export type ReadRow = (row: InboxRow) => InboxItem;

/** What one commit did. */
export type Moved = {
  readonly rows: number;
  readonly events: readonly { readonly event: NewEvent; readonly published: Published }[];
  /** Rows may be left. */
  readonly more: boolean;
};

/** Whether there is a row at all: all that an idle node asks, by the first entry of the index. */
const first = sql("inbox.first", "select 1 as one from rotor.inbox order by seq limit 1");

/**
 * Takes rows in their order, so that whatever else happens only this transaction moves them. `weight` is what a payload
 * has at most: one that is stored compressed is not unpacked for it, and at best was made 255 times smaller.
 */
const lock = sql(
  "inbox.lock",
  `select seq, least($2::int, coalesce(pg_column_size(payload), 0) * case when pg_column_compression(payload) is null then 1 else 255 end) as weight
     from rotor.inbox order by seq limit $1 for update skip locked`,
);

const read = sql(
  "inbox.read",
  `select seq, workspace_id as workspace, kind, target, id, payload::text as payload, options
     from rotor.inbox where seq = any($1::bigint[]) order by seq`,
);

/** In the commit that stores what the rows asked for: so each is moved once, whatever dies when. */
const remove = sql("inbox.remove", "delete from rotor.inbox where seq = any($1::bigint[])");

export const hasRows = async (db: Queryable): Promise<boolean> => (await db.query(first)).length > 0;

/**
 * Moves a batch of rows, the oldest first, in one commit; rows that another node has in hand are left to it. A batch that
 * fails is halved until the culprit stands alone, which becomes a dead letter: it blocks nobody behind it.
 * @throws what Postgres says while it is away or busy; nothing was moved then, or the reply was lost and all was.
 */
export async function moveRows(db: Db, readRow: ReadRow, size: number = limits.inboxRows): Promise<Moved> {
  let oldest: string | undefined;
  try {
    return await db.transact(async (t) => {
      const locked = await t.query<{ seq: string; weight: number }>(lock, [size, limits.inboxPayloadBytes]);
      const taken = lightest(locked);
      oldest = taken[0];
      if (taken.length === 0) return { rows: 0, events: [], more: false };
      const rows = await t.query<InboxRow>(read, [taken]);
      const events = await moveAll(t, db.schema, rows, readRow);
      // Not awaited: it leaves together with the commit.
      void t.query(remove, [taken]);
      return { rows: taken.length, events, more: taken.length < locked.length || locked.length === size };
    });
  } catch (error) {
    if (isDisconnect(error)) throw error;
    if (size > 1) return { ...(await moveRows(db, readRow, size >> 1)), more: true };
    if (oldest === undefined || isUnavailable(error)) throw error;
    return buryOne(db, oldest, error instanceof Error ? error.message : String(error));
  }
}

/** As many from the front as fit into memory, but one at least. */
function lightest(locked: readonly { readonly seq: string; readonly weight: number }[]): string[] {
  let weight = 0;
  const past = locked.findIndex((row, index) => {
    weight += row.weight;
    return index > 0 && weight > limits.inboxBytes;
  });
  return locked.slice(0, past === -1 ? locked.length : past).map((row) => row.seq);
}

type Wanted = { readonly row: InboxRow; readonly item: InboxItem };

/**
 * Events come first: the locks on their names are the first of all. Inbox rows are before them, since nobody waits for
 * one. Runs that events resume and jobs that are replaced are locked by two statements, so not in one order of ids: that
 * can end in a deadlock, which Postgres breaks and `transact` repeats.
 */
async function moveAll(
  t: Queryable,
  schema: string,
  rows: readonly InboxRow[],
  readRow: ReadRow,
): Promise<Moved["events"]> {
  const targets = await findTargets(t, rows);
  const bad: Bad[] = [];
  const wanted = rows.flatMap((row): Wanted[] => {
    const item: InboxItem = targets.knows(row.workspace)
      ? readRow(row)
      : { kind: "bad", reason: `there is no workspace ${JSON.stringify(row.workspace.slice(0, 80))}` };
    if (item.kind !== "bad") return [{ row, item }];
    bad.push({ row, reason: item.reason });
    return [];
  });
  const events = wanted.flatMap(({ item }) => (item.kind === "event" ? [item.event] : []));
  const published = await publishIn(t, schema, events);
  const jobs = wanted.flatMap(({ row, item }) => {
    if (item.kind !== "job") return [];
    const queueId = targets.queueOf(row);
    if (queueId !== undefined) return [{ row, item, job: { ...item.job, queueId } }];
    bad.push({ row, reason: `there is no queue ${JSON.stringify(row.target.slice(0, 80))}` });
    return [];
  });
  const enqueued = await enqueue(
    t,
    jobs.map(({ job }) => job),
  );
  for (const [index, { row, item }] of jobs.entries()) {
    if (enqueued[index]!.duplicate && item.rejectDuplicate)
      bad.push({ row, reason: `a job with this id exists in the queue: ${enqueued[index]!.id}` });
  }
  await bury(t, targets, bad);
  return events.map((event, index) => ({ event, published: published[index]! }));
}

/** A row whose store failed for a reason of its own. */
async function buryOne(db: Db, seq: string, message: string): Promise<Moved> {
  return db.transact(async (t) => {
    const rows = await t.query<InboxRow>(read, [
      (await t.query<{ seq: string }>(lockOne, [seq])).map((row) => row.seq),
    ]);
    const targets = await findTargets(t, rows);
    await bury(
      t,
      targets,
      rows.map((row) => ({ row, reason: `it could not be stored: ${message}` })),
    );
    void t.query(remove, [rows.map((row) => row.seq)]);
    return { rows: rows.length, events: [], more: true };
  });
}

const lockOne = sql("inbox.lock-one", "select seq from rotor.inbox where seq = $1 for update skip locked");
