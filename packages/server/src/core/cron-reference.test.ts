/**
 * Ticks against a slow and plain reference, around changes of the clocks: a seeded sample here, and all of them by
 * `npm run cron-check` (ROTOR_CRON_CHECK=all). `ROTOR_SEED=…` takes the same sample again.
 */
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { changesOf, difference, distinctZones, type Place, walkAround } from "../testing-kit/cron-comparison.js";
import { EXPRESSIONS } from "../testing-kit/cron-expressions.js";
import { referenceTicks, walk } from "../testing-kit/cron-reference.js";
import { readRule } from "./cron.js";

const SEED = Number(process.env.ROTOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ALL = process.env.ROTOR_CRON_CHECK === "all";
const FROM = Date.UTC(2000, 0, 1);
const TO = Date.UTC(2028, 0, 1);
const YEAR_MS = 365 * 86_400_000;
const SAMPLED_ZONES = 40;
const SAMPLED_EXPRESSIONS = 8;

/** A small generator (mulberry32): a number from 0 to 1. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test("sixty expressions stand in the list, each once", () => {
  expect(new Set(EXPRESSIONS).size).toBe(60);
});

test(`a sample of ticks around changes is what the reference says (seed ${SEED})`, () => {
  const roll = dice(SEED);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(roll() * from.length)]!;
  const zones = Intl.supportedValuesOf("timeZone");
  let compared = 0;
  for (let index = 0; index < SAMPLED_ZONES; index++) {
    const zone = pick(zones);
    const begin = FROM + Math.floor((roll() * (TO - FROM - YEAR_MS)) / 86_400_000) * 86_400_000;
    // A year without a change has ordinary days, which are also to be right.
    const at = pick(changesOf(zone, begin, begin + YEAR_MS))?.at ?? begin;
    const walked = walkAround({ zone, at });
    for (let count = 0; count < SAMPLED_EXPRESSIONS; count++)
      expect(difference(walked, pick(EXPRESSIONS), (ticks) => (compared += ticks))).toBeUndefined();
  }
  expect(compared).toBeGreaterThan(500);
});

test(`the calendar of a leap year is what the reference says, too (seed ${SEED})`, () => {
  const roll = dice(SEED + 1);
  const [begin, end] = ALL
    ? [Date.UTC(2027, 11, 31), Date.UTC(2029, 0, 1)]
    : [Date.UTC(2028, 1, 20), Date.UTC(2028, 3, 5)];
  const minutes = walk("UTC", begin, end);
  const from = begin + 86_400_000;
  for (const expression of EXPRESSIONS.filter(() => ALL || roll() < 0.1)) {
    const rule = readRule(expression, "UTC");
    let after = from - 1;
    for (const tick of referenceTicks(expression, minutes, from).slice(0, 400)) {
      expect([expression, rule.after(new Date(after)).getTime()]).toEqual([expression, tick]);
      after = tick;
    }
  }
});

/** Half an hour: only where it is asked for. */
if (ALL)
  test("every expression ticks as the reference says around every change of every distinct zone since 2000", async () => {
    const zones = distinctZones(FROM, TO);
    // A change within a day of another would be one too many for `changeNear`.
    const gaps = zones.flatMap(({ changes }) => changes.slice(1).map((at, index) => at - changes[index]!));
    expect(Math.min(...gaps)).toBeGreaterThan(4 * 86_400_000);
    let compared = 0;
    let places = 0;
    const wrong: string[] = [];
    for (const [index, { zone, changes }] of zones.entries()) {
      const all: Place[] = (changes.length === 0 ? [Date.UTC(2024, 1, 28)] : changes).map((at) => ({ zone, at }));
      places += all.length;
      for (const place of all) {
        const walked = walkAround(place);
        for (const expression of EXPRESSIONS) {
          const found = difference(walked, expression, (ticks) => (compared += ticks));
          if (found !== undefined) wrong.push(found);
        }
      }
      if (index % 10 === 9)
        console.log(`${index + 1} of ${zones.length} zones, ${compared} ticks, ${wrong.length} wrong`);
      // So that this is printed now.
      await setImmediate();
    }
    console.log(
      `${zones.length} zones, ${places} changes, ${EXPRESSIONS.length} expressions: ${compared} ticks compared`,
    );
    expect(wrong.slice(0, 20)).toEqual([]);
  }, 7_200_000);
