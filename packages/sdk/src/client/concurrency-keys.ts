/** Concurrency keys: how many of the jobs that name one may be active at a time. Jobs name them when they are enqueued. */

import type { ConcurrencyKey } from "../api.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

/** The calls of `rotor.concurrencyKeys`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const concurrencyKeysOf = (call: Call) => {
  const path = (key: string) => `/v1/concurrency-keys/${segment(key)}`;
  return {
    /** The keys that jobs have named or that have a limit, by name; 100 a page at most. */
    list: (options?: ListOptions) => listingOf<ConcurrencyKey>(call, "/v1/concurrency-keys", options),
    get: async (key: string, options?: CallOptions) => call("GET", path(key), options) as Promise<ConcurrencyKey>,
    /** Says how many of its jobs may be active at a time, from 1. Lowering it ends nothing that is active. */
    set: async (key: string, { limit }: { readonly limit: number }, options?: CallOptions) =>
      call("PUT", path(key), { ...options, body: { limit } }) as Promise<ConcurrencyKey>,
  };
};
