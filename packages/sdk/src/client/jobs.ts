/** Jobs of callback queues: enqueued, looked at, cancelled. Failed ones are in `dead-letters.ts` too. */

import type { Enqueued, EnqueuedInBatch, Job, JobReason, JobState } from "../api.js";
import { nextIdInStep } from "../context.js";
import type { Duration } from "../duration.js";
import { uuidv7 } from "../ids.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

export type JobOptions = {
  /** Any JSON: the body that the endpoint gets. */
  readonly payload?: unknown;
  /** Unique in the queue as long as the job is kept, at least 24 h. Default: one that a repeat of the step gives again; outside of steps a new one. */
  readonly jobId?: string;
  /** Before the first delivery; a number is seconds. */
  readonly delay?: Duration | number;
  /** Time of the first delivery; give this or `delay`. */
  readonly runAt?: Date | string;
  /** Seconds of head start before other due jobs, -100 to 100 (default 0). */
  readonly priority?: number;
  /** Up to 10, of 64 characters at most. */
  readonly tags?: readonly string[];
  /** In place of the queue's; the first attempt included. */
  readonly maxAttempts?: number;
  /** The same, counted without the first: `retries: 3` is `maxAttempts: 4`. Give one of both. */
  readonly retries?: number;
  /** In place of the queue's. */
  readonly timeout?: Duration;
  /** Sent with each delivery, beside the queue's. */
  readonly headers?: Readonly<Record<string, string>>;
  /** When a job of this id exists: answer with it (default), or fail (409). */
  readonly onDuplicate?: "ignore" | "reject";
};

export type JobFilter = ListOptions & {
  readonly state?: JobState | JobReason;
  readonly tag?: string;
};

// Taken when the call is made, before anything is awaited: so the order of calls gives the ids.
const envelopeOf = ({ payload, jobId, ...rest }: JobOptions) => ({
  payload: payload === undefined ? null : payload,
  jobId: jobId ?? nextIdInStep() ?? uuidv7(),
  ...rest,
});

/** The calls of `rotor.jobs`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const jobsOf = (call: Call) => {
  const jobs = (queue: string) => `/v1/queues/${segment(queue)}/jobs`;
  const path = (queue: string, id: string) => `${jobs(queue)}/${segment(id)}`;
  return {
    /** Enqueues a job. Once it resolves the job is durable. Inside `step.run`, a repeat of the step enqueues nothing new. */
    enqueue: async (queue: string, job: JobOptions = {}, options?: CallOptions) =>
      call("POST", jobs(queue), { ...options, body: envelopeOf(job), repeatable: true }) as Promise<Enqueued>,
    /** Up to 1,000 jobs, all or none. */
    enqueueBatch: async (
      queue: string,
      batch: readonly JobOptions[],
      options?: CallOptions,
    ): Promise<EnqueuedInBatch[]> => {
      const body = { jobs: batch.map(envelopeOf) };
      const answer = await call("POST", `${jobs(queue)}/batch`, { ...options, body, repeatable: true });
      return (answer as { jobs: EnqueuedInBatch[] }).jobs;
    },
    get: async (queue: string, id: string, options?: CallOptions) =>
      call("GET", path(queue, id), options) as Promise<Job>,
    list: (queue: string, { state, tag, ...options }: JobFilter = {}) =>
      listingOf<Job>(call, jobs(queue), options, { state, tag }),
    /** Ends an unfinished job. An endpoint that works on it is not told. */
    cancel: async (queue: string, id: string, options?: CallOptions): Promise<void> => {
      await call("DELETE", path(queue, id), options);
    },
    /** Makes a failed job wait again, with all its attempts. */
    retry: async (queue: string, id: string, options?: CallOptions) =>
      call("POST", `${path(queue, id)}/retry`, options) as Promise<Job>,
  };
};
