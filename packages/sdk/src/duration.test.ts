import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Duration, formatDuration, parseDuration, YEAR_MS } from "./duration.js";
import { RotorInputError } from "./errors.js";

describe("a duration", () => {
  test.each([
    ["0s", 0],
    ["500ms", 500],
    ["30s", 30_000],
    ["1.5h", 5_400_000],
    ["90m", 5_400_000],
    ["24h", 86_400_000],
    ["7d", 604_800_000],
    ["1w", 604_800_000],
    ["365d", YEAR_MS],
    ["0.1ms", 0],
  ] as const)("%s is %i ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  const wrong = [
    "",
    "5",
    "s",
    "-5s",
    "+5s",
    " 5s",
    "5s ",
    "5 s",
    "5S",
    "5sec",
    ".5s",
    "5.s",
    "1e3s",
    "0x5s",
    "5m30s",
    "Infinitys",
    "٥s",
    "5s\n",
    "9999999999999999s",
  ];
  test.each(wrong)("is not %j, and the error says what to write", (text) => {
    expect(() => parseDuration(text)).toThrow(RotorInputError);
    expect(() => parseDuration(text)).toThrow(/such as "500ms", "30s" or "24h"/);
  });

  test("is not a bare number, and the error names the strings to write", () => {
    const number = 90_000 as unknown as Duration;
    expect(() => parseDuration(number, { name: "timeout" })).toThrow(
      'timeout: a bare number has no unit: write "90000s" for seconds or "90s" for milliseconds',
    );
    for (const other of [undefined, null, {}, Number.NaN, -1, new Date()]) {
      expect(() => parseDuration(other as unknown as Duration)).toThrow(RotorInputError);
    }
  });

  test("is a year at most unless another limit is given", () => {
    expect(() => parseDuration("366d")).toThrow("duration: 366d is too long, at most 365d is possible");
    expect(parseDuration("366d", { maxMs: Infinity })).toBe(366 * 86_400_000);
    expect(() => parseDuration("13h", { maxMs: 12 * 3_600_000, name: "timeout" })).toThrow(
      "timeout: 13h is too long, at most 12h",
    );
  });

  test("that was formatted reads as the same milliseconds", () => {
    fc.assert(fc.property(fc.nat(YEAR_MS), (ms) => parseDuration(formatDuration(ms)) === ms));
    expect([0, 1500, 90_000, 3_600_000, 604_800_000].map(formatDuration)).toEqual(["0ms", "1500ms", "90s", "1h", "1w"]);
  });

  test("without a unit does not compile", () => {
    // @ts-expect-error a bare number is no duration
    const number: Duration = 5;
    // @ts-expect-error neither is one without a unit
    const text: Duration = "5";
    expect([number, text]).toEqual([5, "5"]);
  });
});
