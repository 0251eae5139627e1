/** The API as the page sees it: the SDK's client, under the page's cookie; and the cache of what it answered. */
import { Rotor, RotorApiError } from "@rotorsh/sdk";
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { pageFetch, sessionQuery } from "./session.js";

export const rotor = new Rotor({ baseUrl: window.location.origin, fetch: pageFetch });

const isLoggedOut = (error: unknown): boolean => error instanceof RotorApiError && error.status === 401;

/** A session that has ended is noticed by whichever call comes first: the shell then asks for a key. */
function onError(error: unknown): void {
  if (isLoggedOut(error)) void queries.resetQueries({ queryKey: sessionQuery.queryKey });
}

export const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, query) => {
      if (query.queryKey[0] !== "session") onError(error);
    },
  }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: {
    queries: {
      // What changes is told by the stream; a view that comes back shows what it had, and asks again.
      staleTime: 2_000,
      gcTime: 5 * 60_000,
      refetchOnWindowFocus: true,
      // A refusal stays one. The SDK's client has tried lost connections three times already.
      retry: false,
    },
  },
});
