/** What every verification asks of its arguments: usable secrets, raw bytes, a timestamp in the window. Compares no signature. */

import { utf8 } from "./bytes.js";
import { warnOnce } from "./warn.js";

/** One secret, or several while one replaces another. `process.env` fits as it is; undefined and "" never verify. */
export type Secret = string | undefined | readonly (string | undefined)[];

/** A header as frameworks hand it out. A list is taken only if it holds one value. */
export type HeaderValue = string | readonly string[] | null | undefined;

/** The body exactly as it was received, before any parsing. */
export type SignedBody = string | ArrayBuffer | Uint8Array;

export type VerifyOptions = {
  /** How far the signature's time may lie from now, either way, in seconds (default 300). */
  readonly toleranceSeconds?: number;
  /** The present time, as a Date, as `Date.now()` gives it, or as Unix seconds (default: the clock). */
  readonly now?: Date | number;
};

/** The secrets that can verify anything. Without one it warns, once a process. */
export function usableSecrets(secret: Secret): readonly string[] {
  const list = Array.isArray(secret) ? secret : [secret];
  const usable = list.filter((one): one is string => typeof one === "string" && one.trim() !== "");
  if (usable.length === 0) {
    warnOnce(
      "no secret",
      "no signing secret is set, so no signature verifies: pass the queue's whsec_… (is the environment variable set?)",
    );
  }
  return usable;
}

/** The bytes of a raw body; undefined, with one warning a process, for a body that was parsed already. */
export function bytesOfBody(body: unknown): Uint8Array | undefined {
  if (typeof body === "string") return utf8(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  // By its tag, since the buffer may come from another realm (a test runner's, a sandbox's).
  if (Object.prototype.toString.call(body) === "[object ArrayBuffer]") return new Uint8Array(body as ArrayBuffer);
  warnOnce(
    "parsed body",
    `a signature covers the raw body, but it was given ${body === null ? "null" : typeof body}: the framework has parsed it already. ` +
      'Hono: await c.req.text(). Express: express.text({ type: "*/*" }) on this route. ' +
      'Fastify: addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => done(null, body)). ' +
      "Koa: ctx.request.rawBody. Next.js: await request.text(), under pages/ with api.bodyParser false.",
  );
  return undefined;
}

/** Ten-digit seconds and thirteen-digit milliseconds cannot be confused: 10^11 s is the year 5138, 10^11 ms was 1973. */
const LEAST_MILLISECONDS = 1e11;

/** Whether Unix seconds `t` lie in the window around now. */
export function isFresh(t: number, options: VerifyOptions = {}): boolean {
  const { toleranceSeconds = 300, now = Date.now() } = options;
  const time = Number(now);
  const nowSeconds = time >= LEAST_MILLISECONDS ? Math.floor(time / 1000) : time;
  return Math.abs(nowSeconds - t) <= toleranceSeconds;
}
