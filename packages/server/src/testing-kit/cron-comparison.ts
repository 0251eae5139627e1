/** Compares `core/cron.ts` with its reference around one change of the clocks. What is compared when: core/cron-reference.test.ts. */
import { readRule } from "../core/cron.js";
import { type Minute, referenceTicks, walk } from "./cron-reference.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** A zone, and the instant of a change of its clocks (or any other). */
export type Place = { readonly zone: string; readonly at: number };

/** What of a place all expressions share. */
export type Walked = Place & { readonly minutes: readonly Minute[]; readonly from: number; readonly to: number };

/** A day and a half before, as much after. Six hours more before that are only for what the clocks have shown. */
export function walkAround({ zone, at }: Place): Walked {
  const from = at - 36 * HOUR_MS;
  const to = at + 36 * HOUR_MS;
  return { zone, at, from, to, minutes: walk(zone, from - 6 * HOUR_MS, to) };
}

/** Of more ticks than this, those near the change are compared, and those near where the clocks stand as before. */
const COMPARED_WHOLE = 80;
const COMPARED_NEAR = 6;

/** What differs, or nothing. Counts the ticks that were compared. */
export function difference(walked: Walked, expression: string, count: (ticks: number) => void): string | undefined {
  const rule = readRule(expression, walked.zone);
  const expected = referenceTicks(expression, walked.minutes, walked.from);
  const chain = (begin: number, end: number): string | undefined => {
    let after = begin === 0 ? walked.from - 1 : expected[begin - 1]!;
    for (let index = begin; index < end; index++) {
      const tick = rule.after(new Date(after)).getTime();
      if (tick !== expected[index]) return described(walked, expression, after, tick, expected[index]!);
      after = tick;
    }
    count(end - begin);
    if (end < expected.length) return undefined;
    const beyond = rule.after(new Date(after)).getTime();
    return beyond >= walked.to ? undefined : described(walked, expression, after, beyond, undefined);
  };
  // From between two ticks it is the same as from the one before.
  for (const after of [walked.at - 1, walked.at - 1_800_000, walked.at + 1_234_567]) {
    const tick = rule.after(new Date(after)).getTime();
    const wanted = expected.find((each) => each > after);
    count(1);
    if (wanted === undefined ? tick < walked.to : tick !== wanted)
      return described(walked, expression, after, tick, wanted);
  }
  if (expected.length <= COMPARED_WHOLE) return chain(0, expected.length);
  const shifts = new Set(walked.minutes.map((minute) => minute.shown - minute.at));
  const jump = Math.max(...shifts) - Math.min(...shifts);
  for (const place of [walked.from, walked.at - jump, walked.at, walked.at + jump, walked.to]) {
    const near = expected.findIndex((tick) => tick >= place);
    const middle = near === -1 ? expected.length : near;
    const wrong = chain(Math.max(0, middle - COMPARED_NEAR), Math.min(expected.length, middle + COMPARED_NEAR));
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function described({ zone }: Place, expression: string, after: number, got: number, expected: number | undefined) {
  const text = (at: number): string => new Date(at).toISOString();
  const wanted = expected === undefined ? "none for now" : text(expected);
  return `${expression} in ${zone}, after ${text(after)}: ${text(got)}, expected ${wanted}`;
}

/** The changes of a zone's clocks from one instant to another, as `Intl` shows them four times a day. */
export function changesOf(zone: string, from: number, to: number): { at: number; offset: string }[] {
  const format = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" });
  const offsetAt = (at: number): string => format.format(at).split(" ")[1]!;
  const changes: { at: number; offset: string }[] = [];
  let known = offsetAt(from);
  for (let at = from; at < to; at += DAY_MS / 4) {
    const offset = offsetAt(at + DAY_MS / 4);
    if (offset === known) continue;
    let [before, after] = [at, at + DAY_MS / 4];
    while (after - before > 1_000) {
      const middle = before + Math.floor((after - before) / 2_000) * 1_000;
      if (offsetAt(middle) === known) before = middle;
      else after = middle;
    }
    changes.push({ at: after, offset });
    known = offset;
  }
  return changes;
}

/** One zone for each distinct set of offsets and changes between two instants. */
export function distinctZones(from: number, to: number): { zone: string; changes: number[] }[] {
  const zones = new Map<string, { zone: string; changes: number[] }>();
  for (const zone of [...Intl.supportedValuesOf("timeZone"), "UTC"]) {
    const changes = changesOf(zone, from, to);
    const first = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" }).format(from);
    const set = JSON.stringify([first, changes]);
    if (!zones.has(set)) zones.set(set, { zone, changes: changes.map((change) => change.at) });
  }
  return [...zones.values()];
}
