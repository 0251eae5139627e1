/** The API as the page sees it: the SDK's client, under the page's cookie; and the cache of what it answered. */
import { Rotor, RotorApiError } from "@rotorsh/sdk";
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { pageFetch } from "./session.js";

export const rotor = new Rotor({ baseUrl: window.location.origin, fetch: pageFetch });

let askForKey: () => void = () => undefined;

/** Says what is to be done when the session has ended, which whichever call comes first notices. */
export function whenLoggedOut(then: () => void): void {
  askForKey = then;
}

function onError(error: unknown): void {
  if (error instanceof RotorApiError && error.status === 401) askForKey();
}

export const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, { queryKey, state }) => {
      // Who was never logged in is sent to the login by the router.
      if (queryKey[0] !== "session" || state.data !== undefined) onError(error);
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
