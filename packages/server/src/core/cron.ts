/**
 * When a schedule ticks. Parsing and the calendar by a library; what is allowed, and what becomes of times that a change
 * of the clocks leaves out or doubles, is ours:
 *
 * - An expression that names hours (`30 2 * * *`, `0 2,14 * * *`, `0 0-23/6 * * *`) means times of day. Each ticks at the
 *   first moment at which the clocks show it or a later time: one that comes twice at the first, one that is left out at
 *   the moment of the change, and several left out times are one tick.
 * - One of every hour (`0,30 * * * *`) means a pace. It ticks whenever the clocks show a minute of it, and goes on through
 *   a doubled hour.
 *
 * The library's own rule differs: of lists, ranges and steps of hours it leaves out the times in the gap, and doubles
 * the doubled ones. So it is asked for the calendar only, in UTC, and never for a zone.
 */
import { Cron, CronPattern } from "croner";
import { changeNear, firstReached, isZone, latestShown, nextShowing, offsetMs } from "./schedule-clock.js";

/** An expression in a zone. */
export type Rule = {
  /** The first tick after this instant. */
  after(instant: Date): Date;
};

/** Why this is no expression, or nothing. */
export function checkCron(cron: string): string | undefined {
  try {
    readRule(cron, "UTC").after(new Date(0));
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^CronPattern: /, "") : String(error);
    return `cron ${JSON.stringify(cron)}: ${why}. Write five or six fields such as "0 9 * * 1-5", or @daily.`;
  }
}

/** Why this is no zone, or nothing. */
export const checkTimezone = (timezone: string): string | undefined =>
  isZone(timezone)
    ? undefined
    : `timezone ${JSON.stringify(timezone)} is not an IANA name such as "Europe/Stockholm" or "UTC".`;

/** Why this is no schedule, or nothing. */
export const checkSchedule = (cron: string, timezone: string): string | undefined =>
  checkTimezone(timezone) ?? checkCron(cron);

/**
 * Reads an expression.
 * @throws Error what is wrong with it, as words that follow a colon; RangeError for an unknown zone.
 */
export function readRule(cron: string, timezone: string): Rule {
  const text = cron.trim();
  const fields = text === "" ? 0 : text.split(/\s+/).length;
  if (!text.startsWith("@") && fields !== 5 && fields !== 6)
    throw new Error(`it has ${fields} field${fields === 1 ? "" : "s"}`);
  const calendar = new Cron(text, { utcOffset: 0, mode: "5-or-6-parts", paused: true });
  const everyHour = new CronPattern(text, undefined, { mode: "5-or-6-parts" }).hour.every((hour) => hour === 1);
  /** The next wall time of the expression after this one. */
  const nextWall = (wall: number): number => {
    const next = calendar.nextRun(new Date(wall));
    if (next === null) throw new Error("it never comes");
    return next.getTime();
  };
  const next = everyHour ? nextOfPace : nextOfDay;
  return { after: (instant) => new Date(next(nextWall, timezone, instant.getTime())) };
}

type NextWall = (wall: number) => number;

const nextOfDay = (nextWall: NextWall, zone: string, after: number): number =>
  firstReached(zone, nextWall(latestShown(zone, after)));

function nextOfPace(nextWall: NextWall, zone: string, after: number): number {
  let wall = nextWall(after + offsetMs(zone, after));
  let at = nextShowing(zone, wall, after);
  while (at === undefined) {
    // It is left out: go on where the clocks do.
    const change = changeNear(zone, firstReached(zone, wall))!;
    wall = nextWall(change.at + change.afterMs - 1);
    at = nextShowing(zone, wall, after);
  }
  // Before that the clocks may go back, and show a time of it again.
  const change = changeNear(zone, after);
  if (change === undefined || change.at <= after || change.afterMs > change.beforeMs) return at;
  const again = nextWall(change.at + change.afterMs - 1) - change.afterMs;
  return again < change.at + (change.beforeMs - change.afterMs) ? Math.min(at, again) : at;
}

/**
 * The first tick after `after`.
 * @throws Error where the expression has been checked by nobody.
 */
export const nextTick = (cron: string, timezone: string, after: Date): Date => readRule(cron, timezone).after(after);

/** The next `count` ticks after `after`. */
export function nextTicks(cron: string, timezone: string, after: Date, count: number): Date[] {
  const rule = readRule(cron, timezone);
  const ticks: Date[] = [];
  for (let from = after; ticks.length < count; ) {
    from = rule.after(from);
    ticks.push(from);
  }
  return ticks;
}
