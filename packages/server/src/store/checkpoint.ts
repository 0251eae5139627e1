/**
 * checkpoint: active → active. Records the reports of many runs in one commit and tells each app what is stored, what
 * has ended since, and whether to go on.
 */
import type { Report, Verdict, WireError, WireStep } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { AGAIN, firstOfEach } from "./batch.js";
import { type LookedChildren, lookChildren } from "./children.js";
import { type Db, sql } from "./db.js";
import { loadStepsByKey, loadStepsSince, type ReplyRoom, type StepRow, wireStep } from "./history.js";
import { lockNames } from "./names.js";
import { quickCheckpoint } from "./quick-checkpoint.js";
import { isPlain, prepare, type Recorded, record } from "./record.js";
import { endDueWaits } from "./resume.js";

/** The reports of one delivery. */
export type Checkpoint = {
  readonly jobId: string;
  readonly delivery: number;
  readonly reports: readonly Report[];
  readonly knownSeq: number;
  /** For the steps that its app is told of (default: a whole reply's). */
  readonly room?: ReplyRoom;
};

export type Checkpointed = {
  readonly verdict: Verdict;
  readonly steps: readonly WireStep[];
  /** More has ended than there was room for: the app asks again. */
  readonly more?: true;
  /** Of the verdict `invalid`. */
  readonly error?: WireError;
};

const WHOLE_REPLY: ReplyRoom = { bytes: limits.replyBytes, isAlone: true };

type Held = {
  readonly id: string;
  readonly state: string;
  readonly delivery: number;
  readonly woken: boolean;
  readonly nodeId: string | null;
};

/** Locks what is free; a row in other hands goes into the next batch. */
export const lockFree = sql(
  "checkpoint.lock",
  `select id, state, delivery, attempt, rescues, woken, node_id as "nodeId" from rotor.jobs
    where id = any($1::uuid[]) order by id for no key update skip locked`,
);

export const exist = sql("checkpoint.exist", "select id from rotor.jobs where id = any($1::uuid[])");

/**
 * A sign of life, and progress: written only where it changes something. The mark of a wait that ended stays until the
 * app shows that it knows of it: the reply that tells it so may be lost, and its "not yet" must not put the run to sleep.
 */
const renew = sql(
  "checkpoint.renew",
  `with clock as materialized (select rotor.clock() as now)
   update rotor.jobs job
      set woken = (job.woken or item.ended) and exists (select 1 from rotor.steps ended
                                         where ended.job_id = job.id and ended.kind <> 'run' and ended.seq > item.known_seq),
          -- Progress only: a step that kills its node may well have beaten before.
          rescues = case when item.progress then 0 else job.rescues end,
          attempt = case when item.progress then 1 else job.attempt end,
          due_at = case when job.due_at < clock.now + $3::int / 2 * interval '1 millisecond'
                        then clock.now + $3::int * interval '1 millisecond' else job.due_at end
     from unnest($1::uuid[], $2::bool[], $4::bigint[], $5::bool[]) as item (id, progress, known_seq, ended), clock
    where job.id = item.id
      and (job.woken or item.ended or (item.progress and (job.attempt > 1 or job.rescues > 0)) or job.due_at < clock.now + $3::int / 2 * interval '1 millisecond')`,
);

/**
 * Of these runs, those that go into the next batch: their row, or that of a job which one of their children concerns, is in
 * other hands. So is a run of this very batch: what is written for one must not end another that is being written for.
 */
export function putOffs(
  looked: LookedChildren,
  items: readonly { readonly jobId: string }[],
  busy: ReadonlySet<string>,
): ReadonlySet<string> {
  const own = new Set(items.map((item) => item.jobId));
  const isLater = (jobId: string): boolean =>
    busy.has(jobId) || (looked.rowsOf.get(jobId) ?? []).some((id) => busy.has(id) || own.has(id));
  return new Set([...own].filter(isLater));
}

/** Writes checkpoints; for a batch writer. `yields` says of a node whether its deliveries shall come to an end. */
export async function checkpoint(
  db: Db,
  all: readonly Checkpoint[],
  yields: (nodeId: string | null) => boolean,
): Promise<(Checkpointed | typeof AGAIN)[]> {
  const done = await quickCheckpoint(
    db,
    firstOfEach(all, (item) => item.jobId),
    yields,
  );
  const rest = all.filter((item) => !done.has(item));
  const others = rest.length === 0 ? [] : await wholeCheckpoint(db, rest, yields);
  const answers = new Map(rest.map((item, index) => [item, others[index]!] as const));
  return all.map((item): Checkpointed | typeof AGAIN => done.get(item) ?? answers.get(item)!);
}

