/** Pages of lists. A cursor is the last item that was looked at: opaque to clients, and stable while items are added. */

import { isId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import type { Queryable } from "../store/db.js";
import { type JobFilter, type JobView, listJobs } from "../store/views.js";
import { invalid } from "./errors.js";

export type PageQuery = { readonly limit?: number; readonly cursor?: string };
export type Page<T> = { readonly data: T[]; readonly next_cursor: string | null };

const DEFAULT_LIMIT = 50;

/** Items that carry a payload come in pages of at most this many: a page of them must fit into memory many times. */
const LARGE_ITEMS = 100;

/** Rows that one request looks at, where what it filters by is not stored. */
const LOOK = 1_000;

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
 * A page of jobs, the newest first. `keep` filters by what no column holds; then a page may have fewer items than asked
 * for, even none, and still a cursor.
 */
export async function pageOfJobs<Item>(
  db: Queryable,
  workspace: string,
  filter: JobFilter,
  query: PageQuery,
  view: (job: JobView) => Item,
  keep?: (job: JobView) => boolean,
): Promise<Page<Item>> {
  const limit = Math.min(query.limit ?? DEFAULT_LIMIT, LARGE_ITEMS);
  const read = (before: string | undefined, count: number) => listJobs(db, workspace, { ...filter, before }, count);
  if (keep === undefined)
    return pageOf({ ...query, cursor: idCursor(query.cursor) }, read, (job) => job.id, view, LARGE_ITEMS);
  const data: Item[] = [];
  let before = idCursor(query.cursor);
  for (let looked = 0; looked < LOOK; ) {
    const rows = await read(before, LARGE_ITEMS);
    for (const job of rows) {
      before = job.id;
      if (!keep(job)) continue;
      data.push(view(job));
      if (data.length === limit) return { data, next_cursor: before };
    }
    if (rows.length < LARGE_ITEMS) return { data, next_cursor: null };
    looked += rows.length;
  }
  return { data, next_cursor: before ?? null };
}
