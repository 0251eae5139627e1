/** What the end of a delivery says of its queue: whether the endpoint, or the app, is there. */
import { isEndpoints } from "../core/breaker.js";
import { limits } from "../core/limits.js";
import type { Db } from "../store/db.js";
import type { LoadedJob } from "../store/load.js";
import { failQueue, resetQueue, tripQueue } from "../store/queues.js";
import { unreachedMs } from "../store/unreached.js";
import type { Carried } from "./courier.js";

/** Keeps the breaker of the job's queue. Answers the end: a run that has waited for its app for too long fails after all. */
export async function keepBreaker(
  db: Db,
  job: LoadedJob,
  carried: Carried,
  onError: (error: unknown) => void,
): Promise<Carried["end"]> {
  const { end } = carried;
  try {
    if (job.queue.kind === "callback") {
      if (job.queue.breaker === null || end.kind === "released") return end;
      if (isEndpoints(end, carried.status)) await failQueue(db, job.queue.id, job.queue.trips > 0);
      else if (job.queue.failures > 0 || job.queue.trips > 0) await resetQueue(db, job.queue.id, null);
      return end;
    }
    if (end.kind !== "unreached") {
      if (job.queue.trips > 0 && end.kind !== "released") await resetQueue(db, job.queue.id, job.queue.appId);
      return end;
    }
    const sinceMs = await tripQueue(db, job.queue.id, job.queue.appId, job.queue.trips);
    if (sinceMs <= limits.unreachableMs) return end;
    const waitedMs = Math.max(job.queuedMs ?? 0, await unreachedMs(db, job.jobId));
    return waitedMs > limits.unreachableMs ? { kind: "failed", final: true, error: end.error } : end;
  } catch (error) {
    // The next delivery keeps the breaker; how this one ended must not be lost over it.
    onError(error);
    return end;
  }
}
