/**
 * Logins over HTTP, for people in browsers: a key becomes a cookie that no script can read and no other site can use.
 * What a login may is its key's business, see `auth.ts`; decision 20.
 */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { attemptsOf } from "../core/attempts.js";
import { limits } from "../core/limits.js";
import { hashSessionToken, newSessionToken, noSessionCookies, sessionCookie, sessionTokenOf } from "../core/session.js";
import { audit } from "../store/audit.js";
import { insertSession, removeSession } from "../store/sessions.js";
import { allows, type Caller, SCOPES } from "./auth.js";
import { type Api, openEndpoint } from "./endpoint.js";
import { Refusal } from "./errors.js";
import { time } from "./schemas.js";

const login = z.strictObject({ key: z.string().min(1).max(200) }).openapi("Login");

const sessionJson = z
  .object({
    workspace: z.string(),
    scopes: z.array(z.enum(SCOPES)).openapi({ description: "All that the caller may; `admin` holds most others." }),
    actor: z.string().openapi({ description: "As the audit names the caller." }),
    name: z.string().nullable().openapi({ description: "Of the key." }),
    via: z
      .enum(["key", "session", "local"])
      .openapi({ description: "`local`: in development a request from this machine needs no key." }),
    expires_at: time.nullable(),
    environment: z.string(),
    version: z.string(),
    dev: z.boolean(),
    held: z.boolean(),
    public_url: z.string(),
  })
  .openapi("Session");

const tag = "session";
const path = "/v1/session";

/** Hangs the routes of logins. */
export function sessions(api: Api): void {
  const { engine, auth } = api;
  const { db } = engine;
  const tries = attemptsOf(limits.logins, limits.loginsRemembered);
  const triesOfAll = attemptsOf(limits.loginsOfAll, 1);

  const view = (caller: Caller): z.infer<typeof sessionJson> => ({
    workspace: caller.workspace,
    scopes: SCOPES.filter((scope) => allows(caller, scope)),
    actor: caller.actor,
    name: caller.name,
    via: caller.via,
    expires_at: caller.expiresAt?.toISOString() ?? null,
    environment: engine.config.environment,
    version: engine.config.version,
    dev: engine.config.dev,
    held: engine.isHeld(),
    public_url: engine.config.publicUrl,
  });

  /** Ends the login of the cookie that came along. */
  const leave = async (c: Context): Promise<void> => {
    const token = sessionTokenOf(c.req.header("cookie"));
    if (token !== undefined) await removeSession(db, hashSessionToken(token));
  };

  openEndpoint(
    api,
    { method: "get", path, summary: "Who asks, and what he may", tag, answers: { 200: ["The caller.", sessionJson] } },
    async ({ c }) => {
      const caller = await auth.identify(c);
      if (caller === undefined) throw new Refusal(401, "unauthorized", "Nobody is logged in here.");
      return c.json(view(caller));
    },
  );

  openEndpoint(
    api,
    {
      method: "post",
      path,
      summary: "Log in with a key, in a browser: what the key may, the cookie may, for 12 hours at most",
      tag,
      body: login,
      answers: { 201: ["Logged in.", sessionJson] },
    },
    async ({ c, body: { key } }) => {
      auth.checkOurPage(c);
      const address = addressOf(c);
      const waitMs = Math.max(tries.take(address, performance.now()), triesOfAll.take("all", performance.now()));
      if (waitMs > 0) {
        const seconds = Math.ceil(waitMs / 1_000);
        throw new Refusal(429, "too_many_requests", `Too many wrong keys were tried. Wait ${seconds} s.`, {
          headers: { "retry-after": String(seconds) },
        });
      }
      const caller = await auth.callerOfKey(key);
      const token = newSessionToken();
      const expiresAt = caller && (await insertSession(db, hashSessionToken(token), caller.keyId, limits.sessionMs));
      if (caller === undefined || expiresAt === undefined)
        throw new Refusal(401, "unauthorized", "This is not a valid API key: it is mistyped, revoked or expired.");
      tries.giveBack(address);
      triesOfAll.giveBack("all");
      await leave(c);
      const { workspace, actor } = caller;
      await audit(db, { workspace, actor, action: "session.create", subject: caller.keyId, details: {} });
      c.header("set-cookie", sessionCookie(token, isSecure(c, engine.config.publicUrl), limits.sessionMs / 1_000));
      return c.json(view({ ...caller, via: "session", expiresAt }), 201);
    },
  );

  openEndpoint(
    api,
    { method: "delete", path, summary: "Log out", tag, answers: { 204: ["Nobody is logged in any more."] } },
    async ({ c }) => {
      auth.checkOurPage(c);
      await leave(c);
      for (const cookie of noSessionCookies()) c.header("set-cookie", cookie, { append: true });
      return c.body(null, 204);
    },
  );
}

/** Who tries. What a proxy says of those behind it could be said by anybody, so they share its address. */
const addressOf = (c: Context): string =>
  (c.env as { incoming?: { socket?: { remoteAddress?: string } } } | undefined)?.incoming?.socket?.remoteAddress ?? "";

/** Whether the browser reached us by TLS: its page's own origin says so; else who stands in between, else the public URL. */
function isSecure(c: Context, publicUrl: string): boolean {
  const origin = c.req.header("origin");
  if (origin !== undefined) return origin.startsWith("https://");
  return (c.req.header("x-forwarded-proto") ?? publicUrl).startsWith("https");
}
