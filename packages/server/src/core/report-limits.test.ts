import type { Report } from "@rotorsh/sdk/protocol";
import { expect, test } from "vitest";
import { limits } from "./limits.js";
import { outputTooLarge } from "./report-limits.js";

const report = (key: string, output: string): Report => ({
  kind: "run",
  key,
  attempt: 1,
  duration_ms: 0,
  outcome: "completed",
  output,
});

test("an output is measured as the JSON that is stored, in bytes, and the step is named", () => {
  // Two bytes a character, and two quotes.
  const most = "é".repeat(limits.stepOutputBytes / 2 - 1);
  expect(outputTooLarge([report("a", most)], limits.stepOutputBytes + 100)).toBeUndefined();
  expect(outputTooLarge([report("a", "small"), report("b", `${most}é`)], 2 * limits.stepOutputBytes)).toEqual({
    name: "OutputTooLargeError",
    message: `The output of step "b" is ${limits.stepOutputBytes + 2} bytes, and at most ${limits.stepOutputBytes} are kept: store it elsewhere and return a reference to it.`,
  });
});

test("what came in a body that is small enough is not looked at", () => {
  expect(outputTooLarge([report("a", "x".repeat(limits.stepOutputBytes))], limits.stepOutputBytes)).toBeUndefined();
});
