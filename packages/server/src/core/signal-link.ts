/**
 * Links that complete a signal: all that is in them is signed, none of it is stored. Opaque to whoever has one; who has
 * one may complete this one signal until it expires, and nothing else.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

export type SignalLink = {
  readonly workspace: string;
  readonly signal: string;
  /** JSON text that the signal is given. */
  readonly data: string;
  /** By the database's clock, Unix milliseconds. */
  readonly madeAtMs: number;
  readonly expiresAtMs: number;
};

const sign = (secret: string, body: string): Buffer => createHmac("sha256", secret).update(`signal.${body}`).digest();

export function makeSignalLink(secret: string, link: SignalLink): string {
  const { workspace, signal, data, madeAtMs, expiresAtMs } = link;
  const body = Buffer.from(JSON.stringify([workspace, signal, data, madeAtMs, expiresAtMs])).toString("base64url");
  return `${body}.${sign(secret, body).toString("base64url")}`;
}

const TOKEN = /^([A-Za-z0-9_-]{1,4000})\.([A-Za-z0-9_-]{43})$/;

/** What the link allows; undefined if it is not one of ours. Whether it has expired is for who knows the time. */
export function readSignalLink(secret: string, token: string): SignalLink | undefined {
  const [, body, given] = TOKEN.exec(token) ?? [];
  if (body === undefined || given === undefined) return undefined;
  const bytes = Buffer.from(given, "base64url");
  const wanted = sign(secret, body);
  if (bytes.length !== wanted.length || !timingSafeEqual(bytes, wanted)) return undefined;
  const [workspace, signal, data, madeAtMs, expiresAtMs] = JSON.parse(Buffer.from(body, "base64url").toString("utf8"));
  return { workspace, signal, data, madeAtMs, expiresAtMs };
}
