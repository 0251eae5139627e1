/** Ends a sleep before its time, as if it had passed. For people who develop a workflow that sleeps for a day. */
import { type Db, sql } from "./db.js";
import { lockJobs, wakeRuns } from "./resume.js";

const skip = sql(
  "skip.sleep",
  `update rotor.steps set due_at = rotor.clock() where job_id = $1 and key = $2 and kind = 'sleep' and state = 'waiting' and due_at > rotor.clock() returning key`,
);

/** False where the run has no such step that sleeps. The next claim, or the holder's next checkpoint, records it as ended. */
export const skipSleep = (db: Db, jobId: string, key: string): Promise<boolean> =>
  db.transact(async (t) => {
    await t.query(lockJobs, [[jobId]]);
    const moved = await t.query(skip, [jobId, key]);
    if (moved.length > 0) await wakeRuns(t, [jobId]);
    return moved.length > 0;
  });
