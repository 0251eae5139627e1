/**
 * What the clocks of a zone show, and when they are changed. Knows nothing of cron. A wall time is written as the
 * milliseconds of the same date and time in UTC, so that calendars can reckon with it.
 */

/** Clocks are put forward or back at `at`: from then on they show `at + afterMs`, until then `t + beforeMs`. */
export type Change = { readonly at: number; readonly beforeMs: number; readonly afterMs: number };

const DAY_MS = 86_400_000;
/** Formats are dear to make. Names of zones come from users, who may write them in many ways: hence a bound. */
const KEPT_FORMATS = 1_000;
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" });
  if (formats.size >= KEPT_FORMATS) formats.clear();
  formats.set(zone, made);
  return made;
}

/** Whether this runtime knows the zone by this name. An offset such as `+05:30` is no zone: it knows no summer. */
export function isZone(zone: string): boolean {
  if (!/^[A-Za-z]/.test(zone)) return false;
  try {
    formatOf(zone);
    return true;
  } catch {
    // A RangeError is how Intl says no.
    return false;
  }
}

const OFFSET = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/;

/** How far the clocks of the zone are ahead of UTC at this instant, in milliseconds. */
export function offsetMs(zone: string, at: number): number {
  const [, sign, hours, minutes, seconds] = OFFSET.exec(formatOf(zone).format(at)) ?? [];
  if (sign === undefined) return 0;
  const ms = (Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds ?? 0)) * 1_000;
  return sign === "-" ? -ms : ms;
}

/**
 * The change within a day of this instant. No zone has had two within a week since 2000, as `npm run cron-check` would
 * tell, so that there is at most one.
 */
export function changeNear(zone: string, at: number): Change | undefined {
  let before = at - DAY_MS;
  let after = at + DAY_MS;
  const beforeMs = offsetMs(zone, before);
  const afterMs = offsetMs(zone, after);
  if (beforeMs === afterMs) return undefined;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (offsetMs(zone, middle) === beforeMs) before = middle;
    else after = middle;
  }
  return { at: after, beforeMs, afterMs };
}

/** The latest time that the clocks have shown by now: before a change back, they were further than they are. */
export function latestShown(zone: string, at: number): number {
  const shown = at + offsetMs(zone, at);
  const change = changeNear(zone, at);
  return change !== undefined && change.at <= at ? Math.max(shown, change.at + change.beforeMs - 1) : shown;
}

/**
 * The first instant at which the clocks show this wall time or a later one: of a time that comes twice the first, of one
 * that is left out the moment of the change.
 */
export function firstReached(zone: string, wall: number): number {
  // A zone is at most 14 hours from UTC, so that this change, if there is one, is near the instant, too.
  const guess = wall - offsetMs(zone, wall);
  const change = changeNear(zone, guess);
  if (change === undefined) return guess;
  const early = wall - change.beforeMs;
  return early < change.at ? early : Math.max(change.at, wall - change.afterMs);
}

/** The first instant after `after` at which the clocks show exactly this wall time; none where it is left out. */
export function nextShowing(zone: string, wall: number, after: number): number | undefined {
  const guess = wall - offsetMs(zone, wall);
  const change = changeNear(zone, guess);
  const times =
    change === undefined
      ? [guess]
      : [wall - change.beforeMs, wall - change.afterMs].filter((time, index) => time < change.at === (index === 0));
  return times.find((time) => time > after);
}
