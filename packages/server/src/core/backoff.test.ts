import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Backoff, backoffMs, DEFAULT_BACKOFF } from "./backoff.js";

const plain: Backoff = { kind: "exponential", factor: 2, minMs: 1_000, maxMs: 60_000, jitter: "none", listMs: [] };
const delays = (backoff: Backoff, count: number): number[] =>
  Array.from({ length: count }, (_, n) => backoffMs(backoff, n + 1, 0));

describe("without jitter, the delays after attempts 1, 2, 3, …", () => {
  test.each<[string, Partial<Backoff>, number[]]>([
    ["exponential", {}, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]],
    ["exponential with a factor of 1", { factor: 1 }, [1_000, 1_000, 1_000]],
    ["linear", { kind: "linear" }, [1_000, 2_000, 3_000]],
    ["linear, capped", { kind: "linear", maxMs: 2_500 }, [1_000, 2_000, 2_500, 2_500]],
    ["fixed", { kind: "fixed" }, [1_000, 1_000, 1_000]],
    ["a list, its last entry repeated", { kind: "list", listMs: [5, 50] }, [5, 50, 50, 50]],
    ["a list, capped", { kind: "list", listMs: [5, 5_000_000] }, [5, 60_000]],
    ["an empty list", { kind: "list" }, [1_000, 1_000]],
  ])("%s", (_, more, expected) => {
    expect(delays({ ...plain, ...more }, expected.length)).toEqual(expected);
  });
});

test("the default takes about two hours over ten attempts", () => {
  const hours = (random: number): number =>
    Array.from({ length: 9 }, (_, n) => backoffMs(DEFAULT_BACKOFF, n + 1, random)).reduce((a, b) => a + b) / 3_600_000;
  expect(hours(0.5)).toBeGreaterThan(1.5);
  expect(hours(0.999)).toBeLessThan(3);
});

test("half jitter lies between half of the delay and all of it, whatever the numbers, and is never negative or endless", () => {
  const backoff = fc.record<Backoff>({
    kind: fc.constantFrom("exponential", "linear", "fixed", "list"),
    factor: fc.double({ min: 1, max: 100, noNaN: true }),
    minMs: fc.nat(86_400_000),
    maxMs: fc.nat(86_400_000),
    jitter: fc.constant("half"),
    listMs: fc.array(fc.nat(86_400_000)),
  });
  fc.assert(
    fc.property(
      backoff,
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (each, attempt, random) => {
        const whole = backoffMs({ ...each, jitter: "none" }, attempt, 0);
        const delay = backoffMs(each, attempt, random);
        expect(Number.isInteger(delay)).toBe(true);
        expect(delay).toBeGreaterThanOrEqual(Math.floor(whole / 2));
        expect(delay).toBeLessThanOrEqual(whole);
        expect(whole).toBeLessThanOrEqual(each.maxMs);
      },
    ),
  );
});
