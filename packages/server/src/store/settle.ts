/**
 * settle: active → wherever the delivery's end leads. Fenced by state and delivery number; a late writer changes nothing
 * and is told. A repetition after a lost reply finds its own log row and counts as done.
 */
import { type Claimed, type Outcome, type Policy, type QueueKind, retryOrFail } from "../core/job.js";
import { limits } from "../core/limits.js";
import { AGAIN, firstOfEach } from "./batch.js";
import { exist, lockFree, putOffs } from "./checkpoint.js";
import { type LookedChildren, lookChildren } from "./children.js";
import { type Db, type Queryable, sql } from "./db.js";
import { type LogEntry, logEnds } from "./finish.js";
import { grantTurns, type HasKeys, KEYS_OF } from "./keys.js";
import { lockNames } from "./names.js";
import { quickSettle } from "./quick-settle.js";
import { type Prepared, prepare, record } from "./record.js";
import { endDueWaits } from "./resume.js";
import { linger } from "./slots.js";

/** The end of one delivery. */
export type Settlement = Pick<Claimed, "jobId" | "delivery" | "attempt"> & {
  readonly outcome: Outcome;
  readonly policy: Policy;
  /** Callback jobs have no steps. */
  readonly kind?: QueueKind;
  readonly parentId: string | null;
  /** See `LogEntry`. */
  readonly shared?: boolean;
  readonly status: number | null;
  readonly durationMs: number;
  /** See `LogEntry`. */
  readonly detail?: string | null;
  /** Posted, and its endpoint may be at work still: a strict queue keeps the slot. */
  readonly lingers?: boolean;
  /** Whether something else of its queue is due then: where it is not asked, something may be. */
  readonly asks?: boolean;
  /** For an answer that is no answer: see `decideWait`. In [0, 1). */
  readonly random: number;
};

export type Settled =
  /** `next` is the number of the delivery that follows at once, without a claim. */
  | {
      readonly kind: "settled";
      readonly state: string;
      readonly outcome: string;
      readonly next: number | null;
      readonly resumed: readonly string[];
      /** Something may be due now that was not, or had no room. */
      readonly due: boolean;
    }
  /** Another delivery, or a cancel, came first: nothing was changed. */
  | { readonly kind: "stale" };

type Held = {
  readonly id: string;
  readonly state: string;
  readonly delivery: number;
  readonly attempt: number;
  readonly rescues: number;
  readonly woken: boolean;
};

/** What the steps of a run say of its "not yet". */
type WaitView = {
  readonly jobId: string;
  /** Of the first unfinished step; null if there is none. */
  readonly dueInMs: number | null;
  /** A step that was there before this delivery began was due by then. */
  readonly wasDue: boolean;
  /** A step ended since this delivery began. */
  readonly progressed: boolean;
  /** A step ended that the code does not know of: it can go on at once. */
  readonly unseen: boolean;
};

const look = sql(
  "settle.look",
  `with clock as materialized (select rotor.clock() as now)
   select item.job_id as "jobId", (extract(epoch from wait.due_at - clock.now) * 1000)::float8 as "dueInMs",
          coalesce(wait.was_due, false) as "wasDue",
          exists (select 1 from rotor.steps done where done.job_id = item.job_id and done.seq > item.known_seq) as progressed,
          exists (select 1 from rotor.steps done where done.job_id = item.job_id and done.seq > item.seen_seq) as unseen
     from clock, unnest($1::uuid[], $2::float8[], $3::bigint[], $4::bigint[]) as item (job_id, duration_ms, known_seq, seen_seq)
    cross join lateral (
      select min(due_at) as due_at,
             bool_or(greatest(due_at, asked_at) <= clock.now - item.duration_ms * interval '1 millisecond'
                     and not exists (select 1 from unnest($5::uuid[], $6::text[]) as fresh (job_id, key)
                                      where fresh.job_id = steps.job_id and fresh.key = steps.key)) as was_due
        from rotor.steps where job_id = item.job_id and state = 'waiting') wait`,
);

/**
 * Moves jobs to where they were decided to go. The fence is tested once more, in a form that does not lure the planner
 * into the index on active rows.
 */
const move = sql(
  "settle.move",
  `with clock as materialized (select rotor.clock() as now)
   update rotor.jobs job
      set state = item.state, attempt = item.attempt, rescues = item.rescues, woken = false,
          delivery = job.delivery + case when item.continues then 1 else 0 end,
          node_id = case when item.continues then job.node_id end,
          due_at = clock.now + item.delay_ms * interval '1 millisecond',
          held_at = case when item.held then clock.now end
     from clock, unnest($1::uuid[], $2::int[], $3::text[], $4::float8[], $5::int[], $6::int[], $7::bool[], $8::bool[])
       as item (id, delivery, state, delay_ms, attempt, rescues, held, continues)
    where job.id = item.id and job.delivery = item.delivery and (job.state || '') = 'active'
   returning job.id, job.delivery, job.state, ${KEYS_OF}`,
);

