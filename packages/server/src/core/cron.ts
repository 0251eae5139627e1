/** When a schedule ticks next. Parsing and calendar by a library; what is allowed, and what that means, is ours. */
import { Cron } from "croner";

const ZONES = new Set(Intl.supportedValuesOf("timeZone").concat("UTC", "Etc/UTC"));

/** Why this is no schedule, or nothing. Zones are IANA names: `+05:30` knows no summer. */
export function checkSchedule(cron: string, timezone: string): string | undefined {
  if (!ZONES.has(timezone))
    return `timezone ${JSON.stringify(timezone)} is not an IANA name such as "Europe/Stockholm" or "UTC".`;
  try {
    if (nextTick(cron, timezone, new Date()) === undefined) return `cron ${JSON.stringify(cron)} never comes.`;
  } catch (error) {
    return `cron ${JSON.stringify(cron)}: ${error instanceof Error ? error.message : error}. Write five or six fields such as "0 9 * * 1-5".`;
  }
  return undefined;
}

/** The first tick after `after`, or undefined if none ever comes. */
export function nextTick(cron: string, timezone: string, after: Date): Date | undefined {
  const fields = cron.trim().split(/\s+/).length;
  if (!cron.startsWith("@") && fields !== 5 && fields !== 6) throw new Error(`it has ${fields} fields`);
  return new Cron(cron, { timezone, paused: true }).nextRun(after) ?? undefined;
}

/** The next `count` ticks after `after`. */
export function nextTicks(cron: string, timezone: string, after: Date, count: number): Date[] {
  const ticks: Date[] = [];
  for (let from = after; ticks.length < count; ) {
    const tick = nextTick(cron, timezone, from);
    if (tick === undefined) break;
    ticks.push(tick);
    from = tick;
  }
  return ticks;
}
