/** Schedules: jobs enqueued, or functions started, by the clock. */

import type { Schedule } from "../api.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

export type ScheduleOptions = ({ readonly queue: string } | { readonly function: string }) & {
  /** Five or six fields, names, or `@daily` and its like. */
  readonly cron: string;
  /** IANA name, such as `Europe/Stockholm`. */
  readonly timezone: string;
  /** Of each job; `data` of each run. */
  readonly payload?: unknown;
};

/** The calls of `rotor.schedules`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const schedulesOf = (call: Call) => {
  const path = (name: string) => `/v1/schedules/${segment(name)}`;
  return {
    /** Makes a schedule; a taken name is an error (409). */
    create: async (name: string, schedule: ScheduleOptions, options?: CallOptions) =>
      call("POST", "/v1/schedules", { ...options, body: { name, ...schedule } }) as Promise<Schedule>,
    /** Makes a schedule, or gives an existing one these options. */
    put: async (name: string, schedule: ScheduleOptions, options?: CallOptions) =>
      call("PUT", path(name), { ...options, body: schedule }) as Promise<Schedule>,
    get: async (name: string, options?: CallOptions) => call("GET", path(name), options) as Promise<Schedule>,
    list: (options?: ListOptions) => listingOf<Schedule>(call, "/v1/schedules", options),
    delete: async (name: string, options?: CallOptions): Promise<void> => {
      await call("DELETE", path(name), options);
    },
    /** Fires it now, beside its times. Gives the id of the job or run. */
    run: async (name: string, options?: CallOptions) =>
      call("POST", `${path(name)}/run`, options) as Promise<{ readonly id: string }>,
    pause: async (name: string, options?: CallOptions) =>
      call("POST", `${path(name)}/pause`, { ...options, repeatable: true }) as Promise<Schedule>,
    resume: async (name: string, options?: CallOptions) =>
      call("POST", `${path(name)}/resume`, { ...options, repeatable: true }) as Promise<Schedule>,
  };
};
