/**
 * What ticks should be, slow and plain: a walk through a zone, minute by minute, over what `Intl` says that its clocks
 * show. Shares no code with `core/cron.ts`, and reads expressions by itself. For tests only.
 */

/** One minute of real time, and what the clocks show during it: as a number, and as a date whose UTC fields are theirs. */
export type Minute = { readonly at: number; readonly shown: number; readonly date: Date };

const MINUTE_MS = 60_000;

/** The clocks of a zone, minute by minute. All changes since 2000 came at whole minutes. */
export function walk(zone: string, from: number, to: number): Minute[] {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
  const minutes: Minute[] = [];
  for (let at = Math.ceil(from / MINUTE_MS) * MINUTE_MS; at < to; at += MINUTE_MS) {
    // "29/03/2026, 03:00:00"
    const [day, month, year, hour, minute, second] = format.format(at).split(/\D+/).map(Number);
    if (second !== 0) throw new Error(`${zone} is not in step with the minutes at ${new Date(at).toISOString()}`);
    const shown = Date.UTC(year!, month! - 1, day, hour, minute);
    minutes.push({ at, shown, date: new Date(shown) });
  }
  return minutes;
}

type Matcher = {
  readonly everyHour: boolean;
  readonly minute: (shown: Date) => boolean;
  readonly seconds: readonly number[];
};

const ALIASES: Readonly<Record<string, string>> = { "@hourly": "0 * * * *", "@daily": "0 0 * * *" };
const MONTHS = ["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/** The numbers that a field stands for. */
function numbers(field: string, least: number, most: number, names: readonly string[] = []): Set<number> {
  const numberOf = (text: string): number => (names.includes(text) ? names.indexOf(text) : Number(text));
  const all = new Set<number>();
  for (const part of field.split(",")) {
    const [range, step] = part.split("/");
    const [low, high] = range === "*" ? [least, most] : range!.split("-").map(numberOf);
    for (let value = low!; value <= (high ?? low!); value += Number(step ?? 1)) all.add(value);
  }
  return all;
}

const isLastOfMonth = (date: Date): boolean => new Date(date.getTime() + 86_400_000).getUTCDate() === 1;
const isLastWeek = (date: Date): boolean =>
  new Date(date.getTime() + 7 * 86_400_000).getUTCMonth() !== date.getUTCMonth();

function daysOfMonth(field: string): (date: Date) => boolean {
  if (field === "l") return isLastOfMonth;
  const days = numbers(field, 1, 31);
  return (date) => days.has(date.getUTCDate());
}

function daysOfWeek(field: string): (date: Date) => boolean {
  const [weekday, which] = field.replace("+", "").split("#");
  const days = numbers(weekday!, 0, 6, WEEKDAYS);
  const isDay = (date: Date): boolean => days.has(date.getUTCDay()) || (date.getUTCDay() === 0 && days.has(7));
  if (which === undefined) return isDay;
  if (which === "l") return (date) => isDay(date) && isLastWeek(date);
  return (date) => isDay(date) && Math.ceil(date.getUTCDate() / 7) === Number(which);
}

function read(expression: string): Matcher {
  const fields = (ALIASES[expression] ?? expression).toLowerCase().split(" ");
  const second = fields.length === 6 ? fields.shift()! : "0";
  const [minute, hour, dayOfMonth, month, dayOfWeek] = fields as [string, string, string, string, string];
  const minutes = numbers(minute, 0, 59);
  const hours = numbers(hour, 0, 23);
  const months = numbers(month, 1, 12, MONTHS);
  const ofMonth = daysOfMonth(dayOfMonth);
  const ofWeek = daysOfWeek(dayOfWeek);
  // Where both are given, one of them is enough; a plus asks for both.
  const either = dayOfMonth !== "*" && dayOfWeek !== "*" && !dayOfWeek.startsWith("+");
  const isDay = (date: Date): boolean => (either ? ofMonth(date) || ofWeek(date) : ofMonth(date) && ofWeek(date));
  return {
    everyHour: hours.size === 24,
    seconds: [...numbers(second, 0, 59)].sort((a, b) => a - b),
    minute: (date) =>
      minutes.has(date.getUTCMinutes()) &&
      hours.has(date.getUTCHours()) &&
      months.has(date.getUTCMonth() + 1) &&
      isDay(date),
  };
}

/**
 * The ticks of an expression in these minutes. `from` is the first of them that counts; those before it tell what the
 * clocks have shown already.
 */
export function referenceTicks(expression: string, minutes: readonly Minute[], from: number): number[] {
  const matcher = read(expression);
  const ticks: number[] = [];
  const tickIn = (minute: Minute): void => {
    for (const second of matcher.seconds) ticks.push(minute.at + second * 1_000);
  };
  let highest = minutes[0]!.shown;
  for (const minute of minutes.slice(1)) {
    if (matcher.everyHour) {
      if (matcher.minute(minute.date)) tickIn(minute);
      continue;
    }
    // Times of day: each at the first moment at which the clocks show it, or one after it.
    let leftOut = false;
    for (let shown = highest + MINUTE_MS; shown < minute.shown; shown += MINUTE_MS)
      leftOut ||= matcher.minute(new Date(shown));
    const isNew = minute.shown > highest && matcher.minute(minute.date);
    if (leftOut && !(isNew && matcher.seconds[0] === 0)) ticks.push(minute.at);
    if (isNew) tickIn(minute);
    highest = Math.max(highest, minute.shown);
  }
  return ticks.filter((tick) => tick >= from);
}
