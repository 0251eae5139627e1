/**
 * Capabilities: text that whoever holds it may act with, for one delivery of one job. Checked without a look-up; opaque
 * to clients, so that more can be hidden in it later.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

/** `checkpoint`: report a run's steps, and read them. `check`: only read them. `complete`: end an accepted callback job. */
export type Purpose = "checkpoint" | "check" | "complete";

export type Capability = { readonly jobId: string; readonly delivery: number };

const sign = (secret: string, purpose: Purpose, body: string): Buffer =>
  createHmac("sha256", secret).update(`${purpose}.${body}`).digest();

export function makeToken(secret: string, purpose: Purpose, { jobId, delivery }: Capability): string {
  const body = `${jobId}.${delivery}`;
  return `${body}.${sign(secret, purpose, body).toString("base64url")}`;
}

const TOKEN = /^([0-9a-f-]{36})\.(\d{1,10})\.([A-Za-z0-9_-]{43})$/;

/** What the token allows; undefined if it is not one of ours. */
export function readToken(secret: string, purpose: Purpose, token: string): Capability | undefined {
  const [, jobId, delivery, given] = TOKEN.exec(token) ?? [];
  if (jobId === undefined || delivery === undefined || given === undefined) return undefined;
  const bytes = Buffer.from(given, "base64url");
  const wanted = sign(secret, purpose, `${jobId}.${delivery}`);
  return bytes.length === wanted.length && timingSafeEqual(bytes, wanted)
    ? { jobId, delivery: Number(delivery) }
    : undefined;
}
