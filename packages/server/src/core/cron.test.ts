import { describe, expect, test } from "vitest";
import { checkSchedule, nextTick, nextTicks } from "./cron.js";

const ticks = (cron: string, timezone: string, after: string, count: number): string[] =>
  nextTicks(cron, timezone, new Date(after), count).map((tick) => tick.toISOString().replace(".000Z", "Z"));

describe("in spring, when 02:00 to 03:00 is not there", () => {
  const zone = "Europe/Stockholm";
  test.each(["30 2 * * *", "0 2 * * *", "59 2 * * *"])("%s ticks once, at the moment of the change", (cron) => {
    const [first, second] = ticks(cron, zone, "2026-03-28T12:00:00Z", 2);
    expect(first).toBe("2026-03-29T01:00:00Z");
    expect(second?.slice(0, 10)).toBe("2026-03-30");
  });

  test("of several hours, the one that is left out ticks at the moment of the change", () => {
    for (const cron of ["0 2,14 * * *", "0 2-2,14 * * *", "0 2-14/12 * * *"])
      expect(ticks(cron, zone, "2026-03-28T13:00:00Z", 3)).toEqual([
        "2026-03-29T01:00:00Z",
        "2026-03-29T12:00:00Z",
        "2026-03-30T00:00:00Z",
      ]);
  });

  test("several times that are left out are one tick", () => {
    expect(ticks("*/15 2 * * *", zone, "2026-03-28T12:00:00Z", 2)).toEqual([
      "2026-03-29T01:00:00Z",
      "2026-03-30T00:00:00Z",
    ]);
  });

  test("a time that comes at the moment of the change anyway is one tick with one that is left out", () => {
    expect(ticks("0 2,3 * * *", zone, "2026-03-28T12:00:00Z", 2)).toEqual([
      "2026-03-29T01:00:00Z",
      "2026-03-30T00:00:00Z",
    ]);
  });

  test("a day that is left out, as on Samoa, is kept at the moment of the change", () => {
    expect(ticks("0 9 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", 1)).toEqual(["2011-12-30T10:00:00Z"]);
  });

  test("every half hour goes on without a gap, and without a double", () => {
    expect(ticks("*/30 * * * *", zone, "2026-03-29T00:10:00Z", 4)).toEqual([
      "2026-03-29T00:30:00Z",
      "2026-03-29T01:00:00Z",
      "2026-03-29T01:30:00Z",
      "2026-03-29T02:00:00Z",
    ]);
  });

  test("a midnight that is not there ticks at the moment of the change", () => {
    expect(ticks("15 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2)).toEqual([
      "2018-11-04T03:00:00Z",
      "2018-11-05T02:15:00Z",
    ]);
  });
});

describe("in autumn, when 02:00 to 03:00 is there twice", () => {
  test("a time in it ticks once", () => {
    expect(ticks("30 2 * * *", "Europe/Stockholm", "2026-10-24T12:00:00Z", 2)).toEqual([
      "2026-10-25T00:30:00Z",
      "2026-10-26T01:30:00Z",
    ]);
  });

  test("from a moment between the two it does not tick again", () => {
    expect(ticks("30 2 * * *", "Europe/Stockholm", "2026-10-25T00:30:00Z", 1)).toEqual(["2026-10-26T01:30:00Z"]);
    expect(ticks("30 2 * * *", "Europe/Stockholm", "2026-10-25T00:45:00Z", 1)).toEqual(["2026-10-26T01:30:00Z"]);
  });

  test("each of several hours ticks once", () => {
    expect(ticks("30 */2 * * *", "Europe/Stockholm", "2026-10-24T21:00:00Z", 4)).toEqual([
      "2026-10-24T22:30:00Z",
      "2026-10-25T00:30:00Z",
      "2026-10-25T03:30:00Z",
      "2026-10-25T05:30:00Z",
    ]);
  });

  test.each(["45 * * * *", "45 */1 * * *", "45 0-23 * * *"])("%s goes on through the doubled hour", (cron) => {
    expect(ticks(cron, "Europe/Stockholm", "2026-10-25T00:00:00Z", 3)).toEqual([
      "2026-10-25T00:45:00Z",
      "2026-10-25T01:45:00Z",
      "2026-10-25T02:45:00Z",
    ]);
  });

  test("half an hour, as on Lord Howe, is doubled as well", () => {
    expect(ticks("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2)).toEqual([
      "2026-04-04T14:45:00Z",
      "2026-04-05T15:15:00Z",
    ]);
    expect(ticks("45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z", 3)).toEqual([
      "2026-04-04T14:45:00Z",
      "2026-04-04T15:15:00Z",
      "2026-04-04T16:15:00Z",
    ]);
  });

  test("every hour goes on with the time that passes", () => {
    expect(ticks("0 * * * *", "Europe/Stockholm", "2026-10-24T23:40:00Z", 4)).toEqual([
      "2026-10-25T00:00:00Z",
      "2026-10-25T01:00:00Z",
      "2026-10-25T02:00:00Z",
      "2026-10-25T03:00:00Z",
    ]);
  });
});

describe("a schedule", () => {
  test.each([
    ["0 9 * * 1-5", "2026-01-02T12:00:00Z", "2026-01-05T09:00:00Z"],
    ["0 9 * * mon", "2026-01-02T12:00:00Z", "2026-01-05T09:00:00Z"],
    ["@daily", "2026-01-02T12:00:00Z", "2026-01-03T00:00:00Z"],
    ["@hourly", "2026-01-02T12:00:00Z", "2026-01-02T13:00:00Z"],
    ["*/10 * * * * *", "2026-01-02T12:00:00Z", "2026-01-02T12:00:10Z"],
    ["0 0 29 2 *", "2026-01-02T12:00:00Z", "2028-02-29T00:00:00Z"],
    ["0 0 31 * *", "2026-02-01T00:00:00Z", "2026-03-31T00:00:00Z"],
  ])("%s after %s ticks at %s", (cron, after, expected) => {
    expect(ticks(cron, "UTC", after, 1)).toEqual([expected]);
  });

  test("a tick lies after the moment that it is asked for, not on it", () => {
    expect(nextTick("0 * * * *", "UTC", new Date("2026-01-02T12:00:00.000Z"))?.toISOString()).toBe(
      "2026-01-02T13:00:00.000Z",
    );
  });

  test.each([
    ["0 9 * * *", "Europe/Stockholm", undefined],
    ["@weekly", "UTC", undefined],
    ["0 9 * * *", "Asia/Kolkata", undefined],
    ["0 9 * * *", "US/Eastern", undefined],
    ["0 9 l * fri#2", "UTC", undefined],
    ["* * * *", "UTC", "4 fields"],
    ["5/15 * * * *", "UTC", "*/step"],
    ["2026-01-01T00:00:00", "UTC", "1 field."],
    ["* * * * * * *", "UTC", "7 fields"],
    ["61 * * * *", "UTC", "61"],
    ["", "UTC", "fields"],
    ["0 0 30 2 *", "UTC", "never"],
    ["@sometimes", "UTC", "cron"],
    ["0 9 * * *", "+05:30", "IANA"],
    ["0 9 * * *", "Mars/Olympus", "IANA"],
  ])("%s in %s is told what is wrong with it", (cron, timezone, expected) => {
    const wrong = checkSchedule(cron, timezone);
    if (expected === undefined) expect(wrong).toBeUndefined();
    else expect(wrong).toContain(expected);
  });
});
