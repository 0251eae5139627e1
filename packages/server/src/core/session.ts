/**
 * What a browser holds once somebody has logged in, and which of its requests may change something. A cookie is sent by
 * the browser whoever caused the request, so what changes something must also show that our own page did.
 */
import { createHash, randomBytes } from "node:crypto";
import { limits } from "./limits.js";

const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** The cookie where the browser has a secure way to us: by its prefix no other host, and no page without TLS, can set it. */
const SECURE = "__Host-rotor_session";
const PLAIN = "rotor_session";

/** The header that only our own page sends. */
export const PAGE_HEADER = "x-rotor-csrf";

/** 256 random bits; made at each login, so that nobody can give one to somebody else to log in under. */
export const newSessionToken = (): string => randomBytes(32).toString("base64url");

/** SHA-256 of it; the token is random, so a slow hash would add nothing. */
export const hashSessionToken = (token: string): Buffer => createHash("sha256").update(`session.${token}`).digest();

/** The token of a Cookie header; undefined where it holds none that could be ours. */
export function sessionTokenOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const cookies = new Map<string, string>();
  for (const part of header.slice(0, limits.cookieLength).split(";")) {
    const at = part.indexOf("=");
    const name = part.slice(0, at).trim();
    // Of two with one name browsers send the more specific first.
    if (at > 0 && !cookies.has(name)) cookies.set(name, part.slice(at + 1).trim());
  }
  const token = cookies.get(SECURE) ?? cookies.get(PLAIN);
  return token !== undefined && TOKEN.test(token) ? token : undefined;
}

/** The Set-Cookie header of a login. */
export const sessionCookie = (token: string, secure: boolean, maxAgeS: number): string =>
  `${secure ? SECURE : PLAIN}=${token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeS}${secure ? "; Secure" : ""}`;

/** The Set-Cookie headers that take either cookie away. */
export const noSessionCookies = (): string[] => [sessionCookie("", false, 0), sessionCookie("", true, 0)];

/** What of a request says where it comes from. */
export type Origins = {
  readonly origin: string | undefined;
  readonly secFetchSite: string | undefined;
  /** Our own header, which a form cannot send, and a page of another origin only after asking us. */
  readonly ownHeader: boolean;
  /** By which names we are reached: the request's own Host, and the public URL's. */
  readonly hosts: readonly string[];
};

/** Whether a request that a cookie vouches for is our own page's. `Sec-Fetch-Site` decides where the browser sends it. */
export function isOurPage({ origin, secFetchSite, ownHeader, hosts }: Origins): boolean {
  if (!ownHeader) return false;
  if (secFetchSite !== undefined) return secFetchSite === "same-origin";
  if (origin === undefined || !URL.canParse(origin)) return false;
  return hosts.includes(new URL(origin).host);
}
