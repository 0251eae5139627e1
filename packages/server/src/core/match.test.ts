import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { limits } from "./limits.js";
import { checkExpression, compile, matches, triggers } from "./match.js";
import { eventKey, keysOfEvent } from "./wait-key.js";

const event = (data: unknown) => ({ id: "e", name: "ping", data, ts: 0 });
const trigger = event({ contact: "me", n: 1, nothing: null, list: [1], deep: { x: "y" } });

describe("the equality by which a wait is found", () => {
  test.each<[string, string | { [path: string]: string | number | boolean | null } | undefined, unknown]>([
    ["nothing", undefined, undefined],
    ["an object's first", { "a.b": 1, c: 2 }, { path: "a.b", value: 1 }],
    ["an empty object", {}, undefined],
    ["data", "data.a == 1", { path: "a", value: 1 }],
    ["event.data", "event.data.a.b == 'x'", { path: "a.b", value: "x" }],
    ["the literal first", "true == data.a", { path: "a", value: true }],
    ["null", "data.a == null", { path: "a", value: null }],
    ["a double", "data.a == 1.5", { path: "a", value: 1.5 }],
    ["the first of several", "data.a == 1 && data.b == 2", { path: "a", value: 1 }],
    ["one behind something else", "data.z > 1 && (data.b == 2 && true)", { path: "b", value: 2 }],
    ["a field of the trigger", "data.a == trigger.data.contact", { path: "a", value: "me" }],
    ["a deep field of the trigger", "data.a == trigger.data.deep.x", { path: "a", value: "y" }],
    ["null in the trigger", "data.a == trigger.data.nothing", { path: "a", value: null }],
    ["a list of the trigger", "data.a == trigger.data.list", undefined],
    ["what the trigger has not", "data.a == trigger.data.none", undefined],
    ["either", "data.a == 1 || data.a == 2", undefined],
    ["not", "!(data.a == 1)", undefined],
    ["unequal", "data.a != 1", undefined],
    ["a choice", "data.a == 1 ? true : false", undefined],
    ["the data itself", "data == 1", undefined],
    ["the event's name", "event.name == 'ping'", undefined],
    ["two fields", "data.a == data.b", undefined],
    ["an index", "data.a[0] == 1", undefined],
    ["a number too large to be exact", "data.a == 9007199254740993", undefined],
  ])("%s", (_, match, expected) => {
    const compiled = compile(match, trigger);
    expect(compiled.ok && compiled.equality).toEqual(expected);
  });
});

describe("an expression", () => {
  test.each([
    ["data.a ==", true],
    ["data.a == 1 &&& b", true],
    ["nobody.a == 1", true],
    ["data.a + ", true],
    ["'a text'", true],
    ["1 + 1", true],
    ["x".repeat(limits.expressionLength + 1), true],
    [`${"(".repeat(100)}true${")".repeat(100)}`, true],
    [Array.from({ length: 300 }, () => "data.a").join(" == 1 || "), true],
    ["data.a", false],
    ["true", false],
    ["has(data.a) && data.a == 1", false],
    ["data.list.exists(x, x == 1)", false],
    ["data.name.startsWith('a')", false],
  ])("%.40s is told what is wrong with it: %s", (expression, wrong) => {
    expect(checkExpression(expression) !== undefined).toBe(wrong);
  });

  test("is never an error when it meets an event", () => {
    for (const data of [null, 1, "a", [], {}, { a: {} }, { a: [] }, { a: null }]) {
      for (const cel of [
        "data.a.b == 1",
        "data.a > 1",
        "data.a.startsWith('x')",
        "data.a",
        "data[0] == 1",
        "trigger.data.a == 1",
        "data.a / 0 == 1",
      ]) {
        expect(matches({ cel }, event(data))).toBe(false);
      }
    }
  });

  test("does not reach what JavaScript gives every object", () => {
    for (const path of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
      expect(matches({ cel: `data.${path} == data.${path}` }, event({}))).toBe(false);
      expect(matches({ cel: `has(data.${path})` }, event({}))).toBe(false);
    }
  });

  test("of a trigger: none is always true, and a broken one never", () => {
    expect([
      triggers(null, event(1)),
      triggers("data.a == 1", event({ a: 1 })),
      triggers("data.a == 1", event(1)),
      triggers("(", event(1)),
    ]).toEqual([true, true, false, false]);
  });
});

type Scalar = string | number | boolean | null;

/** Paths through objects, and what is at their ends. */
function leaves(value: unknown, path: string): [string, Scalar][] {
  if (value === null || typeof value !== "object") return [[path, value as Scalar]];
  if (Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([name, inner]) => leaves(inner, path === "" ? name : `${path}.${name}`));
}

test("no event that meets a condition is without the key under which its wait is stored", () => {
  const scalar = fc.oneof(
    fc.constantFrom(0, -0, 1, 1.5, 1e21, 1e-7, "", "1", "\n", '"', true, false, null),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string(),
    fc.integer(),
  );
  const name = fc.constantFrom("a", "b", "c");
  const data = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      scalar,
      fc.dictionary(name, tie("value"), { maxKeys: 3 }),
      fc.array(tie("value"), { maxLength: 2 }),
    ),
  })).value;
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("."));
  // Three times of four, what is asked for is there.
  const asked = fc
    .tuple(fc.dictionary(name, data, { minKeys: 1, maxKeys: 3 }), path, scalar, fc.nat())
    .map(([sent, where, other, dice]) => {
      const there = leaves(sent, "");
      if (dice % 4 === 0 || there.length === 0) return { data: sent as unknown, where, value: other };
      const [found, value] = there[dice % there.length]!;
      return { data: sent as unknown, where: found, value };
    });
  let met = 0;
  fc.assert(
    fc.property(asked, fc.boolean(), ({ data: sent, where, value }, asText) => {
      const compiled = compile(asText ? `data.${where} == ${JSON.stringify(value)}` : { [where]: value }, trigger);
      // A literal that CEL does not know, such as 1e+21 in its own way, fails when it is stored.
      if (!compiled.ok) return;
      const one = event(JSON.parse(JSON.stringify(sent)));
      if (!matches(compiled.match, one)) return;
      met++;
      const key = compiled.equality === undefined ? eventKey("w", "ping") : eventKey("w", "ping", compiled.equality);
      expect(keysOfEvent("w", "ping", one.data)).toContain(key);
    }),
    { numRuns: 2_000 },
  );
  expect(met).toBeGreaterThan(200);
});