/** Log rows of settlements that committed although their reply was lost. */
const settledBefore = sql(
  "settle.before",
  `select delivery.job_id as id, delivery.outcome, job.state, job.delivery
     from unnest($1::uuid[], $2::int[]) as item (id, delivery)
     join rotor.deliveries delivery on delivery.job_id = item.id and delivery.delivery = item.delivery
     join rotor.jobs job on job.id = item.id`,
);

type Move = {
  readonly item: Settlement;
  readonly outcome: Outcome;
  readonly attempt: number;
  readonly rescues: number;
  readonly continues: boolean;
  readonly logged: boolean;
};

/** Settles; for a batch writer. */
export async function settle(db: Db, all: readonly Settlement[]): Promise<(Settled | typeof AGAIN)[]> {
  const items = firstOfEach(all, (item) => item.jobId);
  const done = await quickSettle(db, items);
  const others = items.filter((item) => !done.has(item));
  const settled = others.length === 0 ? [] : await settleAll(db, others);
  const results = new Map<Settlement, Settled | typeof AGAIN>(done);
  for (const [index, item] of others.entries()) results.set(item, settled[index]!);
  return all.map((item) => results.get(item) ?? AGAIN);
}

/** Settles whatever it is, of each job one. Answers in order. */
async function settleAll(db: Db, items: readonly Settlement[]): Promise<(Settled | typeof AGAIN)[]> {
  const prepared = await prepare(
    db,
    items.map((item) => ({ jobId: item.jobId, delivery: item.delivery, reports: item.outcome.reports })),
  );
  return db.transact(async (t) => {
    if (prepared.locks.length > 0) await lockNames(t, prepared.locks);
    const parents = new Map(
      items.flatMap((item) => (item.parentId === null ? [] : [[item.jobId, item.parentId] as const])),
    );
    const looked = await lookChildren(t, prepared.children);
    const wanted = [...new Set([...items.map((item) => item.jobId), ...parents.values(), ...looked.rows])];
    const held = new Map((await t.query<Held>(lockFree, [wanted])).map((row) => [row.id, row]));
    const missing = wanted.filter((id) => !held.has(id));
    const busy = new Set(
      missing.length === 0 ? [] : (await t.query<{ id: string }>(exist, [missing])).map((row) => row.id),
    );
    const later = putOffs(looked, items, busy);
    const putOff = (item: Settlement): boolean =>
      later.has(item.jobId) || (item.parentId !== null && busy.has(item.parentId));
    const live = items.filter((item) => {
      const job = held.get(item.jobId);
      return !putOff(item) && job?.state === "active" && job.delivery === item.delivery;
    });
    const moves = await plan(t, live, prepared, looked, held);
    const lingering = live.filter((item) => item.lingers).map((item) => item.jobId);
    if (lingering.length > 0) void t.query(linger, [lingering, limits.expiryGraceMs]);
    const rows = await t.query<HasKeys & { id: string; delivery: number; state: string }>(move, columns(moves));
    const moved = new Map(rows.map((row) => [row.id, row.delivery]));
    await endDueWaits(
      t,
      moves.filter((each) => each.continues).map((each) => each.item.jobId),
    );
    const resumed = await logEnds(t, moves.filter((each) => each.logged).map(entry), parents);
    const planned = new Map(moves.map((each) => [each.item.jobId, each]));
    const late = items.filter((item) => !putOff(item) && !moved.has(item.jobId));
    const before =
      late.length === 0
        ? []
        : await t.query<{ id: string; outcome: string; state: string; delivery: number }>(settledBefore, [
            late.map((item) => item.jobId),
            late.map((item) => item.delivery),
          ]);
    const repeated = new Map(before.map((row) => [row.id, row]));
    await grantTurns(
      t,
      rows.filter((row) => row.state !== "active"),
    );
    return items.map((item): Settled | typeof AGAIN => {
      if (putOff(item)) return AGAIN;
      const done = planned.get(item.jobId);
      if (done !== undefined && moved.has(item.jobId)) {
        return {
          kind: "settled",
          state: done.outcome.state,
          outcome: done.outcome.outcome,
          next: done.continues ? moved.get(item.jobId)! : null,
          resumed,
          due: true,
        };
      }
      const earlier = repeated.get(item.jobId);
      if (earlier === undefined || !sameOutcome(earlier.outcome, item.outcome.outcome)) return { kind: "stale" };
      // The continued delivery, if there is one, is not in memory: its node finds it among its holdings, and gives it back.
      return { kind: "settled", state: earlier.state, outcome: earlier.outcome, next: null, resumed: [], due: true };
    });
  }, "hot");
}

/** What was asked may be logged as what it turned out to be: see `plan`. A cancel or a rescue is another's. */
const sameOutcome = (logged: string, asked: string): boolean =>
  logged === asked ||
  ((asked === "waiting" || asked === "yield" || asked === "failed") && (logged === "retry" || logged === "failed"));

