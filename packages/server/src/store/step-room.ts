/**
 * How many more steps a run may have, whatever its app's SDK allows. Counted in this process as reports come, so that a
 * checkpoint costs the same at step 9,000 as at step 1; the rows are counted only where the limit is near.
 */
import type { Report } from "@rotorsh/sdk/protocol";
import { limits } from "../core/limits.js";
import { type Queryable, sql } from "./db.js";

export type StepRoom = {
  /**
   * Whether these reports leave the run within the limit.
   * @param loaded the steps that the run had when this delivery's body was read; undefined where another node read it.
   */
  fits(jobId: string, delivery: number, reports: readonly Report[], loaded: number | undefined): Promise<boolean>;
  forget(jobId: string): void;
};

/** The steps of a run, counted up to `$2`, and those of these keys that it does not have. */
const count = sql(
  "step-room.count",
  `select (select count(*)::int from (select 1 from rotor.steps where job_id = $1 limit $2) step) as stored,
          (select count(distinct key)::int from unnest($3::text[]) as item (key)
            where not exists (select 1 from rotor.steps where job_id = $1 and key = item.key)) as fresh`,
);

/** Runs that are remembered at one time: more than a node has in hand. */
const REMEMBERED = 10 * limits.inFlight;

export function createStepRoom(db: Queryable, most: number = limits.stepsPerRun): StepRoom {
  /** At least as many as there are: a step that is reported twice counts twice. */
  const counts = new Map<string, { readonly delivery: number; readonly count: number }>();
  return {
    async fits(jobId, delivery, reports, loaded) {
      const known = counts.get(jobId);
      const before = known?.delivery === delivery ? known.count : loaded;
      let after = before === undefined ? undefined : before + reports.length;
      if (after === undefined || after > most) {
        const keys = reports.map((report) => report.key);
        const [row] = await db.query<{ stored: number; fresh: number }>(count, [jobId, most + 1, keys]);
        after = row!.stored + row!.fresh;
        if (row!.fresh > 0 && after > most) return false;
      }
      if (counts.size > REMEMBERED) counts.clear();
      counts.set(jobId, { delivery, count: after });
      return true;
    },
    forget: (jobId) => counts.delete(jobId),
  };
}
