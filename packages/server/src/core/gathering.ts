/** Which events become one run: the rule of `debounce` and of `batch`, for one event and what has been gathered. Pure. */

export type GatherRule =
  | { readonly kind: "debounce"; readonly periodMs: number; readonly maxWaitMs: number | undefined }
  | { readonly kind: "batch"; readonly size: number; readonly timeoutMs: number; readonly maxBytes: number };

/** What has been gathered for a run that has not begun. */
export type Gathered = { readonly events: number; readonly bytes: number; readonly ageMs: number };

/**
 * What becomes of an event. `joins`: it goes to the run that is gathering; else a new one is opened with it, and the old
 * one, if there is one, is `closed`: it begins now, without this event. `dueInMs` is of the run that the event is in;
 * `full`: that one takes no more.
 */
export type Gathering = {
  readonly joins: boolean;
  readonly closed: boolean;
  readonly full: boolean;
  /** Undefined: the run stays due when it was. */
  readonly dueInMs: number | undefined;
};

export function gather(rule: GatherRule, open: Gathered | undefined, bytes: number): Gathering {
  if (rule.kind === "debounce") {
    const left = open === undefined || rule.maxWaitMs === undefined ? Infinity : rule.maxWaitMs - open.ageMs;
    return {
      joins: open !== undefined,
      closed: false,
      full: false,
      dueInMs: Math.max(0, Math.min(rule.periodMs, left)),
    };
  }
  const joins = open !== undefined && open.bytes + bytes <= rule.maxBytes;
  const full = (joins ? open.events : 0) + 1 >= rule.size;
  return {
    joins,
    closed: open !== undefined && !joins,
    full,
    dueInMs: full ? 0 : joins ? undefined : rule.timeoutMs,
  };
}

/** In a delivery the first event stands twice: alone, and among all. */
export const bytesGathered = (open: Gathered | undefined, bytes: number): number =>
  open === undefined ? 2 * bytes : open.bytes + bytes;