/** Any checkpoint: locked, then looked at, then written. */
async function wholeCheckpoint(
  db: Db,
  all: readonly Checkpoint[],
  yields: (nodeId: string | null) => boolean,
): Promise<(Checkpointed | typeof AGAIN)[]> {
  const items = firstOfEach(all, (item) => item.jobId);
  const prepared = await prepare(db, items);
  const { held, later, live, written } = await db.transact(async (t) => {
    if (prepared.locks.length > 0) await lockNames(t, prepared.locks);
    const looked = await lookChildren(t, prepared.children);
    const wanted = [...new Set([...items.map((item) => item.jobId), ...looked.rows])];
    const held = new Map((await t.query<Held>(lockFree, [wanted])).map((row) => [row.id, row]));
    const missing = wanted.filter((id) => !held.has(id));
    const busy = new Set(
      missing.length === 0 ? [] : (await t.query<{ id: string }>(exist, [missing])).map((row) => row.id),
    );
    const later = putOffs(looked, items, busy);
    const live = items.filter(
      (item) =>
        !later.has(item.jobId) &&
        held.get(item.jobId)?.state === "active" &&
        held.get(item.jobId)?.delivery === item.delivery,
    );
    const ids = live.map((item) => item.jobId);
    const recording = record(t, prepared, looked, ids);
    // Results and sleeps are one statement, which then leaves together with those below and the commit.
    const recorded = live.every((item) => item.reports.every(isPlain)) ? undefined : await recording;
    // A sign of life asks what time has done; a report does not need to know.
    const asking = live.filter((item) => item.reports.length === 0);
    const ended = endDueWaits(
      t,
      asking.map((item) => item.jobId),
    );
    const progress = new Set(
      recorded === undefined
        ? live.filter((item) => item.reports.some(isResult)).map((item) => item.jobId)
        : recorded.filter((step) => step.state !== "waiting").map((step) => step.jobId),
    );
    const renewed = t.query(renew, [
      ids,
      ids.map((id) => progress.has(id)),
      limits.runTimeoutMs,
      live.map((item) => item.knownSeq),
      live.map((item) => item.reports.length === 0),
    ]);
    const written = Promise.all([recording, ended, renewed]);
    // Should one of them fail, the commit says so.
    written.catch(() => undefined);
    return { held, later, live, written: () => written };
  }, "hot");
  const [recorded] = await written();
  const told = new Map(await Promise.all(live.map(async (item) => [item.jobId, await tell(item)] as const)));
  const turns = new Set(items);
  return all.map((item) => {
    if (!turns.has(item)) return AGAIN;
    if (later.has(item.jobId)) return AGAIN;
    const job = held.get(item.jobId);
    if (job === undefined) return { verdict: "stale", steps: [] };
    if (job.state === "cancelled") return { verdict: "cancelled", steps: [] };
    if (job.state !== "active" || job.delivery !== item.delivery) return { verdict: "stale", steps: [] };
    return { verdict: yields(job.nodeId) ? "yield" : "go", ...(told.get(item.jobId) ?? { steps: [] }) };
  });

  /** What its app is told: its own results, or, where more may have happened, all that has. */
  async function tell(item: Checkpoint): Promise<Pick<Checkpointed, "steps" | "more">> {
    const recordedNow = recorded.filter((step) => step.jobId === item.jobId);
    // What was there before may be another's of the same attempt: the app is told of it.
    const own = new Set(recordedNow.filter((step) => step.kind === "run").map((step) => step.key));
    const wire = (row: StepRow): WireStep => (own.has(row.key) ? withoutOutput(wireStep(row)) : wireStep(row));
    if (item.reports.length === 0 || held.get(item.jobId)!.woken) {
      const since = await loadStepsSince(db, item.jobId, item.knownSeq, [...own], item.room ?? WHOLE_REPLY);
      return { steps: since.steps.map(wire), ...(since.more && { more: true }) };
    }
    const keys = new Set(item.reports.map((report) => report.key));
    if (own.size < keys.size) return { steps: (await loadStepsByKey(db, item.jobId, [...keys], [...own])).map(wire) };
    return { steps: recordedNow.map((step) => toldOfOwn(step, item.reports)) };
  }
}

/** What is said of a step to the app that reported it: what it sent itself it has. */
export const toldOfOwn = (
  { key, kind, state, attempt, seq, dueInMs }: Recorded,
  reports: readonly Report[],
): WireStep => ({
  key,
  kind,
  state,
  attempt,
  ...(seq === null ? { due_in_ms: Math.ceil(dueInMs ?? 0) } : { seq: Number(seq) }),
  ...(state === "failed" && errorOf(reports, key, attempt)),
});

/** A failed step's code gets the same error now as in a replay. */
const errorOf = (reports: readonly Report[], key: string, attempt: number): Pick<WireStep, "error"> => {
  const report = reports.find((each) => each.key === key && each.kind === "run" && each.attempt === attempt);
  return report?.kind === "run" && report.outcome === "failed" ? { error: report.error } : {};
};

const isResult = (report: Report): boolean => report.kind === "run" && report.outcome !== "retry";

/** The app has what it reported itself. */
function withoutOutput(step: WireStep): WireStep {
  const { output: _, ...rest } = step;
  return rest;
}
