/**
 * The steps of a run as its app needs them, never more of them than there is room for. What a step weighs is asked before
 * its result is read: Postgres keeps a result above 2 KB apart from its row, and tells its length without fetching it.
 */

import type { StepKind, StepState, WireError, WireStep } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { hot, type Queryable, sql } from "./db.js";
import { RESUMED } from "./take.js";

/** A step as stored, its JSON still text. */
export type StepRow = {
  readonly jobId: string;
  readonly key: string;
  readonly kind: StepKind;
  readonly state: StepState;
  readonly attempt: number;
  readonly seq: string | null;
  readonly dueInMs: number | null;
  readonly output: string | null;
  readonly error: string | null;
};

/** The newest finished steps of a run in their order, then its unfinished ones. */
export type History = {
  readonly steps: readonly StepRow[];
  /** Cursor of the finished steps that did not fit; null when all are here. */
  readonly more: string | null;
  /** What the results that are here weigh. */
  readonly bytes: number;
  /** Steps of the run, those that are not here among them. */
  readonly count: number;
};

export const NO_HISTORY: History = { steps: [], more: null, bytes: 0, count: 0 };

/** What a finished step adds to a body: its texts, and what stands around them. */
const WEIGHT = "octet_length(key) + coalesce(octet_length(output), 0) + coalesce(octet_length(error), 0) + 100";

const narrow = `job_id as "jobId", key, kind, state, attempt, seq`;
const dueInMs = `(extract(epoch from due_at - rotor.clock()) * 1000)::float8 as "dueInMs"`;

/**
 * All steps of these runs, where each run's results weigh at most `$1` bytes and all together `$2`: as nearly always. Where
 * they do not, no result is fetched, and `whole` says so. `ids` is an expression for an array.
 */
const smallOf = (ids: string): string =>
  `select ${narrow}, ${dueInMs}, case when whole and seq is not null then output end as output,
          case when whole and seq is not null then error end as error, case when seq is null then 0 else ${WEIGHT} end as weight, whole
     from (select coalesce(max(bytes) <= $1::int and sum(bytes) <= $2::bigint, true) as whole
             from (select sum(${WEIGHT}) as bytes from rotor.steps where job_id = any(${ids}) and seq is not null group by job_id) run) fit,
          rotor.steps
    where job_id = any(${ids}) and state <> 'dropped'
    order by job_id, seq, key`;

const small = hot("history.small", smallOf("$3::uuid[]"));

/** Of the runs that this transaction has claimed. */
const smallOfResumed = hot("history.small-resumed", smallOf(RESUMED));

/**
 * Of each run its newest results up to `$2` bytes, and all of its unfinished steps, whose errors are for people to read.
 * Together the results weigh at most `$3` bytes: smaller histories come first, and what is left of a larger one is `$4`.
 * Where a result is the first that does not fit, its row comes without it: it is where the pages begin.
 */
const histories = sql(
  "history.load",
  `with finished as materialized (
     select job_id, key, kind, state, attempt, seq, output, error, weight,
            sum(weight) over (partition by job_id order by seq desc) as upto, count(*) over (partition by job_id) as count
       from (select *, ${WEIGHT} as weight from rotor.steps where job_id = any($1::uuid[]) and seq is not null) step
   ),
   room as (
     select job_id, case when sum(bytes) over (order by bytes, job_id) <= $3::bigint then $2::int else $4::int end as room
       from (select job_id, coalesce(max(upto) filter (where upto <= $2::int), 0) as bytes from finished group by job_id) run
   )
   select ${narrow}, null::float8 as "dueInMs", case when upto <= room then output end as output, case when upto <= room then error end as error,
          weight, upto > room as cut, count::int as count
     from finished join room using (job_id)
    where upto - weight < room
   union all
   select ${narrow}, ${dueInMs}, null, null, 0, false, null
     from rotor.steps where job_id = any($1::uuid[]) and state = 'waiting'
    order by "jobId", seq, key`,
);

type Weighed = StepRow & { readonly weight: number };
type SmallRow = Weighed & { readonly whole: boolean };
type LargeRow = Weighed & { readonly cut: boolean; readonly count: number | null };

/** The histories of these runs, of those that have one. `all` is what there is room for in this process. */
export async function loadHistories(
  db: Queryable,
  jobIds: readonly string[],
  all: number = limits.historiesBytes,
): Promise<ReadonlyMap<string, History>> {
  if (jobIds.length === 0) return new Map();
  const room = Math.max(0, Math.floor(all));
  const rows = await db.query<SmallRow>(small, [limits.deliveryBytes, room, [...jobIds]]);
  const whole = wholeOf(rows);
  if (whole !== undefined) return whole;
  const large = await db.query<LargeRow>(histories, [
    [...jobIds],
    limits.deliveryBytes,
    room,
    limits.historyLeastBytes,
  ]);
  return mapped(large, (steps) => {
    const cut = steps.find((row) => row.cut);
    const kept = steps.filter((row) => !row.cut);
    const finished = steps.find((row) => row.count !== null)?.count ?? 0;
    return {
      steps: kept.map(plain),
      more: cut === undefined ? null : afterSeq(cut.seq!),
      bytes: weightOf(kept),
      count: finished + steps.filter((row) => row.seq === null).length,
    };
  });
}

/** The histories of the runs that this transaction has claimed; undefined where they are too large to be read at once. */
export const loadResumed = async (t: Queryable, all: number): Promise<ReadonlyMap<string, History> | undefined> =>
  wholeOf(await t.query<SmallRow>(smallOfResumed, [limits.deliveryBytes, Math.max(0, Math.floor(all))]));

