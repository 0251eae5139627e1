/** Reports that no call of `step` makes in a single way: here they are recorded as they come over the wire. */

import { expect, test } from "vitest";
import { createFunction } from "../function.js";
import type { AnyReport } from "../protocol.js";
import { recordReports } from "./record.js";
import { World } from "./world.js";

const NOW_MS = Date.parse("2027-01-01T00:00:00Z");
const any: AnyReport = {
  kind: "any",
  key: "first",
  parts: [
    { name: "paid", event: "order.paid", match: { id: 1 } },
    { name: "approved", signal: "approve-1" },
  ],
  timeout_ms: 60_000,
};

/** A run that waits for the first of an event and a signal. */
function waiting() {
  const world = new World([createFunction({ id: "f" }, () => 1)], NOW_MS, undefined);
  const run = world.start("f", { data: null });
  recordReports(world, run, [any]);
  return { world, run, step: run.steps.get("first")! };
}

test("a wait for several ends with the first that comes, by its name", () => {
  const byEvent = waiting();
  byEvent.world.publish({ name: "order.paid", data: { id: 2 } });
  expect(byEvent.step.state).toBe("waiting");
  byEvent.world.publish({ name: "order.paid", data: { id: 1 } });
  expect(byEvent.step).toMatchObject({ state: "completed", output: { name: "paid", data: { id: 1 } } });
  expect(byEvent.world.completeSignal("approve-1", "late")).toBe(false);

  const bySignal = waiting();
  expect(bySignal.world.completeSignal("approve-1", "yes")).toBe(true);
  expect(bySignal.step).toMatchObject({ state: "completed", output: { name: "approved", data: "yes" } });
});

test("it looks back for its event, and its signal may not be another's", () => {
  const { world } = waiting();
  const second = world.start("f", { data: null });
  world.publish({ name: "order.paid", data: { id: 1 } });
  recordReports(world, second, [{ ...any, parts: any.parts.slice(0, 1) }]);
  expect(second.steps.get("first")).toMatchObject({ state: "completed", output: { name: "paid" } });

  const { world: other } = waiting();
  const thief = other.start("f", { data: null });
  recordReports(other, thief, [any]);
  expect(thief.steps.get("first")).toMatchObject({ state: "failed", error: { name: "SignalTakenError" } });
});

test("a report that comes twice, or late, changes nothing", () => {
  const { world, run } = waiting();
  const done = { kind: "run", key: "a", duration_ms: 1 } as const;
  recordReports(world, run, [
    { ...done, attempt: 1, outcome: "retry", error: { name: "E", message: "m" }, delay_ms: 5 },
  ]);
  recordReports(world, run, [{ ...done, attempt: 2, outcome: "completed", output: 1 }]);
  recordReports(world, run, [
    { ...done, attempt: 2, outcome: "completed", output: 2 },
    { ...done, attempt: 3, outcome: "completed", output: 3 },
    { kind: "sleep", key: "a", delay_ms: 1 },
  ]);
  expect(run.steps.get("a")).toMatchObject({ kind: "run", state: "completed", attempt: 2, output: 1, seq: 1 });
});
