/** Webhooks: who is told of what happens in a workspace. What they are sent is `LifecycleEvent`. */

import type { Job, LifecycleType, Webhook } from "../api.js";
import type { Duration } from "../duration.js";
import { type Call, type CallOptions, segment } from "./call.js";
import type { JobFilter } from "./jobs.js";
import { type ListOptions, listingOf } from "./listing.js";

/** What a webhook may be given. What is left out has the server's default, or stays as it is. */
export type WebhookOptions = {
  /** Where events are POSTed. */
  readonly url?: string;
  /** What it is told of (default `["*"]`: everything). */
  readonly types?: readonly (LifecycleType | "*")[];
  /** Sent with each event. */
  readonly headers?: Readonly<Record<string, string>>;
};

/** The calls of `rotor.webhooks`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const webhooksOf = (call: Call) => {
  const path = (name: string) => `/v1/webhooks/${segment(name)}`;
  type WithSecret = Webhook & { readonly secret: string };
  return {
    /** Makes a webhook; a taken name is an error (409). The answer is the only place where its secret is shown. */
    create: async (name: string, webhook: WebhookOptions & { readonly url: string }, options?: CallOptions) =>
      call("POST", "/v1/webhooks", { ...options, body: { name, ...webhook } }) as Promise<WithSecret>,
    /**
     * Makes a webhook, and shows its secret; or gives an existing one these options. Where the answer that showed it was
     * lost, `rotate` shows another.
     */
    put: async (name: string, webhook: WebhookOptions, options?: CallOptions) =>
      call("PUT", path(name), { ...options, body: webhook }) as Promise<Webhook>,
    /** Changes the options that are given. */
    update: async (name: string, webhook: WebhookOptions, options?: CallOptions) =>
      call("PATCH", path(name), { ...options, body: webhook }) as Promise<Webhook>,
    get: async (name: string, options?: CallOptions) => call("GET", path(name), options) as Promise<Webhook>,
    list: (options?: ListOptions) => listingOf<Webhook>(call, "/v1/webhooks", options),
    /** Deletes it, and what was not delivered to it yet. */
    delete: async (name: string, options?: CallOptions): Promise<void> => {
      await call("DELETE", path(name), options);
    },
    /** Sends it a `webhook.test`. Gives the id of the event. */
    test: async (name: string, options?: CallOptions) =>
      call("POST", `${path(name)}/test`, options) as Promise<{ readonly id: string }>,
    /** Gives it another secret. For `overlap` (default `"24h"`) events are signed with the old one, too. */
    rotate: async (name: string, { overlap, ...options }: CallOptions & { readonly overlap?: Duration } = {}) =>
      call("POST", `${path(name)}/rotate`, { ...options, body: { overlap } }) as Promise<WithSecret>,
    /** What it was told, the newest first: jobs whose payload is the event. */
    deliveries: (
      name: string,
      { state, type, ...options }: ListOptions & Pick<JobFilter, "state"> & { readonly type?: LifecycleType } = {},
    ) => listingOf<Job>(call, `${path(name)}/deliveries`, options, { state, type }),
  };
};
