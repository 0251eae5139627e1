/** Pages of lists. A cursor is the last item that was looked at: opaque to clients, and stable while items are added. */

import { isId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import type { Queryable } from "../store/db.js";
import { findJobs, type ListFilter } from "../store/job-lists.js";
import { type JobView, readJobs } from "../store/views.js";
import { invalid } from "./errors.js";

export type PageQuery = { readonly limit?: number; readonly cursor?: string };
export type Page<T> = { readonly data: T[]; readonly next_cursor: string | null };

export const DEFAULT_LIMIT = 50;

/** What the document says of pages that are bounded by what is looked at. */
export const SHORT_PAGE =
  "A page. With a filter it may have fewer items than asked for, even none, and still a cursor.";

/** Items that carry a payload come in pages of at most this many: a page of them must fit into memory many times. */
const LARGE_ITEMS = 100;

/** A page of what `read` lists in the order of `cursorOf`. */
export async function pageOf<Row, Item>(
  query: PageQuery,
  read: (after: string | undefined, limit: number) => Promise<readonly Row[]>,
  cursorOf: (row: Row) => string,
  view: (row: Row) => Item,
  maxLimit: number = limits.listPage,
): Promise<Page<Item>> {
  const limit = Math.min(query.limit ?? DEFAULT_LIMIT, maxLimit);
  const rows = await read(query.cursor, limit + 1);
  const shown = rows.slice(0, limit);
  return { data: shown.map(view), next_cursor: rows.length > limit ? cursorOf(shown.at(-1)!) : null };
}

/** The cursor of a list that is ordered by ids of ours. */
export function idCursor(cursor: string | undefined): string | undefined {
  if (cursor !== undefined && !isId(cursor))
    throw invalid("query.cursor", "it is not the next_cursor of a page of this list");
  return cursor;
}

export { LARGE_ITEMS };

/**
 * A page of jobs, the newest first. `keep` filters by what no column holds. Of a list that is filtered a page may have fewer
 * items than asked for, even none, and still a cursor: it looks for a while only.
 */
export async function pageOfJobs<Item>(
  db: Queryable,
  workspace: string,
  filter: ListFilter,
  query: PageQuery,
  view: (job: JobView) => Item,
  { keep, brief = false }: { readonly keep?: ((job: JobView) => boolean) | undefined; readonly brief?: boolean } = {},
): Promise<Page<Item>> {
  const limit = Math.min(query.limit ?? DEFAULT_LIMIT, LARGE_ITEMS);
  const data: Item[] = [];
  const until = performance.now() + limits.listMs;
  let before = idCursor(query.cursor);
  do {
    // What `keep` leaves out is looked at, too.
    const asked = { before, limit: keep === undefined ? limit - data.length : LARGE_ITEMS };
    const { ids, next } = await findJobs(db, workspace, filter, asked);
    const jobs = ids.length === 0 ? [] : await readJobs(db, workspace, ids, brief ? limits.briefBytes : null);
    for (const job of jobs) {
      if (keep !== undefined && !keep(job)) continue;
      data.push(view(job));
      if (data.length === limit) return { data, next_cursor: job.id === ids.at(-1) ? (next ?? null) : job.id };
    }
    before = next;
  } while (before !== undefined && performance.now() < until);
  return { data, next_cursor: before ?? null };
}
