/** Pages of `docs/` for those who have an endpoint, walked as they stand; their tables compared with what the server reckons. */
import { readdirSync } from "node:fs";
import { formatDuration, parseDuration } from "@rotorsh/sdk/duration";
import { expect, test } from "vitest";
import { type Backoff, backoffMs, DEFAULT_BACKOFF } from "../../packages/server/src/core/backoff.js";
import { nextTicks } from "../../packages/server/src/core/cron.js";
import { brokenLinks, readText, root, tableOf } from "./testing-kit/page.js";
import { walk } from "./testing-kit/walk.js";

test.each(["callbacks", "retries-and-dead-letters", "limits", "schedules", "signatures"])("%s", async (page) => {
  const { left } = await walk(`docs/${page}.md`);
  expect(left).toEqual([]);
});

test("the delays between attempts are as the table has them", () => {
  const rows = tableOf(readText("docs/retries-and-dead-letters.md"), "delays");
  const attempts = rows[0]!.slice(1).map((cell) => Number(/\d+/.exec(cell)![0]));
  for (const [retry, ...delays] of rows.slice(1)) {
    const {
      backoff = "exponential",
      min,
      max,
      factor = DEFAULT_BACKOFF.factor,
    } = JSON.parse(retry!.replaceAll("`", ""));
    const listMs = Array.isArray(backoff) ? backoff.map((each) => parseDuration(each)) : [];
    const policy: Backoff = {
      kind: Array.isArray(backoff) ? "list" : backoff,
      listMs,
      factor,
      minMs: min === undefined ? DEFAULT_BACKOFF.minMs : parseDuration(min),
      maxMs: max === undefined ? DEFAULT_BACKOFF.maxMs : parseDuration(max),
      jitter: "none",
    };
    expect(
      delays.map((delay) => parseDuration(delay)),
      retry,
    ).toEqual(attempts.map((n) => backoffMs(policy, n, 0)));
    const halves = attempts.map((n) => backoffMs({ ...policy, jitter: "half" }, n, 0));
    expect(halves, retry).toEqual(delays.map((delay) => parseDuration(delay) / 2));
  }
  expect(rows.length).toBeGreaterThan(5);
  expect(formatDuration(DEFAULT_BACKOFF.minMs)).toBe("2s");
});

const inUtc = (date: Date): string => date.toISOString().slice(0, 16).replace("T", " ");
const instants = (text: string): string[] => text.match(/\d{4}-\d\d-\d\d \d\d:\d\d/g) ?? [];

test("expressions fire when the table says", () => {
  const [, ...rows] = tableOf(readText("docs/schedules.md"), "cron");
  for (const [cron, fires] of rows) {
    const ticks = nextTicks(
      cron!.replaceAll("`", ""),
      "UTC",
      new Date("2026-07-01T12:00:00Z"),
      instants(fires!).length,
    );
    expect(ticks.map(inUtc), cron).toEqual(instants(fires!));
  }
  expect(rows.length).toBeGreaterThan(4);
});

test("a change of the clocks does what the table says", () => {
  const [, ...rows] = tableOf(readText("docs/schedules.md"), "clocks");
  for (const [cron, from, fires] of rows) {
    const after = new Date(`${from!.replace(" ", "T")}:00Z`);
    const ticks = nextTicks(cron!.replaceAll("`", ""), "Europe/Stockholm", after, instants(fires!).length);
    expect(ticks.map(inUtc), cron).toEqual(instants(fires!));
  }
  expect(rows.length).toBe(4);
});

test("no link leads nowhere", () => {
  const pages = ["docs/", "docs/workflows/"].flatMap((folder) =>
    readdirSync(new URL(folder, root))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `${folder}${name}`),
  );
  expect(pages.length).toBeGreaterThan(20);
  expect(["README.md", "ARCHITECTURE.md", ...pages].flatMap(brokenLinks)).toEqual([]);
});

test("every page about workflows is walked by a test", () => {
  const tests = ["steps", "workflows", "quickstart"].map((name) => readText(`examples/docs/${name}.test.ts`)).join();
  const pages = readdirSync(new URL("docs/workflows/", root)).map((name) => name.replace(/\.md$/, ""));
  expect(
    pages.filter((name) => !tests.includes(`page("${name}"`) && !tests.includes(`docs/workflows/${name}.md`)),
  ).toEqual([]);
});
