import type { Answer } from "@rotorsh/sdk/protocol";
import { expect, test } from "vitest";
import { type Fit, fitOf, type Stored } from "./check.js";

const base = { version: 1, hash: "h" } as const;
const returned = (output: string | object): Answer => ({ ...base, status: "completed", output: output as string });
const threw: Answer = { ...base, status: "failed", error: { name: "TypeError", message: "no" }, retriable: true };
const goesOn: Answer = { ...base, status: "checked", next: ["w"] };
const diverged: Answer = { ...base, status: "diverged", step: "w", recorded: "event", asked: null };

const open: Stored = { state: "waiting", output: null };
const failed: Stored = { state: "failed", output: null };
const completed = (output: string): Stored => ({ state: "completed", output });

test.each<[string, Stored, Answer, Fit["kind"]]>([
  ["an unfinished run that goes on", open, goesOn, "fits"],
  ["an unfinished run that would end", open, returned("x"), "fits"],
  ["an unfinished run whose code throws", open, threw, "error"],
  ["an unfinished run that would be held", open, diverged, "diverges"],
  [
    "a completed run with the same result",
    completed('{"a":1,"b":[{"c":2}]}'),
    returned({ b: [{ c: 2 }], a: 1 }),
    "fits",
  ],
  ["a completed run with another result", completed('{"a":[1,2]}'), returned({ a: [2, 1] }), "otherwise"],
  ["a completed run that would go on", completed("1"), goesOn, "otherwise"],
  ["a completed run whose code throws", completed("1"), threw, "error"],
  ["a completed run that would be held", completed("1"), diverged, "diverges"],
  ["a failed run whose code throws", failed, threw, "fits"],
  ["a failed run that would go on, as one that was ended from outside", failed, goesOn, "fits"],
  ["an answer that is none to a check", open, { ...base, status: "stale" }, "error"],
])("%s", (_what, run, answer, kind) => {
  expect(fitOf(run, answer).kind).toBe(kind);
});
