import { describe, expect, test } from "vitest";
import { limits } from "./limits.js";
import { type DueSchedule, decideTicks } from "./schedule.js";

const at = (time: string): Date => new Date(`2026-03-02T${time}Z`);
const hourly: DueSchedule = {
  cron: "0 * * * *",
  timezone: "UTC",
  overlap: "allow",
  catchUp: "last",
  nextAt: at("08:00:00"),
  busy: false,
};

/** What is decided, as hours and minutes. */
function decided(change: Partial<DueSchedule>, now: string, room = 1_000) {
  const { made, skipped, missed, nextAt } = decideTicks({ ...hourly, ...change }, at(now), room);
  const text = (date: Date): string => date.toISOString().slice(11, 16);
  return {
    made: made.map(text),
    skipped: skipped && [skipped.count, text(skipped.at)],
    missed: missed && [missed.count, text(missed.at)],
    nextAt: text(nextAt),
  };
}

describe("a tick that comes in time", () => {
  test.each(["none", "last", "all"] as const)("is made with catch_up %s", (catchUp) => {
    expect(decided({ catchUp }, "08:00:00.400")).toEqual({
      made: ["08:00"],
      skipped: undefined,
      missed: undefined,
      nextAt: "09:00",
    });
  });

  test("is left out, and counted, where the job before is not finished and overlap says skip", () => {
    expect(decided({ overlap: "skip", busy: true }, "08:00:01")).toMatchObject({ made: [], skipped: [1, "08:00"] });
    expect(decided({ overlap: "skip" }, "08:00:01")).toMatchObject({ made: ["08:00"], skipped: undefined });
    expect(decided({ busy: true }, "08:00:01")).toMatchObject({ made: ["08:00"], skipped: undefined });
  });
});

describe("ticks of 08:00, 09:00 and 10:00 that are found at once", () => {
  test.each([
    { catchUp: "last", now: "10:30:00", made: ["10:00"], missed: [2, "09:00"] },
    { catchUp: "none", now: "10:30:00", made: [], missed: [3, "10:00"] },
    { catchUp: "none", now: "10:01:00", made: ["10:00"], missed: [2, "09:00"] },
    { catchUp: "none", now: "10:01:00.001", made: [], missed: [3, "10:00"] },
    { catchUp: "all", now: "10:30:00", made: ["08:00", "09:00", "10:00"], missed: undefined },
  ] as const)("with catch_up $catchUp at $now are made as it says", ({ catchUp, now, made, missed }) => {
    expect(decided({ catchUp }, now)).toEqual({ made, skipped: undefined, missed, nextAt: "11:00" });
  });

  test("overlap each other: of all, the first is made", () => {
    expect(decided({ catchUp: "all", overlap: "skip" }, "10:30:00")).toMatchObject({
      made: ["08:00"],
      skipped: [2, "10:00"],
      nextAt: "11:00",
    });
    expect(decided({ catchUp: "all", overlap: "skip", busy: true }, "10:30:00")).toMatchObject({
      made: [],
      skipped: [3, "10:00"],
    });
  });

  test("go on with the first for which there was no room", () => {
    expect(decided({ catchUp: "all" }, "10:30:00", 2)).toEqual({
      made: ["08:00", "09:00"],
      skipped: undefined,
      missed: undefined,
      nextAt: "10:00",
    });
  });
});

describe("more missed ticks than are made up for", () => {
  test("lose their oldest", () => {
    const { made, missed } = decideTicks({ ...hourly, cron: "* * * * *", catchUp: "all" }, at("10:30:30"), 1_000);
    expect(made).toHaveLength(limits.catchUp);
    expect(made[0]).toEqual(at("08:51:00"));
    expect(made.at(-1)).toEqual(at("10:30:00"));
    expect(missed).toEqual({ count: 51, at: at("08:50:00") });
  });

  test.each(["* * * * * *", "* 8-9 * * * *", "*/7 * * * * *"])("are found quickly among very many (%s)", (cron) => {
    const now = new Date("2026-05-02T08:20:30Z");
    const all = decideTicks({ ...hourly, cron, catchUp: "all" }, now, 1_000);
    // One by one, from a little before.
    const near = decideTicks({ ...hourly, cron, catchUp: "all", nextAt: all.made[0]! }, now, 1_000);
    expect(all.made).toHaveLength(limits.catchUp);
    expect(near.made.map(String)).toEqual(all.made.map(String));
    expect(near.missed).toBeUndefined();
    expect(all.missed?.count).toBe(limits.missedCounted - limits.catchUp);
    const last = decideTicks({ ...hourly, cron, catchUp: "last" }, now, 1_000);
    expect(last.made).toEqual(all.made.slice(-1));
    expect(last.missed?.at).toEqual(all.made.at(-2));
    expect(last.nextAt).toEqual(all.nextAt);
  });
});
