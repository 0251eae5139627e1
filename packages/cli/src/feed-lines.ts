/** How one entry of the live feed is printed: one aligned line. Where entries come from is in `feed.ts`. */

import { type Colour, paint } from "./colours.js";
import { clean, cut } from "./output.js";

/** An entry as the server sends it. New kinds, and new details of known ones, may come with a newer server. */
export type FeedEntry = {
  /** `delivery`, `step`, `event`, `enqueued` or `changed`. */
  readonly type: string;
  /** ISO 8601. */
  readonly at: string;
  readonly [detail: string]: unknown;
};

export type FeedLineOptions = {
  /** Address of the server, for the link at the line's end. */
  readonly baseUrl: string;
  /** Default: no. */
  readonly isColoured?: boolean;
};

const textOf = (value: unknown): string =>
  typeof value === "string" || typeof value === "number" ? clean(String(value)) : "";

const countOf = (value: unknown): number => (Array.isArray(value) ? value.length : 0);

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** `12:01:02.345`, where the reader is. */
export function clock(at: string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "--:--:--.---";
  const two = (part: number): string => String(part).padStart(2, "0");
  const millis = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${millis}`;
}

/** Words for outcomes that a word of the store says too shortly. */
const OUTCOMES: Readonly<Record<string, string>> = {
  retry: "failed → retry",
  unreached: "not reached",
  yield: "goes on",
  stale: "too late",
};

const OUTCOME_COLOURS: Readonly<Record<string, Colour>> = {
  completed: "green",
  failed: "red",
  expired: "red",
  retry: "yellow",
  unreached: "yellow",
  held: "yellow",
};

const TYPE_WIDTH = 8;
const NAME_WIDTH = 20;
const ATTEMPT_WIDTH = 3;
const OUTCOME_WIDTH = 14;
const DETAIL_WIDTH = 14;
/** An error's text beside its numbers; all of it is behind the link. */
const ERROR_WIDTH = 100;

type Parts = {
  readonly name: string;
  readonly attempt: string;
  readonly outcome: string;
  readonly detail: string;
  readonly error: string;
  /** Path of the page of the dashboard that tells more. */
  readonly path: string | undefined;
};

const runPath = (id: unknown): string | undefined =>
  typeof id === "string" ? `/runs/${encodeURIComponent(id)}` : undefined;

const jobPath = (id: unknown): string | undefined =>
  typeof id === "string" ? `/jobs/${encodeURIComponent(id)}` : undefined;

const attemptOf = (entry: FeedEntry): string => (typeof entry.attempt === "number" ? `#${entry.attempt}` : "");

function deliveryParts(entry: FeedEntry): Parts {
  const duration = typeof entry.duration_ms === "number" ? `${entry.duration_ms} ms` : "";
  return {
    name: textOf(entry.queue),
    attempt: attemptOf(entry),
    outcome: textOf(entry.outcome),
    detail: [textOf(entry.status).padEnd(3), duration].join("  "),
    error: textOf(entry.error),
    path: entry.kind === "function" ? runPath(entry.job) : jobPath(entry.job),
  };
}

function stepParts(entry: FeedEntry): Parts {
  const waitsFor = entry.kind === "run" ? "" : ` (${textOf(entry.kind)})`;
  return {
    name: textOf(entry.function),
    attempt: attemptOf(entry),
    outcome: textOf(entry.state),
    detail: `${textOf(entry.key)}${waitsFor}`,
    error: textOf(entry.error),
    path: runPath(entry.job),
  };
}

function eventParts(entry: FeedEntry): Parts {
  const runs = countOf(entry.runs);
  const waits = countOf(entry.resumed);
  const cancelled = countOf(entry.cancelled);
  const effects = [
    ...(runs > 0 ? [`${plural(runs, "run")} started`] : []),
    ...(waits > 0 ? [`${plural(waits, "wait")} ended`] : []),
    ...(cancelled > 0 ? [`${plural(cancelled, "run")} cancelled`] : []),
    ...(entry.due_at === undefined ? [] : [`due ${textOf(entry.due_at)}`]),
  ].join(", ");
  return {
    name: textOf(entry.event),
    attempt: "",
    outcome: entry.duplicate === true ? "duplicate" : "received",
    detail: effects === "" && entry.duplicate !== true ? "no effect yet" : effects,
    error: "",
    path: typeof entry.id === "string" ? `/events/${encodeURIComponent(entry.id)}` : undefined,
  };
}

/** What somebody did by a call: `run.cancel` and whatever it was done to. */
const changedParts = (entry: FeedEntry): Parts => ({
  name: textOf(entry.action),
  attempt: "",
  outcome: "",
  detail: textOf(entry.id),
  error: "",
  path: undefined,
});

function otherParts(entry: FeedEntry): Parts {
  const id = entry.job ?? entry.id;
  return {
    name: textOf(entry.queue ?? entry.function),
    attempt: attemptOf(entry),
    outcome: textOf(entry.state),
    detail: "",
    error: "",
    path: entry.function !== undefined || entry.kind === "function" ? runPath(id) : jobPath(id),
  };
}

function partsOf(entry: FeedEntry): Parts {
  if (entry.type === "delivery") return deliveryParts(entry);
  if (entry.type === "step") return stepParts(entry);
  if (entry.type === "event") return eventParts(entry);
  if (entry.type === "changed") return changedParts(entry);
  return otherParts(entry);
}

/** `12:01:02.345  delivery  enrichment  #2  failed → retry  503  12 ms  http://…`: one entry, one line, safe to print. */
export function feedLine(entry: FeedEntry, { baseUrl, isColoured = false }: FeedLineOptions): string {
  const { name, attempt, outcome, detail, error, path } = partsOf(entry);
  const colour = (name: Colour | undefined, text: string) => paint(isColoured ? name : undefined, text);
  return [
    colour("dim", clock(entry.at)),
    textOf(entry.type).padEnd(TYPE_WIDTH),
    name.padEnd(NAME_WIDTH),
    attempt.padEnd(ATTEMPT_WIDTH),
    colour(OUTCOME_COLOURS[outcome], (OUTCOMES[outcome] ?? outcome).padEnd(OUTCOME_WIDTH)),
    detail.padEnd(DETAIL_WIDTH),
    ...(error === "" ? [] : [cut(error, ERROR_WIDTH)]),
    ...(path === undefined ? [] : [colour("dim", `${baseUrl}${path}`)]),
  ]
    .join("  ")
    .trimEnd();
}
