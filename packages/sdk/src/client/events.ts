/** Events: sent and looked at. */

import type { Event, Sent } from "../api.js";
import { nextIdInStep } from "../context.js";
import type { EventToSend } from "../events.js";
import { uuidv7 } from "../ids.js";
import { instant } from "./bulk.js";
import { type Call, type CallOptions, segment } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

/** An event to send. `data` may be left out, and is null then. */
export type SendableEvent = Omit<EventToSend, "data"> & {
  readonly data?: unknown;
};

/** The call of `rotor.send`. */
export type SendEvents = {
  /**
   * Publishes an event, or with a later `ts` stores it to be published then. Once it resolves the event is durable, and so
   * are the runs that it started and the waits that it ended. Inside `step.run`, a repeat of the step publishes nothing new.
   */
  (event: SendableEvent, options?: CallOptions): Promise<Sent>;
  /** Publishes several; what became of each, in their order. */
  (events: readonly SendableEvent[], options?: CallOptions): Promise<Sent[]>;
};

// Taken when the call is made, before anything is awaited: so the order of calls gives the ids.
const withId = ({ id, data, ...rest }: SendableEvent) => ({
  id: id ?? nextIdInStep() ?? uuidv7(),
  data: data === undefined ? null : data,
  ...rest,
});

export function sendOf(call: Call): SendEvents {
  const sendAll = async (events: readonly SendableEvent[], options: CallOptions = {}): Promise<Sent[]> => {
    if (events.length === 0) return [];
    const body = events.map(withId);
    const answer = await call("POST", "/v1/events", { ...options, body, repeatable: true });
    return (answer as { events: Sent[] }).events;
  };
  async function sendEvents(events: SendableEvent, options?: CallOptions): Promise<Sent>;
  async function sendEvents(events: readonly SendableEvent[], options?: CallOptions): Promise<Sent[]>;
  async function sendEvents(
    events: SendableEvent | readonly SendableEvent[],
    options?: CallOptions,
  ): Promise<Sent | Sent[]> {
    if ("name" in events) return (await sendAll([events], options))[0]!;
    return sendAll(events, options);
  }
  return sendEvents;
}

export type EventFilter = ListOptions & {
  readonly name?: string;
  readonly tag?: string;
  /** Received at or after this time. */
  readonly after?: Date | string;
  /** Received before this time. */
  readonly before?: Date | string;
};

/** The calls of `rotor.events`. All throw `RotorApiError`, or `RotorConnectionError` when no answer came. */
export const eventsOf = (call: Call) => ({
  list: ({ name, tag, after, before, ...options }: EventFilter = {}) =>
    listingOf<Event>(call, "/v1/events", options, { name, tag, after: instant(after), before: instant(before) }),
  /** The event, with the runs that it started, resumed and cancelled. */
  get: async (id: string, options?: CallOptions) => call("GET", `/v1/events/${segment(id)}`, options) as Promise<Event>,
});
