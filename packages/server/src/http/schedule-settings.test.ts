/** What a schedule's answer says of the ticks to come. */
import { expect, test } from "vitest";
import type { Schedule } from "../store/schedules.js";
import { viewOf } from "./schedule-settings.js";

const daily: Schedule = {
  id: 1,
  workspace: "default",
  name: "daily",
  queueId: 1,
  queue: "clocked",
  kind: "callback",
  cron: "0 3 * * *",
  timezone: "UTC",
  body: Buffer.from("null"),
  contentType: "application/json",
  overlap: "allow",
  catchUp: "last",
  owned: false,
  pausedAt: null,
  nextAt: new Date("2026-03-28T03:00:00Z"),
  lastAt: null,
  lastJobId: null,
  skipped: 0,
  skippedAt: null,
  missed: 0,
  missedAt: null,
};
const firesAt = (now: string): string[] => viewOf(daily, new Date(now)).next_fires.map((fire) => fire.slice(5, 13));

test("the next five ticks begin with the one that is to be made, even if it came due while the answer was on its way", () => {
  expect(firesAt("2026-03-27T12:00:00Z")).toEqual(["03-28T03", "03-29T03", "03-30T03", "03-31T03", "04-01T03"]);
  expect(firesAt("2026-03-28T03:00:00.002Z")).toEqual(["03-28T03", "03-29T03", "03-30T03", "03-31T03", "04-01T03"]);
});

test("ticks that nobody made do not stand before those to come: only the first of them does", () => {
  expect(firesAt("2026-03-30T12:00:00Z")).toEqual(["03-28T03", "03-31T03", "04-01T03", "04-02T03", "04-03T03"]);
});
