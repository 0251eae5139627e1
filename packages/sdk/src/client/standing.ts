/** How a workspace stands, and where a thing is of which only an id or a name is known. */

import type { App, Found, Stats, StatsWindow } from "../api-standing.js";
import type { Call, CallOptions } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

/** The call of `rotor.stats`: numbers, problems and a series for a chart. Shared by all who ask within some seconds. */
export const statsOf =
  (call: Call) =>
  async ({ window, ...options }: CallOptions & { readonly window?: StatsWindow } = {}): Promise<Stats> =>
    (await call("GET", "/v1/stats", { ...options, query: { window } })) as Stats;

/** The call of `rotor.find`: up to twenty things that have exactly this id, job id, event id or name. */
export const findOf =
  (call: Call) =>
  async (idOrName: string, options: CallOptions = {}): Promise<readonly Found[]> =>
    (await listingOf<Found>(call, "/v1/find", options, { q: idOrName }).page()).data;

/** The calls of `rotor.apps`. */
export const appsOf = (call: Call) => ({
  list: (options?: ListOptions) => listingOf<App>(call, "/v1/apps", options),
});
