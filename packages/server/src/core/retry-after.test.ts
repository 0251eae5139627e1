import { expect, it } from "vitest";
import { parseRetryAfter } from "./retry-after.js";

const nowMs = Date.UTC(2026, 10, 23, 12, 0, 0);
const dayMs = 86_400_000;

it.each([
  ["0", 0],
  ["1", 1_000],
  ["120", 120_000],
  [" 120 ", 120_000],
  ["86400", dayMs],
  ["86401", dayMs],
  ["1000000000000", dayMs],
  ["9".repeat(60), dayMs],
  ["Mon, 23 Nov 2026 12:00:30 GMT", 30_000],
  ["Monday, 23-Nov-26 12:00:30 GMT", 30_000],
  ["Mon Nov 23 12:00:30 2026", 30_000],
  ["Mon, 23 Nov 2026 11:59:00 GMT", 0],
  ["Sun, 06 Nov 1994 08:49:37 GMT", 0],
  ["Thu, 23 Nov 2090 12:00:00 GMT", dayMs],
])("Retry-After: %s is %d ms", (header, delayMs) => {
  expect(parseRetryAfter(header, nowMs)).toBe(delayMs);
});

it.each([
  undefined,
  "",
  "-1",
  "+5",
  "1.5",
  "1e12",
  "0x10",
  "soon",
  "120, 240",
  "120,",
  "120 s",
  "NaN",
  "Mon, 23 Nov 2026 12:00:30",
  "Mon, 23 Nov 2026 12:00:30 +0100",
  "Mon, 23 Nov 2026 25:00:30 GMT",
  "Mon, 23 Nov 2026 12:00:30 GMT, Mon, 23 Nov 2026 12:00:30 GMT",
  "2026-11-23T12:00:30Z",
  "9".repeat(1_000),
])("Retry-After: %s counts as not sent", (header) => {
  expect(parseRetryAfter(header, nowMs)).toBeUndefined();
});
