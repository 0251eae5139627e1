/** Functions as the server knows them. How one is written is in `function.ts`; its runs are in `runs.ts`. */

import type { FunctionView, Synced } from "../api.js";
import type { Check, CheckOptions } from "../api-check.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

/** The server ends a check after a minute. */
const CHECK_TIMEOUT_MS = 90_000;

/** The calls of `rotor.functions`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const functionsOf = (call: Call) => ({
  /**
   * Makes the server read the functions of the app at this address. An app, or a function, that another address holds is an
   * error (409) unless `move` says yes.
   */
  sync: async ({ url, move }: { readonly url: string; readonly move?: boolean }, options?: CallOptions) =>
    call("POST", "/v1/functions/sync", { ...options, body: { url, move }, repeatable: true }) as Promise<Synced>,
  /**
   * How the code at this address fares with runs that are stored, before it is deployed. Nothing is run, stored or changed.
   * It takes up to a minute.
   */
  check: async (url: string, { function: only, limit }: CheckOptions = {}, options?: CallOptions) =>
    call("POST", "/v1/functions/check", {
      ...options,
      body: { url, function: only, limit },
      timeoutMs: CHECK_TIMEOUT_MS,
      apart: true,
    }) as Promise<Check>,
  list: (options?: ListOptions) => listingOf<FunctionView>(call, "/v1/functions", options),
  get: async (id: string, options?: CallOptions) =>
    call("GET", `/v1/functions/${segment(id)}`, options) as Promise<FunctionView>,
  /** Begins no further delivery of its runs until `resume`. */
  pause: async (id: string, options?: CallOptions) =>
    call("POST", `/v1/functions/${segment(id)}/pause`, { ...options, repeatable: true }) as Promise<FunctionView>,
  resume: async (id: string, options?: CallOptions) =>
    call("POST", `/v1/functions/${segment(id)}/resume`, { ...options, repeatable: true }) as Promise<FunctionView>,
  delete: async (id: string, options?: CallOptions): Promise<void> => {
    await call("DELETE", `/v1/functions/${segment(id)}`, options);
  },
});
