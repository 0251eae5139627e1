/** Reads a `Retry-After` header (RFC 9110, 10.2.3). What a failure without one waits for is the queue's back-off. */

import { limits } from "../core/limits.js";

const day = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
const month = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const time = "\\d{2}:\\d{2}:\\d{2}";

/** The three forms of RFC 9110, 5.6.7, of which the last two are obsolete but must be read. */
const preferred = new RegExp(`^${day}, \\d{2} ${month} \\d{4} ${time} GMT$`);
const rfc850 = new RegExp(`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \\d{2}-${month}-\\d{2} ${time} GMT$`);
const asctime = new RegExp(`^${day} ${month} [ \\d]\\d ${time} \\d{4}$`);

/**
 * How long to wait, in milliseconds from `nowMs` (Unix milliseconds), at most 24 h: a larger number or a later date is
 * cut, not dropped, since the wish is clear. A date in the past is 0: retry at once. Undefined for anything that is
 * neither whole seconds nor one HTTP date (a sign, a fraction, a list, no header): as if it had not been sent.
 */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  const text = header?.trim();
  // 64 characters hold every valid form, and numbers larger than anybody means.
  if (text === undefined || text.length > 64) return undefined;
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1_000, limits.retryAfterMs);
  const atMs = parseHttpDate(text);
  if (Number.isNaN(atMs)) return undefined;
  return Math.min(Math.max(0, atMs - nowMs), limits.retryAfterMs);
}

function parseHttpDate(text: string): number {
  if (preferred.test(text) || rfc850.test(text)) return Date.parse(text);
  // asctime names no zone; it means UTC, while Date.parse would take the machine's.
  return asctime.test(text) ? Date.parse(`${text} GMT`) : Number.NaN;
}
