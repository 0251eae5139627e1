/**
 * Histories in which many do things at once over a pool of connections. What becomes of each job depends on who was first,
 * so there is no model to compare with: Postgres itself refuses any commit after which a limit is exceeded, and in the end
 * every job has ended once.
 */
import fc from "fast-check";
import { newId } from "../core/ids.js";
import { claim } from "../store/claim.js";
import { limitKey } from "../store/concurrency-keys.js";
import { cancel, retry } from "../store/control.js";
import type { Db } from "../store/db.js";
import { violations } from "../store/invariants.js";
import { grantStranded } from "../store/keys.js";
import { clearJobs, enqueueAll, newJob, settleOne } from "./fixtures.js";
import { BrokenPromise, check } from "./queue-model-checks.js";

/** How the deliveries of a job end, one after the other; then it is done. */
export type Fate = "done" | "retry" | "final" | "cancel";

export type Crowd = {
  readonly jobs: readonly {
    readonly queue: number;
    readonly key: string | null;
    readonly strict: boolean;
    /** Of a run, beside its key, which is its function's then. */
    readonly second: string | null;
    readonly fates: readonly Fate[];
  }[];
  readonly limits: readonly number[];
};

const KEYS = ["crowd-a", "crowd-b"] as const;

export const crowds: fc.Arbitrary<Crowd> = fc.record({
  jobs: fc.array(
    fc.record({
      queue: fc.nat(1),
      key: fc.constantFrom(null, ...KEYS, KEYS[0]),
      strict: fc.boolean(),
      second: fc.constantFrom(null, ...KEYS, KEYS[0]),
      fates: fc.array(fc.constantFrom<Fate>("done", "done", "retry", "retry", "final", "cancel"), { maxLength: 2 }),
    }),
    { minLength: 25, maxLength: 40, size: "max" },
  ),
  limits: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 2, maxLength: 2 }),
});

/**
 * Counts at every commit that made a job active. The lock outlives the commit, and what is read after it is taken sees all
 * commits before: so no two are counted beside each other.
 */
export const watchLimits = (db: Db): Promise<unknown> =>
  db.script(
    `create function rotor.watch_limits() returns trigger language plpgsql as $$
       begin
         perform pg_advisory_xact_lock(hashtext('${db.schema}'));
         if exists (select 1 from rotor.queues queue where queue.id = new.queue_id
                       and queue.concurrency < (select count(*) from rotor.jobs where queue_id = new.queue_id and state = 'active'))
         then raise exception 'more jobs are active than queue % allows', new.queue_id using errcode = 'RT001'; end if;
         if exists (select 1 from rotor.keys key where key.id = new.key_id
                       and key.concurrency < (select count(*) from rotor.jobs where key_id = new.key_id and state = 'active'))
         then raise exception 'more jobs are active than key % allows', new.key_id using errcode = 'RT001'; end if;
         if exists (select 1 from rotor.keys key where key.id = new.second_key_id
                       and key.concurrency < (select count(*) from rotor.jobs where second_key_id = new.second_key_id and state = 'active'))
         then raise exception 'more jobs are active than key % allows', new.second_key_id using errcode = 'RT001'; end if;
         return null;
       end $$;
     create constraint trigger watch_limits after insert or update of state on rotor.jobs deferrable initially deferred
       for each row when (new.state = 'active') execute function rotor.watch_limits()`,
  );

/** The keys of a job: of the workspace in the first queue, and of the function that is the second. */
function keysOf({ queue, key, strict, second }: Crowd["jobs"][number], [first, other]: readonly number[]) {
  if (key === null) return {};
  if (queue === 0) return { concurrencyKey: key, keyOrder: strict ? ("strict" as const) : ("started" as const) };
  const own = { key, limit: first!, strict };
  return { functionKeys: second === null ? [own] : [own, { key: second, limit: other! }] };
}

/** Lets a crowd loose on a queue and a function: those who enqueue, four nodes, a keeper. Throws where a limit was exceeded or a job lost. */
export async function loose(
  db: Db,
  plain: Db,
  queueIds: readonly [number, number],
  { jobs, limits }: Crowd,
): Promise<void> {
  await clearJobs(plain);
  for (const [place, key] of KEYS.entries()) await limitKey(plain, "default", key, limits[place]!);
  const fates = new Map<string, Fate[]>();
  const left = new Set<string>();
  const made = jobs.map((each) => {
    const job = newJob(queueIds[each.queue]!, keysOf(each, limits));
    fates.set(job.id, [...each.fates]);
    left.add(job.id);
    return job;
  });
  const enqueues = Array.from({ length: 3 }, (_, lane) => made.filter((_job, place) => place % 3 === lane)).map(
    async (lane) => {
      for (let at = 0; at < lane.length; at += 2) await enqueueAll(db, lane.slice(at, at + 2));
    },
  );
  let turns = 0;
  const nodes = Array.from({ length: 4 }, async (_, n) => {
    const nodeId = newId();
    for (; left.size > 0 && turns < PATIENCE; turns++) {
      const { taken } = await claim(db, nodeId, n % 2 === 0 ? queueIds : [...queueIds].reverse(), 1 + (turns % 4));
      await Promise.all(taken.map((job) => end(db, job, fates.get(job.jobId)!, left)));
      if (n === 0) await grantStranded(db, 0);
    }
  });
  const ends = await Promise.allSettled(
    [...enqueues, ...nodes].map((each) =>
      each.catch((error) => {
        // The others go home, too: nothing is to be under way when this is over.
        left.clear();
        throw error;
      }),
    ),
  );
  const failed = ends.find((each) => each.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  check(left.size === 0, () => `${left.size} jobs never end`);
  const states = await plain.script("select state, count(*)::int as count from rotor.jobs group by state");
  const unfinished = states.rows.filter((row) => row.state !== "completed" && row.state !== "cancelled");
  check(unfinished.length === 0, () => `${JSON.stringify(unfinished)} are left`);
  const broken = await violations(plain);
  check(broken.length === 0, () => JSON.stringify(broken));
}

/** Claims of one crowd; a few hundred are enough. */
const PATIENCE = 20_000;

async function end(
  db: Db,
  {
    jobId,
    delivery,
    kind,
  }: { readonly jobId: string; readonly delivery: number; readonly kind: "callback" | "function" },
  fates: Fate[],
  left: Set<string>,
): Promise<void> {
  const holder = { jobId, delivery, attempt: 1, parentId: null, kind };
  const error = { name: "Error", message: "no" };
  const fate = fates.shift() ?? "done";
  switch (fate) {
    case "done":
      await settleOne(db, holder, { kind: "done", output: null });
      left.delete(jobId);
      return;
    case "cancel":
      // With the holder's own answer: one of them is first.
      await Promise.all([cancel(db, [jobId]), settleOne(db, holder, { kind: "done", output: null })]);
      left.delete(jobId);
      return;
    case "retry":
      await settleOne(db, holder, { kind: "failed", final: false, error, retryAfterMs: 0 });
      return;
    case "final": {
      await settleOne(db, holder, { kind: "failed", final: true, error });
      // Two who ask for the same: one of them finds nothing.
      const moved = await Promise.all([retry(db, [jobId]), retry(db, [jobId])]);
      if (moved.flat().length !== 1) throw new BrokenPromise(`${jobId} was retried ${moved.flat().length} times`);
      return;
    }
  }
}
