import type { StartOptions } from "@rotorsh/sdk/protocol";
import { expect, test } from "vitest";
import { checkStartExpression, isPlain, startValues } from "./start-values.js";

const event = {
  id: "e1",
  name: "order.placed",
  data: { account: "a", n: 7, deep: { x: true }, list: [1, 2], long: "x".repeat(200) },
  ts: 5,
};
const of = (options: StartOptions) => startValues(options, event);

test.each<[string, string | undefined]>([
  ["data.account", '"a"'],
  ["event.data.n", "7"],
  ["7", "7"],
  ["'7'", '"7"'],
  ["event.name", '"order.placed"'],
  ["data.deep", '{"x":true}'],
  ["data.n > 5 ? 'large' : 'small'", '"large"'],
  // What is not there is null; of an idempotency key that is none.
  ["data.none", undefined],
  ["data.none.at.all", undefined],
  ["data.account + 1", undefined],
  ["null", undefined],
])("%s is %s", (expression, text) => {
  expect(of({ idempotency_key: expression }).once).toBe(text);
  expect(of({ batch: { size: 2, timeout_ms: 1, key: expression } }).gathering).toBe(text ?? "null");
  expect(of({ keys: [{ key: expression, limit: 3 }] }).keys).toEqual([{ key: text ?? "null", limit: 3 }]);
  expect(of({ singleton: { key: expression, mode: "skip" } }).singleton).toEqual({
    mode: "skip",
    value: text ?? "null",
  });
});

test("a long value is a hash, and two of them are told apart", () => {
  const values = ["data.long", "data.long + 'y'"].map((key) => of({ idempotency_key: key }).once!);
  expect(values).toEqual([expect.stringMatching(/^sha256:[0-9a-f]{64}$/), expect.stringMatching(/^sha256:/)]);
  expect(values[0]).not.toBe(values[1]);
});

test.each<[string, number]>([
  ["10", 10],
  ["data.n * 2.0", 14],
  ["10.5", 11],
  ["-3", -3],
  ["1000", 100],
  ["-1000", -100],
  ["'high'", 0],
  ["data.none", 0],
  ["0.0 / 0.0", 0],
])("a priority of %s is %d seconds", (priority, seconds) => expect(of({ priority }).priority).toBe(seconds));

test("a singleton that waits is a strict key of limit 1, and comes first", () => {
  const values = of({ singleton: { mode: "wait" }, keys: [{ key: "data.account", limit: 5 }] });
  expect(values.keys).toEqual([
    { key: "null", limit: 1, strict: true },
    { key: '"a"', limit: 5 },
  ]);
  expect(values.singleton).toBeUndefined();
});

test("what needs nothing to be known of the event is plain", () => {
  expect(isPlain({})).toBe(true);
  expect(isPlain({ on_failure: "f", rate_limit: { limit: 1, period_ms: 1_000 } })).toBe(true);
  expect(isPlain({ timeout_ms: 1 })).toBe(false);
});

test("an expression speaks of the event alone, and does not loop in loops", () => {
  expect(checkStartExpression("data.a.b + event.name")).toBeUndefined();
  expect(checkStartExpression("trigger.data.a")).toContain("trigger");
  expect(checkStartExpression("data.a +")).toBeDefined();
  expect(checkStartExpression("data.a.map(x, x.b.map(y, y))")).toContain("A loop within a loop");
});
