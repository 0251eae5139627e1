/**
 * Who may call: API keys and their scopes, and people who logged in with one. The workspace of a request is that of its
 * key; no header, path or body can name another. Capabilities of single jobs are in `core/token.ts`.
 */
import type { Context } from "hono";
import { hashApiKey, newApiKey, workspaceOfKey } from "../core/api-key.js";
import { newId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { hashSessionToken, isOurPage, PAGE_HEADER, sessionTokenOf } from "../core/session.js";
import type { Queryable } from "../store/db.js";
import { findSession } from "../store/sessions.js";
import { type ApiKey, findApiKey, insertApiKey, type NewApiKey, type Scope } from "../store/workspaces.js";
import type { Engine } from "./engine.js";
import { Refusal } from "./errors.js";
import { headerOf } from "./request-headers.js";

/** Who calls, and what he may. */
export type Caller = {
  readonly workspace: string;
  readonly scopes: ReadonlySet<Scope>;
  /** Who it is in the audit: `key:<id> <name>`, or `local`. */
  readonly actor: string;
  /** How we know: a key in its header, a login with one, or that it is on this machine in development. */
  readonly via: "key" | "session" | "local";
  /** Of the key; null without one. */
  readonly name: string | null;
  /** When the key, or the login, ends by itself. */
  readonly expiresAt: Date | null;
};

/** The caller of a key. */
export const callerOf = (key: ApiKey, via: "key" | "session", expiresAt: Date | null): Caller => ({
  workspace: key.workspace,
  scopes: new Set(key.scopes),
  actor: `key:${key.id} ${key.name}`,
  via,
  name: key.name,
  expiresAt,
});

export const SCOPES = ["read", "write", "approve", "admin", "workspaces"] as const satisfies readonly Scope[];

/** A new key: its text, which is shown once, and the row that is kept of it. */
export function makeApiKey(
  workspace: string,
  name: string,
  scopes: readonly Scope[],
  expiresAt: Date | null = null,
): { key: string; row: NewApiKey } {
  const key = newApiKey(workspace);
  return { key, row: { id: newId(), workspace, name, hash: hashApiKey(key), scopes, expiresAt } };
}

/** Makes a key and stores its hash. `key` is not to be had again. */
export async function createApiKey(
  db: Queryable,
  workspace: string,
  name: string,
  scopes: readonly Scope[],
  expiresAt: Date | null = null,
): Promise<{ key: string; row: ApiKey }> {
  const { key, row } = makeApiKey(workspace, name, scopes, expiresAt);
  return { key, row: await insertApiKey(db, row) };
}

/** Whether a caller may. `admin` may all within its workspace; what other workspaces there are is not within it. */
export const allows = (caller: Pick<Caller, "scopes">, scope: Scope): boolean =>
  caller.scopes.has(scope) || (scope !== "workspaces" && caller.scopes.has("admin"));

const TRUSTED_KEYS = 1_000;

export type Authenticator = {
  /** @throws Refusal 401 without a good key, 403 without the scope. */
  authenticate(c: Context, scope: Scope): Promise<Caller>;
  /** The caller of a good key or login; undefined without an Authorization header and without a login that is good. */
  identify(c: Context): Promise<Caller | undefined>;
  /** The caller of a key that was typed in; undefined where it is none that is good. */
  callerOfKey(key: string): Promise<(Caller & { readonly keyId: string }) | undefined>;
  /** @throws Refusal 403 for a request that a browser may have been made to send by somebody else's page. */
  checkOurPage(c: Context): void;
  /** Trusts no key without asking again. */
  forget(): void;
};

export function authenticator(engine: Engine): Authenticator {
  const trusted = new Map<string, { readonly caller: Caller; readonly until: number }>();

  const lookUp = async (key: string): Promise<Caller | undefined> => {
    const hash = hashApiKey(key);
    const id = hash.toString("base64");
    const known = trusted.get(id);
    if (known !== undefined && known.until > performance.now()) return known.caller;
    trusted.delete(id);
    const row = await findApiKey(engine.db, hash);
    if (row === undefined) return undefined;
    const caller = callerOf(row, "key", row.expiresAt);
    if (trusted.size >= TRUSTED_KEYS) trusted.delete(trusted.keys().next().value!);
    // A key that is about to expire must not be trusted for longer.
    if (row.expiresAt === null) trusted.set(id, { caller, until: performance.now() + limits.keyTrustedMs });
    return caller;
  };

  /** Who logged in. Asked each time: what ends a login, or its key, ends it at once. */
  const loggedIn = async (c: Context): Promise<Caller | undefined> => {
    const token = sessionTokenOf(c.req.header("cookie"));
    const session = token === undefined ? undefined : await findSession(engine.db, hashSessionToken(token));
    if (session === undefined) return undefined;
    if (c.req.method !== "GET" && c.req.method !== "HEAD") checkOurPage(c);
    return callerOf(session.key, "session", session.expiresAt);
  };

  const publicHost = new URL(engine.config.publicUrl).host;
  const checkOurPage = (c: Context): void => {
    const ours = isOurPage({
      origin: c.req.header("origin"),
      secFetchSite: c.req.header("sec-fetch-site"),
      ownHeader: c.req.header(PAGE_HEADER) !== undefined,
      hosts: [c.req.header("host") ?? new URL(c.req.url).host, publicHost],
    });
    if (ours) return;
    throw new Refusal(
      403,
      "csrf",
      "A request that changes something under a login must come from this server's own page, with the header x-rotor-csrf: 1. Programs use a key: Authorization: Bearer rt_ws_<workspace>_<secret>.",
    );
  };

  const identify = async (c: Context): Promise<Caller | undefined> => {
    const header = headerOf(c, "authorization");
    if (header === undefined) return (await loggedIn(c)) ?? (engine.config.dev && isLocal(c) ? LOCAL : undefined);
    // Two headers arrive joined by a comma, which no key holds.
    const key = /^Bearer +(\S+)$/i.exec(header)?.[1];
    const caller = key !== undefined && workspaceOfKey(key) !== undefined ? await lookUp(key) : undefined;
    if (caller === undefined) {
      throw unauthorized(
        "This is not a valid API key: it is mistyped, revoked or expired. One header is needed: Authorization: Bearer rt_ws_<workspace>_<secret>.",
      );
    }
    return caller;
  };

  return {
    identify,
    checkOurPage,
    async callerOfKey(key) {
      // A row, not what is trusted: whoever logs in stays for hours.
      const row = workspaceOfKey(key) === undefined ? undefined : await findApiKey(engine.db, hashApiKey(key));
      return row && { ...callerOf(row, "key", row.expiresAt), keyId: row.id };
    },
    async authenticate(c, scope) {
      const caller = await identify(c);
      if (caller === undefined)
        throw unauthorized(
          "An API key is needed: Authorization: Bearer rt_ws_<workspace>_<secret>. `rotor keys create` makes one.",
        );
      if (!allows(caller, scope)) {
        throw new Refusal(
          403,
          "forbidden",
          `This key lacks the scope "${scope}"; it has ${[...caller.scopes].join(", ") || "none"}.`,
          { details: { scope } },
        );
      }
      return caller;
    },
    forget: () => trusted.clear(),
  };
}

const unauthorized = (message: string): Refusal =>
  new Refusal(401, "unauthorized", message, { headers: { "www-authenticate": "Bearer" } });

const LOCAL: Caller = {
  workspace: "default",
  scopes: new Set(SCOPES),
  actor: "local",
  via: "local",
  name: null,
  expiresAt: null,
};

const LOOPBACK_HOST = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?$/i;
const LOOPBACK_ADDRESS = /^(?:127\.|::1$|::ffff:127\.)/;

/**
 * Whether a request comes from a program, or our own page, on this machine. A page of another site cannot say so: its
 * requests bear its origin, and a name of its own that it points to 127.0.0.1 stands in Host.
 */
function isLocal(c: Context): boolean {
  const host = c.req.header("host") ?? new URL(c.req.url).host;
  if (!LOOPBACK_HOST.test(host)) return false;
  const origin = c.req.header("origin");
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) return false;
  // Anybody can write any Host: where the socket is known, it decides. A proxy on this machine says for whom it speaks.
  const socket = (c.env as { incoming?: { socket?: { remoteAddress?: string } } } | undefined)?.incoming?.socket;
  if (socket !== undefined && !LOOPBACK_ADDRESS.test(socket.remoteAddress ?? "")) return false;
  return c.req.header("x-forwarded-for") === undefined && c.req.header("forwarded") === undefined;
}
