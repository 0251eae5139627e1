import { describe, expect, expectTypeOf, test } from "vitest";
import { defineEvent } from "./events.js";
import type { Step, WaitPart } from "./step.js";
import { peerFor, reportsOf } from "./testing-kit/peer-for.js";

const paid = defineEvent<{ sum: number }>("order.paid");

describe("waitForAny", () => {
  test("reports its parts in the order of the code, and gives the name and data of the first that comes", async () => {
    const peer = await peerFor(async ({ step }) => {
      const first = await step.waitForAny(
        "w",
        { paid: { event: paid, match: { id: 7 } }, late: { event: "order.late", match: "data.id == 7" }, stop: {} },
        { timeout: "7d", since: "run-start" },
      );
      const second = await step.waitForAny("w", { a: { signal: "mine" }, b: {} }, { timeout: "1d" });
      return [first, second];
    });
    const run = peer.create("f");
    expect(await peer.deliver(run)).toMatchObject({
      reports: [
        {
          kind: "any",
          key: "w",
          parts: [
            { name: "paid", event: "order.paid", match: { id: 7 } },
            { name: "late", event: "order.late", match: "data.id == 7" },
            { name: "stop", signal: "run1/w/stop" },
          ],
          timeout_ms: 604_800_000,
        },
      ],
    });
    run.resume("order.late", { id: 7 });
    expect(await peer.deliver(run)).toMatchObject({
      reports: [
        {
          key: "w#2",
          parts: [
            { name: "a", signal: "mine" },
            { name: "b", signal: "run1/w#2/b" },
          ],
        },
      ],
    });
    expect(await peer.finish(run)).toMatchObject({ output: [{ name: "late", data: { id: 7 } }, null] });
  });

  test("looks back as a wait for one event does, and the wait behind it to where its event came", async () => {
    const parts = { a: { event: "a" }, s: {} };
    const peer = await peerFor(async ({ step }) => {
      await step.run("one", () => 1);
      await step.run("two", () => 2);
      await step.waitForAny("first", parts, { timeout: "1d" });
      await step.waitForAny("second", parts, { timeout: "1d" });
      await step.waitForAny("now", parts, { timeout: "1d", since: "now" });
    });
    const run = peer.create("f");
    await peer.finish(run);
    const reports = [...reportsOf(peer).flat(), ...run.answers.flatMap((one) => ("reports" in one ? one.reports : []))];
    const waits = reports.flatMap((one) => (one.kind === "any" ? [[one.after, one.previous, one.since_ms]] : []));
    expect(waits).toEqual([
      ["one", undefined, undefined],
      ["two", "first", undefined],
      [undefined, undefined, 0],
    ]);
  });

  test.each<[string, unknown, RegExp]>([
    ["nothing", {}, /name from 1 to 20 things/],
    ["no object", null, /name from 1 to 20 things/],
    ["too many", Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`p${n}`, {}])), /name from 1 to 20 things/],
    ["an unknown key", { a: { evnt: "x" } }, /a: unknown evnt; write \{ event, match\? \} or \{ signal\? \}/],
    ["both", { a: { event: "x", signal: "y" } }, /a: it is an event or a signal, not both/],
    ["a match without an event", { a: { match: { id: 1 } } }, /a: match is for an event/],
    ["an empty event", { a: { event: "" } }, /a: event: write its name/],
    ["an empty signal", { a: { signal: "" } }, /a: signal is its id/],
    ["an undefined in a match", { a: { event: "x", match: { id: undefined } } }, /match.id is undefined/],
    ["an empty match", { a: { event: "x", match: {} } }, /an empty match would match every event/],
    ["a name that is too long", { ["n".repeat(65)]: {} }, /a name has 1 to 64 characters/],
    ["a part that is no object", { a: "x" }, /a: write \{ event, match\? \} or \{ signal\? \}/],
  ])("refuses %s with what to write", async (_, parts, message) => {
    const peer = await peerFor(({ step }) =>
      step.waitForAny("w", parts as Record<string, WaitPart>, { timeout: "1d" }),
    );
    expect(await peer.deliver(peer.create("f"))).toMatchObject({
      status: "failed",
      error: { message: expect.stringMatching(message) },
    });
  });
});

test("its result is a union by name, each with the data of its event", () => {
  const code = async (step: Step) => {
    const first = await step.waitForAny(
      "w",
      { paid: { event: paid }, other: { event: "x" }, stop: {} },
      { timeout: "1d" },
    );
    expectTypeOf(first?.name).toEqualTypeOf<"paid" | "other" | "stop" | undefined>();
    if (first?.name === "paid") expectTypeOf(first.data).toEqualTypeOf<{ sum: number }>();
    if (first?.name === "other") expectTypeOf(first.data).toBeAny();
    // @ts-expect-error a part is an event or a signal
    await step.waitForAny("w", { both: { event: "x", signal: "y" } }, { timeout: "1d" });
    // @ts-expect-error a bare number has no unit
    await step.waitForAny("w", { stop: {} }, { timeout: 5 });
  };
  expect(code).toBeTypeOf("function");
});
