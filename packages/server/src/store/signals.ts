/** Signals: a key that somebody completes. The wait is committed before anyone can know of it. */
import { signalKey } from "../core/wait-key.js";
import { type Db, sql } from "./db.js";
import { lockJobs, resume } from "./resume.js";

const find = sql(
  "signals.find",
  `select job_id as "jobId", key from rotor.steps where wait_key = $1 and kind = 'signal'`,
);

/** Ends the wait for this signal with `data` (JSON text). Answers the run that goes on; undefined: nobody waits for it. */
export async function completeSignal(
  db: Db,
  workspace: string,
  signal: string,
  data: string,
): Promise<string | undefined> {
  return db.transact(async (t) => {
    const [step] = await t.query<{ jobId: string; key: string }>(find, [signalKey(workspace, signal)]);
    if (step === undefined) return undefined;
    await t.query(lockJobs, [[step.jobId]]);
    const [runId] = await resume(t, [{ ...step, state: "completed", output: data, error: null }]);
    return runId;
  });
}
