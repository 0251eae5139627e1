import { expect, test } from "vitest";
import { checkExpression, compile, matches } from "./match.js";
import { checkKeyExpression } from "./rate-key.js";

test("a loop within a loop is refused, wherever an expression may stand; loops side by side are not", () => {
  const nested = "data.a.all(x, data.b.exists(y, y == x))";
  expect(checkExpression(nested)).toMatch(/loop within a loop/);
  expect(checkKeyExpression("payload.a.map(x, payload.a.map(y, payload.a.map(z, z)))")).toMatch(/loop within a loop/);
  expect(checkExpression("data.a.exists(x, x == 1) && data.b.all(x, x > 0)")).toBeUndefined();
  expect(checkExpression("data.a.filter(x, x > 0).exists(x, x == 2)")).toBeUndefined();
});

test("a regular expression is refused", () => {
  expect(checkExpression('data.name.matches("^(a+)+$")')).toMatch(/not supported/);
  expect(checkExpression('data.name.startsWith("a")')).toBeUndefined();
});

test.each([
  'data.items.exists(x, data.text.contains("a"))',
  "data.items.exists(x, x in data.others)",
  "data.items.exists(x, -1 in data.others)",
  "data.items.exists(x, (data.a + x) == x)",
  "data.items.exists(x, data.a == data.b)",
  "data.items.exists(x, size(data.a) == 1)",
  "data.items.exists(x, data.map[data.a] == x)",
  "data.items.map(x, data.text) == data.items.map(x, data.other)",
  "data.items.map(x, [data.text]) == [[]]",
  "data.items.map(x, true ? data.text : x) == []",
  "data.items.exists(x, true ? data.a == data.b : true)",
])("what a loop would go through again for each element is refused: %s", (expression) => {
  expect(checkExpression(expression)).toMatch(/what is not its x can only be compared to it/);
});

test.each([
  "data.items.exists(x, x.id == trigger.data.id)",
  "data.items.exists(x, x.id == data.names[x.name] && x.price * 2 + x.tax > data.least)",
  'data.items.filter(x, x.tags.exists_one != 1 && !(x.name in ["a", "b"])).size() > 1',
  "data.items.all(x, has(data.other) || has(x.b))",
  'data.items.exists(x, x.name.lowerAscii().contains("ada"))',
  "data.items.filter(x, x > 1).map(x, x + 1) == [3]",
])("what costs no more than its list is not: %s", (expression) => {
  expect(checkExpression(expression)).toBeUndefined();
});

test("what could grow is refused: map upon map, join, and more than twenty steps", () => {
  expect(checkExpression("data.s.map(x, x + x).map(x, x + x) == []")).toMatch(/filter first/);
  expect(checkExpression("data.list.join(data.text) == data.text")).toMatch(/join/);
  const sum = (parts: number): string => `(${new Array(parts).fill("data.s").join(" + ")}).contains("z")`;
  expect(checkExpression(sum(21))).toMatch(/20 calls.*has 21/);
  expect(checkExpression(sum(20))).toBeUndefined();
});

test("what is taken is done in a moment, with a mebibyte of data", () => {
  const half = "x".repeat(500_000);
  const items = Array.from({ length: 100_000 }, (_, n) => n % 10);
  const trigger = { id: "t", name: "t", data: { id: half }, ts: 0 };
  for (const [expression, data] of [
    ["data.items.exists(x, x == trigger.data.id)", { items }],
    ["data.items.map(x, x + x) == data.items.map(x, x * 3)", { items }],
    [`(${new Array(19).fill("data.s").join(" + ")}).contains("zz")`, { s: half + half }],
    [new Array(20).fill("-1 in data.items").join(" || "), { items: [...items, ...items, ...items, ...items] }],
    ['data.s.split("").exists(x, x == "z")', { s: half }],
  ] as const) {
    const compiled = compile(expression, trigger);
    if (!compiled.ok) throw new Error(compiled.message);
    const begun = process.cpuUsage();
    expect(matches(compiled.match, { id: "e", name: "e", data, ts: 0 })).toBe(false);
    // It was minutes. By what it cost and not by the clock: a busy machine takes its time.
    const { user, system } = process.cpuUsage(begun);
    expect([expression.slice(0, 40), user + system < 3_000_000]).toEqual([expression.slice(0, 40), true]);
  }
});
