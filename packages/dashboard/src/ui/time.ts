/** Instants and spans as people read them. The reader's zone first, UTC beside it. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const two = (part: number): string => String(part).padStart(2, "0");

/** `840 ms`, `1.2 s`, `4 min 10 s`, `3 h 5 min`, `2 d 4 h`: two parts at most. */
export function span(ms: number): string {
  const length = Math.abs(ms);
  if (length < SECOND) return `${Math.round(length)} ms`;
  if (length < 10 * SECOND) return `${(Math.floor(length / 100) / 10).toFixed(1)} s`;
  if (length < MINUTE) return `${Math.floor(length / SECOND)} s`;
  if (length < HOUR) return parts(length, MINUTE, "min", SECOND, "s");
  if (length < DAY) return parts(length, HOUR, "h", MINUTE, "min");
  return parts(length, DAY, "d", HOUR, "h");
}

function parts(ms: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((ms % large) / small);
  return `${Math.floor(ms / large)} ${largeName}${rest === 0 ? "" : ` ${rest} ${smallName}`}`;
}

/** One part, for lists: `41 s`, `3 min`, `5 h`, `2 d`. */
export function roughly(ms: number): string {
  const length = Math.abs(ms);
  if (length < MINUTE) return `${Math.floor(length / SECOND)} s`;
  if (length < HOUR) return `${Math.floor(length / MINUTE)} min`;
  if (length < 2 * DAY) return `${Math.floor(length / HOUR)} h`;
  return `${Math.floor(length / DAY)} d`;
}

/** `3 min ago`, `in 41 s`, `now`. */
export function relative(at: number, now: number): string {
  const ms = at - now;
  if (Math.abs(ms) < SECOND) return "now";
  return ms > 0 ? `in ${roughly(ms)}` : `${roughly(ms)} ago`;
}

const local = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hour12: false,
});

const short = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  hour12: false,
});

/** `28 Nov, 19:52` where the reader is. */
export const shortTime = (at: number): string => short.format(at);
/** `28 Nov 2026, 19:52:31` where the reader is. */
export const localTime = (at: number): string => local.format(at);

/** `18:52:31 UTC`, with the day where it is another one than the reader's. */
export function utcTime(at: number): string {
  const date = new Date(at);
  const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} UTC`;
  return date.getUTCDate() === date.getDate() ? time : `${date.toISOString().slice(0, 10)} ${time}`;
}

/** Milliseconds since 1970 of a text, where it is an instant. */
export function timeOf(at: string | undefined): number | undefined {
  const time = at === undefined ? Number.NaN : Date.parse(at);
  return Number.isNaN(time) ? undefined : time;
}
