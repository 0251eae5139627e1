/** Where instants lie on a timeline. */
import { expect, test } from "vitest";
import { squeezedScale, ticksOf, trueScale } from "./scale.js";

const DAY = 86_400_000;

test("true to scale, a day hides a second", () => {
  const scale = trueScale(0, DAY);
  expect(scale(DAY / 2)).toBe(0.5);
  expect(scale(-5)).toBe(0);
  expect(scale(1_000)).toBeLessThan(0.001);
});

test("squeezed, a second of work is seen beside a day of waiting, and order stays", () => {
  const scale = squeezedScale([0, 1_000, 1_000 + DAY, 2_000 + DAY]);
  expect(scale(1_000)).toBeGreaterThan(0.1);
  expect(scale(1_000 + DAY) - scale(1_000)).toBeGreaterThan(scale(1_000));
  expect(scale(500)).toBeLessThan(scale(1_000));
  expect([scale(-1), scale(0), scale(2_000 + DAY), scale(3_000 + DAY)]).toEqual([0, 0, 1, 1]);
});

test("a run in which nothing has happened has a scale all the same", () => {
  expect(squeezedScale([5])(5)).toBe(0);
});

test("what is written on the axis does not overlap", () => {
  const scale = trueScale(0, 100);
  expect(ticksOf([0, 1, 2, 30, 31, 90, 99], scale, 0.15)).toEqual([0, 30, 90]);
});
