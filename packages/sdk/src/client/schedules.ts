/** Schedules: jobs enqueued, or functions started, by the clock. */

import type { Schedule, ScheduleCatchUp, ScheduleOverlap } from "../api.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

/** What a schedule starts: a job in a queue, or a run of a function. */
export type ScheduleTarget = { readonly queue: string } | { readonly function: string };

type ScheduleSettings = {
  /** Five or six fields, names, or `@daily` and its like. */
  readonly cron: string;
  /** IANA name, such as `Europe/Stockholm`. */
  readonly timezone: string;
  /** Of each job; `data` of each run. */
  readonly payload?: unknown;
  /** `"skip"`: a tick enqueues nothing while the job of the tick before is not finished. Default `"allow"`. */
  readonly overlap?: ScheduleOverlap;
  /**
   * Ticks that were missed while no server ran. `"last"` (default): the latest is made. `"none"`: so it is, unless it is
   * late by more than a minute. `"all"`: each is, at most the latest hundred.
   */
  readonly catchUp?: ScheduleCatchUp;
};

export type ScheduleOptions = ScheduleTarget & ScheduleSettings;

/** What to change of a schedule; what is left out stays. */
export type ScheduleChanges = (ScheduleTarget | { readonly queue?: undefined; readonly function?: undefined }) &
  Partial<ScheduleSettings>;

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
    /** Changes what is given. A tick that is due follows the old settings or the new ones, never both. */
    update: async (name: string, changes: ScheduleChanges, options?: CallOptions) =>
      call("PATCH", path(name), { ...options, body: changes }) as Promise<Schedule>,
    get: async (name: string, options?: CallOptions) => call("GET", path(name), options) as Promise<Schedule>,
    list: (options?: ListOptions) => listingOf<Schedule>(call, "/v1/schedules", options),
    delete: async (name: string, options?: CallOptions): Promise<void> => {
      await call("DELETE", path(name), options);
    },
    /** Fires it now, beside its times and whatever `overlap` says. Gives the id of the job or run. */
    run: async (name: string, options?: CallOptions) =>
      call("POST", `${path(name)}/run`, options) as Promise<{ readonly id: string }>,
    /** Fires no more until `resume`; what comes meanwhile is not caught up. */
    pause: async (name: string, options?: CallOptions) =>
      call("POST", `${path(name)}/pause`, { ...options, repeatable: true }) as Promise<Schedule>,
    resume: async (name: string, options?: CallOptions) =>
      call("POST", `${path(name)}/resume`, { ...options, repeatable: true }) as Promise<Schedule>,
  };
};
