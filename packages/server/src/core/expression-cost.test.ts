import { expect, test } from "vitest";
import { checkExpression } from "./match.js";
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
