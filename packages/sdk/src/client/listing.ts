/** Lists, page by page or item by item. */

import type { Call, CallOptions, Query } from "./call.js";
import { toCamelCase } from "./case.js";

export type Page<T> = {
  readonly data: readonly T[];
  /** Give it as `cursor` to get what follows; null at the end. */
  readonly nextCursor: string | null;
};

export type ListOptions = CallOptions & {
  /** Items a page. */
  readonly limit?: number;
  /** Where to begin: the `nextCursor` of a page. */
  readonly cursor?: string;
};

/** `for await (const item of list)` goes through all pages, asking for each when it is needed; `page()` gets one. */
export type Listing<T> = AsyncIterable<T> & {
  /** The page at `cursor`, by default the one where the listing begins. */
  readonly page: (cursor?: string) => Promise<Page<T>>;
};

/** The listing of a route that answers `{ data, next_cursor }`. */
export function listingOf<T>(call: Call, path: string, options: ListOptions = {}, filter: Query = {}): Listing<T> {
  const page = async (cursor: string | undefined = options.cursor): Promise<Page<T>> => {
    const query = { ...filter, limit: options.limit, cursor };
    const answer = (await call("GET", path, { query, signal: options.signal })) as {
      data: unknown;
      nextCursor?: string | null;
    };
    // Under the name `data` stands user data elsewhere, so it was passed on untouched.
    return { data: toCamelCase(answer.data) as T[], nextCursor: answer.nextCursor ?? null };
  };
  return {
    page,
    async *[Symbol.asyncIterator]() {
      let cursor = options.cursor;
      do {
        const { data, nextCursor } = await page(cursor);
        yield* data;
        cursor = nextCursor ?? undefined;
      } while (cursor !== undefined);
    },
  };
}
