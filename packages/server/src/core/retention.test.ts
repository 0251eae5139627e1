import { expect, test } from "vitest";
import { ConfigError, readConfig } from "../config.js";
import { DEFAULT_RETENTION, readRetention, sweepEveryMs, termsOf } from "./retention.js";

const DAY = 86_400_000;

test("what is left out has its default", () => {
  expect(readRetention("")).toEqual(DEFAULT_RETENTION);
  expect(readRetention(" completed=1h, audit = 90d ,")).toEqual({
    ...DEFAULT_RETENTION,
    completedMs: DAY / 24,
    auditMs: 90 * DAY,
  });
});

test.each([
  ["done=7d", "completed, failed, cancelled"],
  ["completed", "write a number and a unit"],
  ["completed=7", "write a number and a unit"],
  ["completed=5s", "at least 1m"],
  ["events=1h", "at least 1d"],
  ["audit=12h", "at least 1d"],
  ["failed=20000d", "too long"],
  ["failed=1d,failed=2d", "twice"],
])("ROTOR_RETENTION=%s is refused with what to write", (text, hint) => {
  const read = () => readConfig({ ROTOR_RETENTION: text }, { mode: "dev" });
  expect(read).toThrow(ConfigError);
  expect(read).toThrow(hint);
  expect(read).toThrow(/^ROTOR_RETENTION: /);
});

test("a queue's own terms go before the system's", () => {
  expect(termsOf(DEFAULT_RETENTION, { failedMs: DAY })).toEqual({
    completedMs: 7 * DAY,
    failedMs: DAY,
    cancelledMs: 7 * DAY,
  });
});

test("things leave late by a twentieth of their term, by ten minutes at most", () => {
  expect([60_000, 3_600_000, 7 * DAY].map(sweepEveryMs)).toEqual([3_000, 180_000, 600_000]);
});
