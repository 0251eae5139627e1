/** Who may call, and what signs: API keys, signing keys, and the workspaces that they open. */

import type { ApiKey, Workspace } from "../api.js";
import type { Duration } from "../duration.js";
import { pause } from "../pause.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

export type KeyOptions = {
  readonly name?: string;
  readonly scopes?: readonly ("read" | "write" | "approve" | "admin" | "workspaces")[];
  /** The key stops to work after this time (default: never). */
  readonly expiresIn?: Duration;
};

/** How long what is replaced goes on (default `"24h"`); `"0s"` ends it at once. */
export type Overlap = CallOptions & { readonly overlap?: Duration };

/** Between two calls of a deletion that takes several. */
const DELETION_PAUSE_MS = 1_000;

/** The calls of `rotor.keys`. */
export const keysOf = (call: Call) => ({
  /** The answer is the only place where the key itself is ever shown. */
  create: async (key: KeyOptions = {}, options?: CallOptions) =>
    call("POST", "/v1/keys", { ...options, body: key }) as Promise<ApiKey & { readonly key: string }>,
  list: (options?: ListOptions) => listingOf<ApiKey>(call, "/v1/keys", options),
  /** A new key with the old one's name, scopes and length of life; shown only in this answer. The old one goes on for the overlap. */
  rotate: async (id: string, { overlap, ...options }: Overlap = {}) =>
    call("POST", `/v1/keys/${segment(id)}/rotate`, { ...options, body: { overlap } }) as Promise<
      ApiKey & { readonly key: string }
    >,
  /**
   * Signs deliveries with a new key, which is shown only in this answer; those before it sign along for the overlap, so
   * that nothing is rejected. With `queue`, that queue's own secret.
   */
  rotateSigning: async ({
    queue,
    secret,
    overlap,
    ...options
  }: Overlap & { readonly queue?: string; readonly secret?: string } = {}) =>
    call("POST", "/v1/keys/rotate-signing", { ...options, body: { queue, secret, overlap } }) as Promise<{
      readonly secret: string;
      readonly queue: string | null;
    }>,
  revoke: async (id: string, options?: CallOptions): Promise<void> => {
    await call("DELETE", `/v1/keys/${segment(id)}`, options);
  },
});

/** The calls of `rotor.workspaces`. */
export const workspacesOf = (call: Call) => ({
  /** `key` administers the new workspace, `signingKey` signs its deliveries. Both are shown in this answer only. */
  create: async (id: string, { name, ...options }: CallOptions & { readonly name?: string } = {}) =>
    call("POST", "/v1/workspaces", { ...options, body: { id, name } }) as Promise<
      Workspace & { readonly key: string; readonly signingKey: string }
    >,
  list: (options?: ListOptions) => listingOf<Workspace>(call, "/v1/workspaces", options),
  /**
   * Deletes a workspace with all that is in it. Its keys end at once; the rest goes in steps, for which this waits.
   * Unfinished work is refused (409) unless it is to be cancelled.
   */
  delete: async (
    id: string,
    { cancelUnfinished, ...options }: CallOptions & { readonly cancelUnfinished?: boolean } = {},
  ): Promise<void> => {
    const query = { cancel: cancelUnfinished };
    while ((await call("DELETE", `/v1/workspaces/${segment(id)}`, { ...options, query })) !== undefined) {
      await pause(DELETION_PAUSE_MS, options.signal);
    }
  },
});
