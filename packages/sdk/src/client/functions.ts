/** Functions as the server knows them. How one is written is in `function.ts`; its runs are in `runs.ts`. */

import type { FunctionView, Synced } from "../api.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

/** The calls of `rotor.functions`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const functionsOf = (call: Call) => ({
  /**
   * Makes the server read the functions of the app at this address. An app, or a function, that another address holds is an
   * error (409) unless `move` says yes.
   */
  sync: async ({ url, move }: { readonly url: string; readonly move?: boolean }, options?: CallOptions) =>
    call("POST", "/v1/functions/sync", { ...options, body: { url, move }, repeatable: true }) as Promise<Synced>,
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
