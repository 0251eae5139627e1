/**
 * What happens on the server, as it happens: entries of `/v1/stream` mark what they touch as out of date, and what is in
 * view is asked for again. A hint, never a source: each open page also asks now and then by itself (`POLL_MS`).
 */
import type { InfiniteData, Query } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { queries } from "./client.js";

/** An entry of the feed, as far as the page needs it. */
type Entry = {
  readonly type: string;
  readonly job?: string;
  readonly id?: string;
  readonly runs?: readonly string[];
  readonly resumed?: readonly string[];
  readonly cancelled?: readonly string[];
};

/** One thing in view is asked for at most this often, whatever happens. */
const THING_MS = 250;
/** A list, or a count, is. */
const LIST_MS = 2_000;
/** A list that was read further than this is left alone: its reader would lose his place. */
const PAGES = 2;
/** Views that are open ask again after this long, in case the stream was silent: another node's feed is not ours. */
export const POLL_MS = 10_000;

const LISTS = ["runs", "jobs", "dead-letters", "events", "approvals", "queues", "functions", "schedules", "stats"];

let touched = new Set<string>();
let thingsTimer: ReturnType<typeof setTimeout> | undefined;
let listsTimer: ReturnType<typeof setTimeout> | undefined;

const pagesOf = (query: Query): number =>
  (query.state.data as Partial<InfiniteData<unknown>> | undefined)?.pages?.length ?? 1;

function flushThings(): void {
  thingsTimer = undefined;
  const ids = touched;
  touched = new Set();
  void queries.invalidateQueries({
    predicate: ({ queryKey: [kind, id] }) => kind !== "find" && typeof id === "string" && ids.has(id),
  });
}

function flushLists(): void {
  listsTimer = undefined;
  void queries.invalidateQueries({
    predicate: (query) => LISTS.includes(String(query.queryKey[0])) && pagesOf(query) <= PAGES,
  });
}

function onEntry(entry: Entry): void {
  const ids = [entry.job, entry.id, ...(entry.runs ?? []), ...(entry.resumed ?? []), ...(entry.cancelled ?? [])];
  for (const id of ids) if (typeof id === "string") touched.add(id);
  // Bounded even while nobody looks: what is not in view is only marked.
  if (touched.size > 5_000) touched = new Set();
  thingsTimer ??= setTimeout(flushThings, THING_MS);
  listsTimer ??= setTimeout(flushLists, LIST_MS);
}

export type Connection = "connecting" | "live" | "lost";

let connection: Connection = "connecting";
const watchers = new Set<() => void>();
function become(next: Connection): void {
  if (next === connection) return;
  connection = next;
  for (const tell of watchers) tell();
}

/** Follows the stream until the answered function is called. The browser comes back by itself after a cut. */
export function follow(): () => void {
  const source = new EventSource("/v1/stream");
  const read = (message: MessageEvent<string>) => onEntry(JSON.parse(message.data) as Entry);
  for (const type of ["delivery", "step", "event", "enqueued", "changed", "begun"]) source.addEventListener(type, read);
  source.onopen = () => {
    // What happened while nobody listened is lost: everything in view is asked for.
    if (connection === "lost") void queries.invalidateQueries();
    become("live");
  };
  source.onerror = () => become("lost");
  return () => {
    source.close();
    clearTimeout(thingsTimer);
    clearTimeout(listsTimer);
    thingsTimer = undefined;
    listsTimer = undefined;
    become("connecting");
  };
}

export const useConnection = (): Connection =>
  useSyncExternalStore(
    (tell) => {
      watchers.add(tell);
      return () => watchers.delete(tell);
    },
    () => connection,
  );
