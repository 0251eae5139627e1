/** Who may call: API keys, and the workspaces that they open. */

import type { ApiKey, Workspace } from "../api.js";
import type { Duration } from "../duration.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

export type KeyOptions = {
  readonly name?: string;
  readonly scopes?: readonly ("read" | "write" | "approve" | "admin" | "workspaces")[];
  /** The key stops to work after this time (default: never). */
  readonly expiresIn?: Duration;
};

/** The calls of `rotor.keys`. */
export const keysOf = (call: Call) => ({
  /** The answer is the only place where the key itself is ever shown. */
  create: async (key: KeyOptions = {}, options?: CallOptions) =>
    call("POST", "/v1/keys", { ...options, body: key }) as Promise<ApiKey & { readonly key: string }>,
  list: (options?: ListOptions) => listingOf<ApiKey>(call, "/v1/keys", options),
  revoke: async (id: string, options?: CallOptions): Promise<void> => {
    await call("DELETE", `/v1/keys/${segment(id)}`, options);
  },
});

/** The calls of `rotor.workspaces`. */
export const workspacesOf = (call: Call) => ({
  /** `key` administers the new workspace. The answer is the only place where it is ever shown. */
  create: async (id: string, { name, ...options }: CallOptions & { readonly name?: string } = {}) =>
    call("POST", "/v1/workspaces", { ...options, body: { id, name } }) as Promise<Workspace & { readonly key: string }>,
  list: (options?: ListOptions) => listingOf<Workspace>(call, "/v1/workspaces", options),
});
