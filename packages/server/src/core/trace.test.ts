import { expect, it } from "vitest";
import { isTraceparent, newTraceparent, spanOf } from "./trace.js";

const GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

it("only a trace and a span that are not zero, of version 00, are a traceparent", () => {
  expect(isTraceparent(GIVEN)).toBe(true);
  for (const bad of [
    undefined,
    "",
    GIVEN.toUpperCase(),
    `${GIVEN}-x`,
    GIVEN.replace(/^00/, "01"),
    `00-${"0".repeat(32)}-00f067aa0ba902b7-00`,
    `00-4bf92f3577b34da6a3ce929d0e0e4736-${"0".repeat(16)}-00`,
  ])
    expect(isTraceparent(bad)).toBe(false);
});

it("a span keeps trace and flags, and is new each time", () => {
  const spans = [spanOf(GIVEN), spanOf(GIVEN)];
  for (const span of spans) expect(span).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-00$/);
  expect(new Set([...spans, GIVEN]).size).toBe(3);
});

it("without a trace to go on, a run's id is one", () => {
  for (const none of [undefined, null, "nonsense"])
    expect(spanOf(none, "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000")).toMatch(
      /^00-0199aaaabbbb7ccc8dddeeeeffff0000-[0-9a-f]{16}-01$/,
    );
});

it.each([undefined, "not-a-uuid", "00000000-0000-0000-0000-000000000000"])("of %s a trace is random", (id) => {
  expect(newTraceparent(id)).toMatch(/^00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(newTraceparent(id)).not.toBe(newTraceparent(id));
});
