/**
 * What happens on the server, as it happens: `/v1/stream` tells what was touched, that is out of date then, and what is in
 * view is asked for again. A hint, never a source: each open page also asks now and then by itself (`POLL_MS`).
 */
import type { InfiniteData, Query } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { queries } from "./client.js";

/** What the stream tells; `more`: so much that nothing is told by itself. */
type Touched = { readonly ids: readonly string[]; readonly more: boolean };

/** A list, or a count, is asked for at most this often. */
const LIST_MS = 2_000;
/** So it is while more happens than the stream tells by name: then a list is old at once, and the server has much to do. */
const BUSY_LIST_MS = 6_000;
/** A list that was read further than this is left alone: its reader would lose his place. */
const PAGES = 2;
/** Views that are open ask again after this long, in case the stream was silent: another node's feed is not ours. */
export const POLL_MS = 10_000;

const LISTS = ["runs", "jobs", "dead-letters", "events", "approvals", "queues", "functions", "schedules", "stats"];

let timer: ReturnType<typeof setTimeout> | undefined;
/** So much that whatever is in view may be among it. */
let isMuch = false;
/** When lists were asked for last, in milliseconds of `performance`. */
let listedAt = Number.NEGATIVE_INFINITY;

const pagesOf = (query: Query): number =>
  (query.state.data as Partial<InfiniteData<unknown>> | undefined)?.pages?.length ?? 1;

const isThing = ({ queryKey: [kind, id] }: Query): boolean => kind !== "find" && typeof id === "string";

const isList = ({ queryKey: [kind] }: Query): boolean => LISTS.includes(String(kind));

function flush(): void {
  timer = undefined;
  const much = isMuch;
  isMuch = false;
  const now = performance.now();
  const lists = !much || now - listedAt >= BUSY_LIST_MS;
  if (lists) listedAt = now;
  void queries.invalidateQueries({
    predicate: (query) => (isList(query) ? lists && pagesOf(query) <= PAGES : much && isThing(query)),
  });
  // They are not forgotten, should nothing more happen.
  if (!lists) timer = setTimeout(flush, LIST_MS);
}

function onTouched({ ids, more }: Touched): void {
  isMuch ||= more;
  const touched = new Set<unknown>(ids);
  void queries.invalidateQueries({ predicate: (query) => isThing(query) && touched.has(query.queryKey[1]) });
  timer ??= setTimeout(flush, LIST_MS);
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
  const source = new EventSource("/v1/stream?brief=true");
  source.addEventListener("touched", (message) => onTouched(JSON.parse(message.data) as Touched));
  source.onopen = () => {
    // What happened while nobody listened is lost: everything in view is asked for.
    if (connection === "lost") void queries.invalidateQueries();
    become("live");
  };
  source.onerror = () => become("lost");
  return () => {
    source.close();
    clearTimeout(timer);
    timer = undefined;
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
