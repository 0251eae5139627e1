/**
 * The one place through which runs are started: by events, by `runs.start`, by `invoke`, by ticks. In order, in one
 * transaction: what is to be known without locks (`start-plan.ts`); the names, locked with the caller's own; what there is,
 * looked up; the rows of jobs that this touches, locked with the caller's own; then everything is written. A start without
 * options is an enqueue.
 */

import { type Cancellable, watchForCancels } from "./cancel-on.js";
import { cancelIn } from "./control.js";
import { type Queryable, sql } from "./db.js";
import { enqueue, type NewJob } from "./enqueue.js";
import { type Gatherer, gatherAll, runsToLock } from "./gather.js";
import { lockNames } from "./names.js";
import { lockJobs } from "./resume.js";
import { findHolders, type Holder, holdSingles, nameOfSingle } from "./singles.js";
import { locksOf, type Plan, planStart, type Start, type Started } from "./start-plan.js";

/** What there is under the names that are locked. */
export type Looked = {
  readonly holders: ReadonlyMap<string, Holder>;
  /** By queue and key, of those starts that must know it before they write. */
  readonly first: ReadonlyMap<string, { readonly id: string; readonly state: string }>;
  /** Jobs that will be changed, to be locked by the caller. */
  readonly rows: readonly string[];
};

type Special = Plan & { readonly special: NonNullable<Plan["special"]> };
const isSpecial = (plan: Plan): plan is Special => plan.special !== undefined;
const gathers = (plan: Plan): plan is Gatherer => plan.special?.gathering !== undefined;
const singleOf = ({ special }: Plan) =>
  special?.singleton === undefined ? undefined : { queueId: special.to.queueId, value: special.singleton.value };
const nameOfKey = ({ queueId, key }: Pick<NewJob, "queueId" | "key">): string => `${queueId}/${key}`;

/** The first jobs under these keys. */
const first = sql(
  "start.first",
  `select payload.queue_id as "queueId", payload.key, job.id, job.state
     from unnest($1::int[], $2::text[]) as item (queue_id, key)
     join rotor.payloads payload on payload.queue_id = item.queue_id and payload.key = item.key
     join rotor.jobs job on job.id = payload.job_id`,
);

export type First = { readonly queueId: number; readonly key: string; readonly id: string; readonly state: string };

export const findFirst = async (t: Queryable, jobs: readonly NewJob[]): Promise<Map<string, First>> => {
  const keyed = jobs.filter((job) => job.key !== null);
  if (keyed.length === 0) return new Map();
  const rows = await t.query<First>(first, [keyed.map((job) => job.queueId), keyed.map((job) => job.key)]);
  return new Map(rows.map((row) => [nameOfKey(row), row]));
};

const NOTHING: Looked = { holders: new Map(), first: new Map(), rows: [] };

/** Looks what there is. The names of `locksOf` are locked. */
export async function lookStarts(t: Queryable, plans: readonly Plan[]): Promise<Looked> {
  const special = plans.filter(isSpecial);
  if (special.length === 0) return NOTHING;
  const single = special.filter((plan) => plan.special.singleton !== undefined);
  const [holders, known, gathering] = await Promise.all([
    findHolders(
      t,
      single.map((plan) => singleOf(plan)!),
    ),
    findFirst(
      t,
      single.map((plan) => plan.job),
    ),
    runsToLock(t, special.filter(gathers)),
  ]);
  const ended = single.flatMap((plan) => {
    const holder = plan.special.singleton!.mode === "cancel" ? holders.get(nameOfSingle(singleOf(plan)!)) : undefined;
    return holder === undefined ? [] : [holder.id, ...(holder.parentId === null ? [] : [holder.parentId])];
  });
  return { holders, first: known, rows: [...new Set([...gathering, ...ended])] };
}

