import { expect, test } from "vitest";
import { clock, type FeedEntry, feedLine } from "./feed-lines.js";

const at = "2026-11-23T12:01:02.345Z";
const time = clock(at);
const baseUrl = "http://127.0.0.1:7686";
const lineOf = (entry: Omit<FeedEntry, "at">): string => feedLine({ at, ...entry } as FeedEntry, { baseUrl });

test("the time has milliseconds, and is the reader's", () => {
  expect(time).toMatch(/^\d\d:\d\d:02\.345$/);
  expect(clock("never")).toBe("--:--:--.---");
});

const delivery = {
  type: "delivery",
  job: "j1",
  queue: "enrichment",
  kind: "callback",
  attempt: 2,
  outcome: "retry",
  status: 503,
  duration_ms: 12,
};

test("a delivery is one line with what became of it and where to look", () => {
  expect(lineOf({ ...delivery, error: null })).toBe(
    `${time}  delivery  enrichment            #2   failed → retry  503  12 ms      ${baseUrl}/jobs/j1`,
  );
});

test("a delivery that failed says why, in one line without control characters", () => {
  const line = lineOf({ ...delivery, outcome: "failed", status: null, error: "no\nway\u001b[2J" });
  expect(line).toContain("no way[2J  http://");
  expect(line).not.toContain("\n");
});

test("a delivery of a run leads to the run", () => {
  expect(lineOf({ ...delivery, kind: "function", outcome: "waiting" })).toMatch(/waiting .*\/runs\/j1$/);
});

test("a step says its key, and what kind of wait it is", () => {
  const step = { type: "step", job: "r1", function: "outreach", attempt: 1 };
  expect(lineOf({ ...step, key: "fetch", kind: "run", state: "completed" })).toMatch(
    /^\S+ {2}step {6}outreach {14}#1 {3}completed {7}fetch {11}http\S+\/runs\/r1$/,
  );
  expect(lineOf({ ...step, key: "warm-up", kind: "sleep", state: "waiting" })).toContain(
    "waiting         warm-up (sleep)",
  );
});

test("an event says what it started", () => {
  const event = { type: "event", event: "contact.added", id: "e1", duplicate: false };
  expect(lineOf({ ...event, runs: ["r1"], resumed: ["r2", "r3"] })).toContain("1 run started, 2 waits ended");
  expect(lineOf({ ...event, runs: [], resumed: [] })).toContain("no effect yet");
  expect(lineOf({ ...event, duplicate: true, runs: [], resumed: [] })).toContain("duplicate");
});

test("what somebody did by a call says to what", () => {
  expect(lineOf({ type: "changed", action: "run.cancel", id: "r1" })).toMatch(/changed {3}run\.cancel .*r1$/);
});

test("entries of another server, with more or less in them, are printed too", () => {
  expect(lineOf({ type: "enqueued", queue: "q", job: "j", state: "waiting" })).toMatch(/enqueued {2}q .*\/jobs\/j$/);
  expect(lineOf({ type: "news" })).toBe(`${time}  news`);
});

test("colours are used only when asked for", () => {
  const entry = { at, ...delivery };
  expect(feedLine(entry, { baseUrl })).not.toContain("\u001b");
  expect(feedLine(entry, { baseUrl, isColoured: true })).toContain("\u001b[33mfailed → retry\u001b[0m");
});
