/** A list of the API as a page shows it: as many of its pages as were scrolled to, kept up to date while they are few. */
import type { Listing } from "@rotorsh/sdk";
import { type QueryKey, useInfiniteQuery } from "@tanstack/react-query";
import { POLL_MS } from "./live.js";

export type Rows<Row> = {
  readonly rows: readonly Row[];
  readonly isLoading: boolean;
  /** Asks for more; undefined at the end. */
  readonly onEnd: (() => void) | undefined;
  readonly error: Error | null;
  readonly refetch: () => void;
};

/** A list that was read further than this is not asked for again by itself: its reader would lose his place. */
const PAGES = 2;

export function useListing<Row>(key: QueryKey, listing: (signal: AbortSignal) => Listing<Row>): Rows<Row> {
  const list = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam, signal }) => listing(signal).page(pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.nextCursor ?? undefined,
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 1) > PAGES ? false : POLL_MS),
    placeholderData: (before) => before,
  });
  const rows = list.data?.pages.flatMap((page) => page.data) ?? [];
  return {
    rows,
    // A page of a list that is searched through may be empty, and yet not be the last.
    isLoading: list.isPending || list.isFetchingNextPage || (rows.length === 0 && list.hasNextPage),
    onEnd: list.hasNextPage ? () => void list.fetchNextPage() : undefined,
    error: list.error,
    refetch: () => void list.refetch(),
  };
}