const wholeOf = (rows: readonly SmallRow[]): ReadonlyMap<string, History> | undefined =>
  rows[0]?.whole === false
    ? undefined
    : mapped(rows, (steps) => ({
        steps: steps.map(plain),
        more: null,
        bytes: weightOf(steps),
        count: steps.length,
      }));

const weightOf = (steps: readonly Weighed[]): number => steps.reduce((sum, { weight }) => sum + weight, 0);

function mapped<R extends StepRow>(
  rows: readonly R[],
  historyOf: (own: readonly R[]) => History,
): ReadonlyMap<string, History> {
  const byJob = new Map<string, R[]>();
  for (const row of rows) {
    const own = byJob.get(row.jobId);
    if (own === undefined) byJob.set(row.jobId, [row]);
    else own.push(row);
  }
  return new Map([...byJob].map(([jobId, own]) => [jobId, historyOf(own)]));
}

const plain = ({ jobId, key, kind, state, attempt, seq, dueInMs, output, error }: StepRow): StepRow => ({
  jobId,
  key,
  kind,
  state,
  attempt,
  seq,
  dueInMs,
  output,
  error,
});

/** The cursor whose page begins with this step: pages hold what is before their cursor. */
const afterSeq = (seq: string): string => String(Number(seq) + 1);

/** Finished steps of a run before a place in the order, newest first, up to `$3` bytes: one at least, or the pages never end. */
const before = sql(
  "history.before",
  `select ${narrow}, null::float8 as "dueInMs", case when place = 1 or upto <= $3 then output end as output,
          case when place = 1 or upto <= $3 then error end as error, place > 1 and upto > $3 as cut
     from (select *, row_number() over newest as place, sum(weight) over newest as upto
             from (select *, ${WEIGHT} as weight from rotor.steps where job_id = $1 and seq < $2) step
           window newest as (order by seq desc)) older
    where place <= 2 or upto - weight < $3
    order by seq desc`,
);

export type StepsBefore = { readonly steps: readonly StepRow[]; readonly more: string | null };

/** A page of a history, from its cursor on. */
export async function loadStepsBefore(db: Queryable, jobId: string, seq: number, bytes: number): Promise<StepsBefore> {
  const rows = await db.query<StepRow & { readonly cut: boolean }>(before, [jobId, seq, bytes]);
  const cut = rows.find((row) => row.cut);
  return { steps: rows.filter((row) => !row.cut).map(plain), more: cut === undefined ? null : afterSeq(cut.seq!) };
}

/**
 * Steps that ended after a place in the order, oldest first, up to `$4` bytes, and all that are unfinished. Results that the
 * app has itself just reported (`$3`) are not read back. With `$5` the first comes whatever it weighs.
 */
const since = hot(
  "history.since",
  `select ${narrow}, null::float8 as "dueInMs", case when own or upto > $4 and not ($5 and place = 1) then null else output end as output,
          case when upto > $4 and not ($5 and place = 1) then null else error end as error, upto > $4 and not ($5 and place = 1) as cut
     from (select *, row_number() over oldest as place, sum(weight) over oldest as upto
             from (select *, key = any($3::text[]) and kind = 'run' as own,
                          case when key = any($3::text[]) and kind = 'run' then 100 else ${WEIGHT} end as weight
                     from rotor.steps where job_id = $1 and seq > $2) step
           window oldest as (order by seq)) ended
    where place = 1 or upto - weight <= $4
   union all
   select ${narrow}, ${dueInMs}, null, null, false from rotor.steps where job_id = $1 and state = 'waiting'
    order by seq, key`,
);

export type StepsSince = {
  readonly steps: readonly StepRow[];
  /** More have ended than there was room for. */
  readonly more: boolean;
};

/** What a reply has room for, and whether one step may have more than that. */
export type ReplyRoom = { readonly bytes: number; readonly isAlone: boolean };

export async function loadStepsSince(
  db: Queryable,
  jobId: string,
  seq: number,
  own: readonly string[],
  { bytes, isAlone }: ReplyRoom,
): Promise<StepsSince> {
  const rows = await db.query<StepRow & { readonly cut: boolean }>(since, [jobId, seq, [...own], bytes, isAlone]);
  const end = rows.findIndex((row) => row.cut);
  if (end === -1) return { steps: rows.map(plain), more: false };
  return { steps: rows.filter((row, index) => index < end || row.seq === null).map(plain), more: true };
}

/** Steps of one run by their keys, however many others it has; without the results that the app has itself just reported (`$3`). */
const byKey = hot(
  "history.by-key",
  `select ${narrow}, ${dueInMs}, case when not (kind = 'run' and key = any($3::text[])) then output end as output, error
     from rotor.steps where job_id = $1 and key = any($2::text[]) and state <> 'dropped' order by seq, key`,
);

export const loadStepsByKey = (
  db: Queryable,
  jobId: string,
  keys: readonly string[],
  own: readonly string[],
): Promise<StepRow[]> => db.query<StepRow>(byKey, [jobId, [...keys], [...own]]);

/** A stored step as the wire has it. */
export function wireStep(row: StepRow): WireStep {
  return {
    key: row.key,
    kind: row.kind,
    state: row.state,
    attempt: row.attempt,
    ...(row.seq === null ? { due_in_ms: Math.ceil(row.dueInMs ?? 0) } : { seq: Number(row.seq) }),
    ...(row.state === "completed" ? { output: row.output === null ? null : JSON.parse(row.output) } : {}),
    ...(row.state !== "failed" || row.error === null ? {} : { error: JSON.parse(row.error) as WireError }),
  };
}
