/** Queues of callback jobs: made, changed, paused. Their jobs are in `jobs.ts`. */

import type { Breaker, Queue, RateLimit, Retention, Retry } from "../api.js";
import type { Duration } from "../duration.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

/** What a queue may be given. What is left out has the server's default, or stays as it is. */
export type QueueOptions = {
  /** Where its jobs are POSTed. Without one they wait. */
  readonly callbackUrl?: string | null;
  /** Sent with each delivery. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Deliveries at one time (default 10); null: no limit. */
  readonly concurrency?: number | null;
  /** Default: 10 attempts, exponential from 2 s to 1 h, about two hours in all. */
  readonly retry?: Partial<Retry> & {
    /** The same as `maxAttempts`, counted without the first: give one of both. */
    readonly retries?: number;
  };
  /** Of one delivery, in all (default `"30s"`, at most `"12h"`). */
  readonly timeout?: Duration;
  /** How long an endpoint that answered 202 may take to report back (default `"24h"`, at most `"7d"`). */
  readonly asyncTimeout?: Duration;
  /** Sign as standardwebhooks.com says, too. */
  readonly standardWebhooks?: boolean;
  /** `whsec_…`, signs its deliveries in place of the workspace's key; null: that one signs again. Never read back. */
  readonly secret?: string | null;
  /**
   * A slot is free only when the endpoint answered or the time limit passed (default false): even after a crash, a cut
   * connection or a cancel it never has one delivery more in hand than `concurrency`.
   */
  readonly strictConcurrency?: boolean;
  /** Delays deliveries, never drops them; the period from `"100ms"` to `"31d"` (default: none). Null: none any more. */
  readonly rateLimit?: RateLimit | null;
  /** Leaves an endpoint that fails alone for a while (default: none). `{}` has the defaults. Null: none any more. */
  readonly breaker?: Partial<Breaker> | null;
  /** How long finished jobs are kept, from `"1m"` to ten years; given whole. */
  readonly retention?: Retention;
  /** Each job waits for a person's yes. */
  readonly approvalRequired?: boolean;
  /** How long it waits for that (default `"7d"`). */
  readonly approvalTimeout?: Duration;
};

/** The calls of `rotor.queues`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const queuesOf = (call: Call) => {
  const path = (name: string) => `/v1/queues/${segment(name)}`;
  return {
    /** Makes a queue; a taken name is an error (409). */
    create: async (name: string, queue: QueueOptions = {}, options?: CallOptions) =>
      call("POST", "/v1/queues", { ...options, body: { name, ...queue } }) as Promise<Queue>,
    /** Makes a queue, or gives an existing one these options. */
    put: async (name: string, queue: QueueOptions = {}, options?: CallOptions) =>
      call("PUT", path(name), { ...options, body: queue }) as Promise<Queue>,
    /** Changes the options that are given. */
    update: async (name: string, queue: QueueOptions, options?: CallOptions) =>
      call("PATCH", path(name), { ...options, body: queue }) as Promise<Queue>,
    get: async (name: string, options?: CallOptions) => call("GET", path(name), options) as Promise<Queue>,
    list: (options?: ListOptions) => listingOf<Queue>(call, "/v1/queues", options),
    delete: async (name: string, options?: CallOptions): Promise<void> => {
      await call("DELETE", path(name), options);
    },
    /** Begins no further delivery until `resume`; those under way end. */
    pause: async (name: string, options?: CallOptions) =>
      call("POST", `${path(name)}/pause`, { ...options, repeatable: true }) as Promise<Queue>,
    resume: async (name: string, options?: CallOptions) =>
      call("POST", `${path(name)}/resume`, { ...options, repeatable: true }) as Promise<Queue>,
    /** Cancels what waits; what is being delivered goes on. Answers how many were cancelled; with `dryRun`, would be. */
    drain: async (
      name: string,
      drain: { readonly confirm: true } | { readonly dryRun: true },
      options?: CallOptions,
    ): Promise<{ readonly cancelled: number }> => {
      let cancelled = 0;
      let cursor: string | undefined;
      do {
        const input = { ...options, body: { ...drain, cursor }, repeatable: true, timeoutMs: 60_000 };
        const answer = await call("POST", `${path(name)}/drain`, input);
        const { cancelled: more, nextCursor } = answer as { cancelled: number; nextCursor: string | null };
        cancelled += more;
        cursor = nextCursor ?? undefined;
      } while (cursor !== undefined);
      return { cancelled };
    },
  };
};
