/** Who looks at the page, and what he may: read once, kept for all pages. The cookie itself is not to be seen from here. */
import { RotorApiError } from "@rotorsh/sdk";
import { queryOptions, useSuspenseQuery } from "@tanstack/react-query";

export type Scope = "read" | "write" | "approve" | "admin" | "workspaces";

export type Session = {
  readonly workspace: string;
  /** What the key allows, spelt out: with `admin` come `read`, `write` and `approve`. */
  readonly scopes: readonly Scope[];
  /** The key's name; null for whoever sits at the machine of `rotor dev`. */
  readonly name: string | null;
  /** `local`: `rotor dev` knows its own machine, so there is nothing to log out of. */
  readonly via: "session" | "key" | "local";
  readonly environment: string;
  readonly version: string;
  /** The server runs as `rotor dev`. */
  readonly dev: boolean;
  /** Nothing is delivered: the database belongs to another environment. */
  readonly held: boolean;
  readonly public_url: string;
};

/** Said with every call: a page of another site cannot. */
const CSRF = { "x-rotor-csrf": "1" } as const;

/** `fetch` as this page uses it: with its cookie, and the header that only this page can send. */
export const pageFetch: typeof fetch = (url, init) =>
  fetch(url, {
    ...init,
    headers: { ...(init?.headers as Record<string, string>), ...CSRF },
    credentials: "same-origin",
  });

async function answerOf(response: Response): Promise<Session> {
  const body = (await response.json().catch(() => null)) as
    | (Session & {
        error?: { message: string; code: string; details?: unknown };
      })
    | null;
  if (response.ok && body !== null) return body;
  const {
    message = `The server answered ${response.status}.`,
    code = `http_${response.status}`,
    details,
  } = body?.error ?? {};
  throw new RotorApiError(message, { status: response.status, code, details });
}

const PATH = "/v1/session";

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: async ({ signal }) => answerOf(await pageFetch(PATH, { signal })),
  staleTime: 5 * 60_000,
  retry: false,
});

/** @throws RotorApiError 401 for a wrong key, 429 after too many of them. */
export const logIn = async (key: string): Promise<Session> =>
  answerOf(
    await pageFetch(PATH, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ key }),
    }),
  );

export async function logOut(): Promise<void> {
  await pageFetch(PATH, { method: "DELETE" });
}

export const useSession = (): Session => useSuspenseQuery(sessionQuery).data;

/** Whether the reader may: what he may not is not offered. */
export const useMay = (scope: Scope): boolean => useSession().scopes.includes(scope);
