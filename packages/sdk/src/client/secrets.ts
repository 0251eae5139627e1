/** Secrets: set and forgotten, never read. Queues' URLs and headers use them as `${{ secrets.NAME }}`. */

import type { StoredSecret } from "../api.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

/** The calls of `rotor.secrets`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const secretsOf = (call: Call) => {
  const path = (name: string) => `/v1/secrets/${segment(name)}`;
  return {
    /** Makes a secret, or gives it another value: at least 8 characters that a header can carry. */
    set: async (name: string, value: string, options?: CallOptions) =>
      call("PUT", path(name), { ...options, body: { value } }) as Promise<StoredSecret>,
    /** Names, not values. */
    list: (options?: ListOptions) => listingOf<StoredSecret>(call, "/v1/secrets", options),
    /** Deliveries of queues that use it fail from then on. */
    delete: async (name: string, options?: CallOptions): Promise<void> => {
      await call("DELETE", path(name), options);
    },
  };
};
