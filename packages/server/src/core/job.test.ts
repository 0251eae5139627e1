import { expect, test } from "vitest";
import type { Backoff } from "./backoff.js";
import { decide, type End, type Outcome, type QueueKind, retryOrFail } from "./job.js";
import { limits } from "./limits.js";

const backoff: Backoff = { kind: "fixed", factor: 1, minMs: 1_000, maxMs: 1_000, jitter: "none", listMs: [] };
const policy = { maxAttempts: 3, backoff };
const error = { name: "Error", message: "no" };

const decided = (kind: QueueKind, attempt: number, end: End): Outcome | undefined =>
  decide({ kind, attempt, asyncTimeoutMs: 5_000 }, end, policy, 0);
/** outcome, where to, when, and what becomes of the attempt. */
const short = (outcome: Outcome | undefined) =>
  outcome && [outcome.outcome, outcome.state, outcome.delayMs, outcome.attempt];

const failed = (more: Partial<Extract<End, { kind: "failed" }>> = {}): End => ({
  kind: "failed",
  error,
  final: false,
  ...more,
});
const both = ["callback", "function"] as const;

const table: readonly (readonly [string, readonly QueueKind[], number, End, ReturnType<typeof short>])[] = [
  ["done", both, 1, { kind: "done", output: "1" }, ["completed", "completed", null, "keep"]],
  ["done in the last attempt", both, 3, { kind: "done", output: null }, ["completed", "completed", null, "keep"]],
  ["accepted", ["callback"], 1, { kind: "accepted" }, ["accepted", "active", 5_000, "keep"]],
  ["failed", both, 1, failed(), ["retry", "waiting", 1_000, "keep"]],
  ["failed in the last attempt but one", both, 2, failed(), ["retry", "waiting", 1_000, "keep"]],
  ["failed in the last attempt", both, 3, failed(), ["failed", "failed", null, "keep"]],
  ["failed past the last attempt", both, 4, failed(), ["failed", "failed", null, "keep"]],
  ["failed for good", both, 1, failed({ final: true }), ["failed", "failed", null, "keep"]],
  ["failed, retry after", both, 1, failed({ retryAfterMs: 7_000 }), ["retry", "waiting", 7_000, "keep"]],
  ["failed, retry at once", both, 1, failed({ retryAfterMs: 0 }), ["retry", "waiting", 0, "keep"]],
  [
    "failed, retry in a year",
    both,
    1,
    failed({ retryAfterMs: 1e12 }),
    ["retry", "waiting", limits.retryAfterMs, "keep"],
  ],
  [
    "failed in the last attempt, retry after",
    both,
    3,
    failed({ retryAfterMs: 7_000 }),
    ["failed", "failed", null, "keep"],
  ],
  ["unreached, a callback", ["callback"], 1, { kind: "unreached", error }, ["retry", "waiting", 1_000, "keep"]],
  [
    "unreached in the last attempt, a callback",
    ["callback"],
    3,
    { kind: "unreached", error },
    ["failed", "failed", null, "keep"],
  ],
  [
    "unreached, a run",
    ["function"],
    3,
    { kind: "unreached", error },
    ["unreached", "waiting", limits.breakerMinMs, "give-back"],
  ],
  ["waiting", ["function"], 1, { kind: "waiting", reports: [], knownSeq: 4 }, ["waiting", "waiting", null, "keep"]],
  ["yield", ["function"], 1, { kind: "yield", reports: [], knownSeq: 4 }, ["yield", "waiting", 0, "give-back"]],
  ["released", both, 1, { kind: "released" }, ["released", "waiting", 0, "give-back"]],
  ["diverged", ["function"], 3, { kind: "diverged", error }, ["held", "waiting", limits.heldMs, "give-back"]],
  ["stale", both, 1, { kind: "stale" }, undefined],
];

test.each(table.flatMap(([name, kinds, ...rest]) => kinds.map((kind) => [name, kind, ...rest] as const)))(
  "%s (%s)",
  (_name, kind, attempt, end, expected) => {
    expect(short(decided(kind, attempt, end))).toEqual(expected);
  },
);

test("only a run that diverged is held", () => {
  const held = table.filter(([, kinds, attempt, end]) => decided(kinds[0]!, attempt, end)?.held);
  expect(held.map(([name]) => name)).toEqual(["diverged"]);
});

test("a back-off and a last attempt follow from the number of the attempt; what an endpoint asks for does not", () => {
  const byAttempt = table.filter(([, kinds, attempt, end]) => decided(kinds[0]!, attempt, end)?.byAttempt);
  expect(byAttempt.length).toBeGreaterThan(1);
  expect(byAttempt.every(([, , , end]) => end.kind === "failed" || end.kind === "unreached")).toBe(true);
  expect(retryOrFail(3, error, undefined, policy, 0)).toMatchObject({ state: "failed", byAttempt: true });
  expect(retryOrFail(1, error, undefined, policy, 0)).toMatchObject({ state: "waiting", byAttempt: true });
  expect(retryOrFail(1, error, 5_000, policy, 0)).toMatchObject({ delayMs: 5_000, byAttempt: false });
});

test("reports and what the app knew are handed on, and an error is kept", () => {
  const reports = [{ kind: "sleep", key: "nap", delay_ms: 1 }] as const;
  expect(decided("function", 1, { kind: "yield", reports, knownSeq: 4 })).toMatchObject({ reports, knownSeq: 4 });
  expect(decided("function", 1, failed())?.error).toEqual(error);
});

test("an answer that looks wrong completes its job, with a warning on the attempt", () => {
  const looksWrong = decided("callback", 1, { kind: "done", output: "<p>", note: "answered with HTML" });
  expect(looksWrong).toMatchObject({ state: "completed", error: { name: "Warning", message: "answered with HTML" } });
  expect(decided("callback", 1, { kind: "done", output: "1" })).toMatchObject({ state: "completed", error: null });
});
