/**
 * What is to be known of a start before anything is locked or written: the job that it would enqueue, the values of its
 * function's options for its event, and the names to lock for them. Reads and writes nothing.
 */
import type { StartOptions } from "@rotorsh/sdk/protocol";
import type { GatherRule } from "../core/gathering.js";
import { limits } from "../core/limits.js";
import type { MatchedEvent } from "../core/match.js";
import { isPlain, type StartValues, startValues } from "../core/start-values.js";
import type { NewJob } from "./enqueue.js";
import { eventName, type NameLock, startName } from "./names.js";

/** A function as its starts need it. */
export type Startable = {
  readonly queueId: number;
  readonly workspace: string;
  readonly starting: StartOptions;
};

/** A run to be. Its job's body is the event that starts it; without `to` it is a callback job, and simply enqueued. */
export type Start = {
  readonly to?: Startable;
  readonly job: NewJob;
  /** By an event: only events are gathered. */
  readonly byEvent?: boolean;
};

/** A start with its values. Plain is one that has none: it costs what an enqueue does. */
export type Plan = Start & {
  readonly special?: {
    readonly to: Startable;
    readonly event: MatchedEvent;
    readonly singleton: StartValues["singleton"];
    readonly gathering: { readonly value: string; readonly rule: GatherRule } | undefined;
  };
};

/** Prefix of a job's key that stands for a value of its function's `idempotency_key`. */
export const ONCE = "rotor:once:";

/** What became of a start. `gathered`: its event is in a run that has not begun, and had been there. */
export type Started =
  | {
      readonly kind: "started" | "gathered";
      readonly id: string;
      readonly duplicate: boolean;
      readonly state: string;
      /** It has to wait for a rate limit that opens by time. */
      readonly blocked: boolean;
    }
  /** The function's singleton lets one run be unfinished: this one. */
  | { readonly kind: "skipped"; readonly by: string };

/** Evaluates what a function's options say of this start. */
export function planStart(start: Start): Plan {
  const { to, job } = start;
  if (to === undefined || isPlain(to.starting)) return start;
  const event = JSON.parse(job.body.toString()) as MatchedEvent;
  const { starting } = to;
  const values = startValues(starting, event);
  const gathering = start.byEvent && values.gathering !== undefined ? ruleOf(starting) : undefined;
  const planned: NewJob = {
    ...job,
    // In place of an id that was given: clients make one for each request, so that it can be repeated.
    key: values.once === undefined ? job.key : `${ONCE}${values.once}`,
    priority: values.priority ?? job.priority,
    ...(values.keys.length > 0 && { functionKeys: values.keys }),
    ...(starting.timeout_ms !== undefined && { deadlineMs: starting.timeout_ms }),
  };
  const looks = values.singleton !== undefined || gathering !== undefined || starting.cancel_on !== undefined;
  if (!looks) return { ...start, job: planned };
  return {
    ...start,
    job: planned,
    special: {
      to,
      event,
      singleton: values.singleton,
      gathering: gathering && { value: values.gathering!, rule: gathering },
    },
  };
}

function ruleOf({ batch, debounce }: StartOptions): GatherRule | undefined {
  if (batch !== undefined)
    return { kind: "batch", size: batch.size, timeoutMs: batch.timeout_ms, maxBytes: limits.gatheredBytes };
  return debounce && { kind: "debounce", periodMs: debounce.period_ms, maxWaitMs: debounce.max_wait_ms };
}

/** The names that must be locked before it is looked what there is: with all others, sorted, first in a transaction. */
export const locksOf = (schema: string, plans: readonly Plan[]): NameLock[] =>
  plans.flatMap(({ job, special }): NameLock[] => {
    if (special === undefined) return [];
    const { to, singleton, gathering } = special;
    const alone = (what: string, value: string): NameLock => ({
      name: startName(schema, to.queueId, what, value),
      exclusive: true,
    });
    return [
      ...(singleton === undefined ? [] : [alone("singleton", singleton.value)]),
      // A second start under its key must not end what the first one found.
      ...(singleton === undefined || job.key === null ? [] : [alone("key", job.key)]),
      ...(gathering === undefined ? [] : [alone("gathering", gathering.value)]),
      ...(to.starting.cancel_on ?? []).map(({ event }) => ({
        name: eventName(schema, to.workspace, event),
        exclusive: false,
      })),
    ];
  });