/** Records reports, then decides for each "not yet" what it comes to. */
async function plan(
  t: Queryable,
  live: readonly Settlement[],
  prepared: Prepared,
  looked: LookedChildren,
  held: ReadonlyMap<string, Held>,
): Promise<Move[]> {
  const recorded = await record(
    t,
    prepared,
    looked,
    live.map((item) => item.jobId),
  );
  // What the answer itself brought to an end, or a look-back did: the code has not seen it yet.
  const unseen = new Set(recorded.filter((step) => step.state !== "waiting").map((step) => step.jobId));
  const asking = live.filter((item) => item.outcome.outcome === "waiting" || item.outcome.outcome === "yield");
  const views = new Map<string, WaitView>();
  if (asking.length > 0) {
    const rows = await t.query<WaitView>(look, [
      asking.map((item) => item.jobId),
      asking.map((item) => item.durationMs),
      asking.map((item) => item.outcome.knownSeq),
      asking.map((item) => item.outcome.seenSeq),
      recorded.map((step) => step.jobId),
      recorded.map((step) => step.key),
    ]);
    for (const row of rows) views.set(row.jobId, row);
  }
  return live.map((item): Move => {
    const job = held.get(item.jobId)!;
    const view = views.get(item.jobId);
    if (view === undefined) {
      const attempt = item.outcome.attempt === "give-back" ? Math.max(0, job.attempt - 1) : job.attempt;
      const logged = item.outcome.outcome !== "released";
      // Steps that ended in this delivery set its attempts back, which its holder did not see.
      const again = item.outcome.byAttempt && job.attempt < item.attempt;
      const outcome = again
        ? retryOrFail(job.attempt, item.outcome.error!, undefined, item.policy, item.random)
        : item.outcome;
      return { item, outcome, attempt, rescues: 0, continues: false, logged };
    }
    // Where the app said what it has seen, the mark says nothing more.
    const woken = job.woken && item.outcome.seenSeq === null;
    const decided = decideWait(item, { ...job, woken }, { ...view, unseen: view.unseen || unseen.has(item.jobId) });
    return { item, ...decided, rescues: 0, logged: true };
  });
}

/**
 * What a run's "not yet" comes to. With progress and something to do at once it continues without a claim; an app that
 * yields is on its way out, so the run is claimed again. An answer that finishes nothing while a step was due already,
 * that waits for nothing, or that yields, is a failed attempt: else it would come back for ever.
 */
export function decideWait(
  item: Pick<Settlement, "outcome" | "policy" | "random">,
  job: { readonly attempt: number; readonly woken: boolean },
  view: Omit<WaitView, "jobId">,
): { readonly outcome: Outcome; readonly attempt: number; readonly continues: boolean } {
  const progressed = view.progressed || view.unseen || job.woken;
  const yielded = item.outcome.outcome === "yield";
  if (yielded && progressed) return { outcome: { ...item.outcome, delayMs: 0 }, attempt: 0, continues: false };
  if (!progressed && (yielded || view.dueInMs === null || view.wasDue)) {
    const message = yielded
      ? "The app gave the run back without finishing a step."
      : view.dueInMs === null
        ? "The app finished no step and waits for nothing."
        : "The app finished nothing although a step was due.";
    return {
      outcome: retryOrFail(job.attempt, { name: "NoProgressError", message }, undefined, item.policy, item.random),
      attempt: job.attempt,
      continues: false,
    };
  }
  const now = job.woken || view.unseen || view.dueInMs === null || view.dueInMs <= 0;
  if (now && progressed) {
    return { outcome: { ...item.outcome, state: "active", delayMs: limits.runTimeoutMs }, attempt: 1, continues: true };
  }
  return {
    outcome: { ...item.outcome, delayMs: Math.max(0, view.dueInMs ?? 0) },
    attempt: progressed ? 0 : Math.max(0, job.attempt - 1),
    continues: false,
  };
}

const columns = (moves: readonly Move[]) => [
  moves.map((each) => each.item.jobId),
  moves.map((each) => each.item.delivery),
  moves.map((each) => each.outcome.state),
  moves.map((each) => each.outcome.delayMs),
  moves.map((each) => each.attempt),
  moves.map((each) => each.rescues),
  moves.map((each) => each.outcome.held),
  moves.map((each) => each.continues),
];

const entry = ({ item, outcome }: Move): LogEntry => ({
  jobId: item.jobId,
  delivery: item.delivery,
  attempt: item.attempt,
  outcome: outcome.outcome,
  state: outcome.state,
  status: item.status,
  durationMs: item.durationMs,
  output: outcome.output,
  error: outcome.error === null ? null : JSON.stringify(outcome.error),
  detail: item.detail ?? null,
  shared: item.shared,
});
