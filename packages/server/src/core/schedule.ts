/**
 * What a schedule does when it is due: which of the ticks since it was last looked at are made. Pure; what a tick is, in
 * which zone, is `cron.ts`'s business.
 */
import { type Rule, readRule } from "./cron.js";
import { limits } from "./limits.js";

/** What a tick does while the job of the tick before is not finished. */
export const OVERLAPS = ["allow", "skip"] as const;
export type Overlap = (typeof OVERLAPS)[number];

/**
 * What becomes of ticks that nobody was there to make. `last`: the latest is made. `none`: so it is, unless it is late
 * by more than `limits.tickGraceMs`. `all`: each is, of more than `limits.catchUp` the latest.
 */
export const CATCH_UPS = ["none", "last", "all"] as const;
export type CatchUp = (typeof CATCH_UPS)[number];

/** A schedule whose `nextAt` is not in the future. */
export type DueSchedule = {
  readonly cron: string;
  readonly timezone: string;
  readonly overlap: Overlap;
  readonly catchUp: CatchUp;
  /** The first tick that is neither made nor given up. */
  readonly nextAt: Date;
  /** The job of the last tick is not finished. */
  readonly busy: boolean;
};

/** Ticks that enqueue nothing; `at` is the last of them. */
export type Unmade = { readonly count: number; readonly at: Date };

export type Ticking = {
  /** The ticks that enqueue a job each, oldest first. */
  readonly made: readonly Date[];
  /** Left out since the job before is not finished. */
  readonly skipped: Unmade | undefined;
  /** Not made up for. Counted up to `limits.missedCounted`. */
  readonly missed: Unmade | undefined;
  /** Not in the future where more ticks are due than there was room for. */
  readonly nextAt: Date;
};

/** Decides for one schedule. At most `room` (at least 1) ticks are made. */
export function decideTicks(schedule: DueSchedule, now: Date, room: number): Ticking {
  const rule = readRule(schedule.cron, schedule.timezone);
  const { kept, missed } = caughtUp(schedule, rule, now);
  const following = rule.after(now);
  if (schedule.overlap === "skip") {
    // Each enqueues a job that is not finished when the next one comes.
    const made = schedule.busy ? [] : kept.slice(0, 1);
    return { made, skipped: unmade(kept.slice(made.length)), missed, nextAt: following };
  }
  return { made: kept.slice(0, room), skipped: undefined, missed, nextAt: kept[room] ?? following };
}

function caughtUp({ nextAt, catchUp }: DueSchedule, rule: Rule, now: Date): { kept: Date[]; missed?: Unmade } {
  const due = [nextAt];
  for (let tick = rule.after(nextAt); tick <= now && due.length < limits.missedCounted; tick = rule.after(tick))
    due.push(tick);
  const wanted = catchUp === "all" ? limits.catchUp : 1;
  const newest = due.length < limits.missedCounted ? due.slice(-wanted) : latest(rule, nextAt, now, wanted);
  const isLate = now.getTime() - newest.at(-1)!.getTime() > limits.tickGraceMs;
  const kept = catchUp === "none" && isLate ? [] : newest;
  const lost = due.length - kept.length;
  if (lost === 0) return { kept };
  // The last one that is lost is the one before the first that is kept.
  const at = kept.length === 0 ? newest.at(-1)! : (due[due.indexOf(kept[0]!) - 1] ?? previous(rule, nextAt, kept[0]!));
  return { kept, missed: { count: lost, at } };
}

const unmade = (ticks: readonly Date[]): Unmade | undefined =>
  ticks.length === 0 ? undefined : { count: ticks.length, at: ticks.at(-1)! };

/** The latest `count` ticks up to now, oldest first; `floor` is one that is long ago. */
function latest(rule: Rule, floor: Date, now: Date, count: number): Date[] {
  const ticks: Date[] = [];
  for (let before = new Date(now.getTime() + 1); ticks.length < count && before > floor; before = ticks[0]!)
    ticks.unshift(previous(rule, floor, before));
  return ticks;
}

/** The latest tick before `before`; `floor` is one. Looks back in steps that double, then halves the last of them. */
function previous(rule: Rule, floor: Date, before: Date): Date {
  const end = before.getTime();
  let width = 1_000;
  while (end - width > floor.getTime() && rule.after(new Date(end - width)) >= before) width *= 2;
  if (end - width <= floor.getTime() && rule.after(floor) >= before) return floor;
  let [tick, none] = [rule.after(new Date(Math.max(end - width, floor.getTime()))).getTime(), end];
  while (none - tick > 1) {
    const middle = Math.floor((tick + none) / 2);
    const found = rule.after(new Date(middle)).getTime();
    if (found < end) tick = found;
    else none = middle;
  }
  return new Date(tick);
}
