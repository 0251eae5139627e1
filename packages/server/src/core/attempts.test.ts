import { expect, test } from "vitest";
import { attemptsOf } from "./attempts.js";

test("so many attempts are taken in a span, each address for itself, and again in the next span", () => {
  const attempts = attemptsOf({ attempts: 2, spanMs: 1_000 }, 10);
  expect([attempts.take("a", 0), attempts.take("a", 10), attempts.take("a", 400)]).toEqual([0, 0, 600]);
  expect(attempts.take("b", 400)).toBe(0);
  expect(attempts.take("a", 1_000)).toBe(0);
});

test("an attempt that was right does not count", () => {
  const attempts = attemptsOf({ attempts: 1, spanMs: 1_000 }, 10);
  for (let n = 0; n < 5; n++) {
    expect(attempts.take("a", n)).toBe(0);
    attempts.giveBack("a");
  }
});

test("of more addresses than are remembered the oldest is forgotten", () => {
  const attempts = attemptsOf({ attempts: 1, spanMs: 1_000 }, 2);
  for (const who of ["a", "b", "c"]) expect(attempts.take(who, 0)).toBe(0);
  expect(attempts.take("c", 1)).toBeGreaterThan(0);
  expect(attempts.take("a", 1)).toBe(0);
});