/** Writes these starts; the rows that were looked up are locked. Answers in order. */
export async function writeStarts(t: Queryable, plans: readonly Plan[], looked: Looked): Promise<Started[]> {
  const { jobs, gatherers, cancelled, answers } = decide(plans, looked);
  if (cancelled.length > 0) await cancelIn(t, cancelled);
  const gatherings = await gatherAll(t, gatherers);
  const enqueued = await enqueue(t, [...jobs.map((plan) => plan.job), ...gatherings.jobs]);
  for (const [index, plan] of jobs.entries()) answers.set(plan, { kind: "started", ...enqueued[index]! });
  const opened = new Map(enqueued.slice(jobs.length).map((each) => [each.id, each]));
  for (const plan of gatherers) {
    const { id, joined } = gatherings.runOf.get(plan)!;
    const { state = "waiting", blocked = false } = opened.get(id) ?? {};
    answers.set(plan, { kind: joined ? "gathered" : "started", id, duplicate: false, state, blocked });
  }
  const fresh = plans.filter(isSpecial).flatMap((plan) => {
    const answer = answers.get(plan)!;
    return answer.kind === "skipped" || answer.duplicate ? [] : [{ plan, id: answer.id }];
  });
  await gatherings.finish();
  await watchForCancels(t, lastOfEach(fresh.flatMap(({ plan, id }) => watched(plan, id))));
  await holdSingles(
    t,
    fresh.flatMap(({ plan, id }) => {
      const single = singleOf(plan);
      return single === undefined ? [] : [{ ...single, id }];
    }),
  );
  return plans.map((plan) => answers.get(plan)!);
}

/** Which of these starts are made, and what they end; those that are not have their answers. */
function decide(plans: readonly Plan[], looked: Looked) {
  const answers = new Map<Plan, Started>();
  const jobs: Plan[] = [];
  const gatherers: Gatherer[] = [];
  const cancelled: string[] = [];
  const known = new Map(looked.first);
  /** Unfinished runs by the value of their singleton, those that are being started among them. */
  const unfinished = new Map<string, { readonly id: string; readonly plan?: Plan }>(looked.holders);
  for (const plan of plans) {
    const single = singleOf(plan);
    if (single !== undefined) {
      const { job } = plan;
      const before = job.key === null ? undefined : known.get(nameOfKey(job));
      if (before !== undefined) {
        answers.set(plan, { kind: "started", id: before.id, duplicate: true, state: before.state, blocked: false });
        continue;
      }
      const name = nameOfSingle(single);
      const holder = unfinished.get(name);
      if (holder !== undefined && plan.special!.singleton!.mode === "skip") {
        answers.set(plan, { kind: "skipped", by: holder.id });
        continue;
      }
      // What would be started and cancelled by one commit is not started.
      if (holder?.plan !== undefined) {
        answers.set(holder.plan, { kind: "skipped", by: job.id });
        jobs.splice(jobs.indexOf(holder.plan), 1);
      } else if (holder !== undefined) cancelled.push(holder.id);
      unfinished.set(name, { id: job.id, plan });
      if (job.key !== null) known.set(nameOfKey(job), { id: job.id, state: "waiting" });
    }
    if (gathers(plan)) gatherers.push(plan);
    else jobs.push(plan);
  }
  return { jobs, gatherers, cancelled, answers };
}

const watched = ({ special }: Special, id: string): Cancellable[] => {
  const { workspace, starting } = special.to;
  return starting.cancel_on === undefined
    ? []
    : [{ id, workspace, event: special.event, cancelOn: starting.cancel_on }];
};

/** Of a run that gathered several events in one go, its last one counts. */
const lastOfEach = (runs: readonly Cancellable[]): Cancellable[] => [
  ...new Map(runs.map((run) => [run.id, run])).values(),
];

/** All of it, in a transaction that has locked no names and no jobs yet. */
export async function startIn(t: Queryable, schema: string, starts: readonly Start[]): Promise<Started[]> {
  const plans = starts.map(planStart);
  await lockNames(t, locksOf(schema, plans));
  const looked = await lookStarts(t, plans);
  if (looked.rows.length > 0) await t.query(lockJobs, [looked.rows]);
  return writeStarts(t, plans, looked);
}
