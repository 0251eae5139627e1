/** Jobs of callback queues: enqueued, looked at, changed, cancelled. Failed ones are in `dead-letters.ts` too. */

import type { Enqueued, EnqueuedInBatch, Job, JobReason, JobState, Why } from "../api.js";
import { nextIdInStep } from "../context.js";
import type { Duration } from "../duration.js";
import { uuidv7 } from "../ids.js";
import { instant } from "./bulk.js";
import { type Call, type CallOptions, type Query, segment } from "./call.js";
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
  /** Seconds of head start before other due jobs, -100 to 100 (default 0); with fewer than 0 it waits for as long. */
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
  /** One active job a key at a time, over all queues of the workspace; or what the key's limit says. Up to 256 characters. */
  readonly concurrencyKey?: string;
  /**
   * How jobs of a key follow each other. `started` (default): a job that waits for its next attempt gives up its turn.
   * `strict`: others wait for it until it has ended. An error without a `concurrencyKey`.
   */
  readonly keyOrder?: "started" | "strict";
  /**
   * When a job of this id exists: answer with it (`ignore`, the default), put this one in its place while it waits
   * (`replace`: payload, due time and all else, a debounce), or fail with 409 (`reject`).
   */
  readonly onDuplicate?: "ignore" | "replace" | "reject";
};

/** What may be changed of a job that waits. What is left out stays; a new payload or due time gives it all its attempts again. */
export type JobChanges = Omit<JobOptions, "jobId" | "onDuplicate" | "concurrencyKey"> & {
  /** Null: none any more. */
  readonly concurrencyKey?: string | null;
};

export type JobFilter = ListOptions & {
  readonly state?: JobState | JobReason;
  readonly tag?: string;
  /** Created at or after this time. */
  readonly createdAfter?: Date | string;
  /** Created before this time. */
  readonly createdBefore?: Date | string;
  /** Leaves out payloads and outputs that are large, and names what: for a list that is looked through. */
  readonly brief?: boolean;
};

/** Of jobs of all queues. */
export type AllJobsFilter = JobFilter & {
  readonly queue?: string;
  /** Part of the last error's text, in upper or lower case. */
  readonly error?: string;
};

const filterOf = ({ state, tag, createdAfter, createdBefore, brief }: JobFilter): Query => ({
  state,
  tag,
  created_after: instant(createdAfter),
  created_before: instant(createdBefore),
  brief,
});

const pageOf = ({ limit, cursor, signal }: ListOptions): ListOptions => ({ limit, cursor, signal });

// Taken when the call is made, before anything is awaited: so the order of calls gives the ids.
const envelopeOf = ({ payload, jobId, ...rest }: JobOptions) => ({
  payload: payload === undefined ? null : payload,
  jobId: jobId ?? nextIdInStep() ?? uuidv7(),
  ...rest,
});

// Sent again after a lost answer, it would be told of itself as of another's job.
const isRepeatable = ({ onDuplicate }: JobOptions): boolean => onDuplicate !== "reject";

/** The calls of `rotor.jobs`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const jobsOf = (call: Call) => {
  const jobs = (queue: string) => `/v1/queues/${segment(queue)}/jobs`;
  const path = (queue: string, id: string) => `${jobs(queue)}/${segment(id)}`;
  return {
    /** Enqueues a job. Once it resolves the job is durable. Inside `step.run`, a repeat of the step enqueues nothing new. */
    enqueue: async (queue: string, job: JobOptions = {}, options?: CallOptions) =>
      call("POST", jobs(queue), {
        ...options,
        body: envelopeOf(job),
        repeatable: isRepeatable(job),
      }) as Promise<Enqueued>,
    /** Up to 1,000 jobs, all or none; they are answered in the order given. */
    enqueueBatch: async (
      queue: string,
      batch: readonly JobOptions[],
      options?: CallOptions,
    ): Promise<EnqueuedInBatch[]> => {
      const body = { jobs: batch.map(envelopeOf) };
      const repeatable = batch.every(isRepeatable);
      const answer = await call("POST", `${jobs(queue)}/batch`, { ...options, body, repeatable });
      return (answer as { jobs: EnqueuedInBatch[] }).jobs;
    },
    get: async (queue: string, id: string, options?: CallOptions) =>
      call("GET", path(queue, id), options) as Promise<Job>,
    /** A job of whichever queue, by its id. */
    find: async (id: string, options?: CallOptions) => call("GET", `/v1/jobs/${segment(id)}`, options) as Promise<Job>,
    list: (queue: string, filter: JobFilter = {}) =>
      listingOf<Job>(call, jobs(queue), pageOf(filter), filterOf(filter)),
    /** Jobs of all callback queues, the newest first. */
    listAll: ({ queue, error, ...filter }: AllJobsFilter = {}) =>
      listingOf<Job>(call, "/v1/jobs", pageOf(filter), { ...filterOf(filter), queue, error }),
    /**
     * Changes a job that waits, or waits for a person's yes.
     * @throws RotorApiError 409 when it is active or finished: it may have been delivered as it was.
     */
    update: async (queue: string, id: string, changes: JobChanges, options?: CallOptions) =>
      call("PATCH", path(queue, id), { ...options, body: changes }) as Promise<Job>,
    /** Why a job, or a run, does not move: what it waits for, who blocks it, and the command that unblocks it. */
    why: async (id: string, options?: CallOptions) =>
      call("GET", `/v1/jobs/${segment(id)}/why`, options) as Promise<Why>,
    /** Ends an unfinished job. An endpoint that works on it is not told. */
    cancel: async (queue: string, id: string, options?: CallOptions): Promise<void> => {
      await call("DELETE", path(queue, id), options);
    },
    /** Makes a failed job wait again, with all its attempts. */
    retry: async (queue: string, id: string, options?: CallOptions) =>
      call("POST", `${path(queue, id)}/retry`, options) as Promise<Job>,
  };
};
