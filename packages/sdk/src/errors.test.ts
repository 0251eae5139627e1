import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  fromWireError,
  isNonRetriable,
  NonRetriableError,
  RetryAfterError,
  RotorApiError,
  RotorError,
  retryAfterMs,
  StepError,
  toWireError,
  WorkflowFailedError,
} from "./errors.js";

const hostile = (): unknown =>
  new Proxy(new Error("x"), {
    get: () => {
      throw new Error("from a trap");
    },
    has: () => true,
  });

describe("an error on its way to the wire", () => {
  test("keeps name, message, stack, code and causes", () => {
    const error = Object.assign(new TypeError("bad", { cause: new Error("why") }), { code: "E_BAD" });
    const wire = toWireError(error);
    expect(wire).toMatchObject({
      name: "TypeError",
      message: "bad",
      code: "E_BAD",
      cause: { name: "Error", message: "why" },
    });
    expect(wire.stack).toContain("errors.test.ts");
  });

  test.each([
    ["a text", "boom", "boom"],
    ["undefined", undefined, "undefined"],
    ["null", null, "null"],
    ["a bigint", 5n, "5"],
    ["a symbol", Symbol("s"), "Symbol(s)"],
    ["an object", { status: 500 }, '{"status":500}'],
    ["an object with a message", { message: "from afar" }, "from afar"],
    ["an object that has no JSON", { n: 5n }, "an object that has no JSON"],
  ])("may be %s", (_, thrown, message) => {
    expect(toWireError(thrown)).toMatchObject({ name: "Error", message });
  });

  test("survives getters that throw, revoked proxies and causes in a circle", () => {
    const revoked = Proxy.revocable(new Error("x"), {});
    revoked.revoke();
    const circle: Error = new Error("round");
    circle.cause = circle;
    expect(toWireError(hostile())).toMatchObject({ name: "Error" });
    expect(toWireError(revoked.proxy)).toMatchObject({ name: "Error" });
    let depth = 0;
    for (let at: ReturnType<typeof toWireError> | undefined = toWireError(circle); at; at = at.cause) depth += 1;
    expect(depth).toBe(5);
  });

  test("is cut: 8 KiB of message, 16 KiB of stack, whole characters only, nothing that Postgres refuses", () => {
    const error = new Error("é".repeat(10_000_000));
    error.stack = "🎉".repeat(12_500_000);
    const wire = toWireError(error);
    expect(Buffer.byteLength(wire.message)).toBe(8 * 1024);
    expect(Buffer.byteLength(wire.stack!)).toBe(16 * 1024);
    expect(wire.stack).not.toContain("\ufffd");
    expect(toWireError(new Error("a\0b\ud800c")).message).toBe("a\ufffdb\ufffdc");
  });

  test("fits the size that is asked for, losing what tells least first", () => {
    const stack = "s".repeat(1_000);
    const third = Object.assign(new Error("third"), { stack });
    const second = Object.assign(new Error("second", { cause: third }), { stack });
    const deep = Object.assign(new Error("first ".repeat(100), { cause: second }), { stack });
    const size = (maxBytes: number) => Buffer.byteLength(JSON.stringify(toWireError(deep, maxBytes)));
    for (const maxBytes of [3_000, 2_000, 1_500, 700, 400, 100]) expect(size(maxBytes)).toBeLessThanOrEqual(maxBytes);
    expect(toWireError(deep, 2_000).cause).toEqual({
      name: "Error",
      message: "second",
      cause: { name: "Error", message: "third" },
    });
    expect(toWireError(deep, 400).message).toMatch(/^first/);
  });

  test("of several refused addresses tells them all", () => {
    const error = new AggregateError([new Error("refused ::1"), new Error("refused 127.0.0.1")], "");
    expect(toWireError(error).message).toBe("refused ::1; refused 127.0.0.1");
  });

  test("never throws and always has JSON of the promised size", () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withNullPrototype: true }), (thrown) => {
        return Buffer.byteLength(JSON.stringify(toWireError(thrown, 2_048))) <= 2_048;
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("an error from the wire", () => {
  test("is of the class that it names, with its code, stack and cause", () => {
    const error = fromWireError({
      name: "WorkflowFailedError",
      message: "child",
      stack: "at x",
      code: "c",
      cause: { name: "Odd", message: "why" },
    });
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect(error).toBeInstanceOf(RotorError);
    expect(error).toMatchObject({ message: "child", stack: "at x", code: "c" });
    expect(error.cause).toMatchObject({ name: "Odd", message: "why" });
    expect(String(error.cause)).toBe("Odd: why");
  });

  test("of an unknown name is an Error of that name", () => {
    for (const name of ["ValidationError", "constructor", "__proto__"]) {
      const error = fromWireError({ name, message: "m" });
      expect(error).toBeInstanceOf(Error);
      expect([error.name, error.stack]).toEqual([name, `${name}: m`]);
    }
  });

  test("comes back to the wire as it was", () => {
    const wire = toWireError(new NonRetriableError("no", { cause: new TypeError("type") }));
    expect(toWireError(fromWireError(wire))).toEqual(wire);
  });
});

describe("what an error asks for", () => {
  test("is no further attempt for a NonRetriableError, also one of another copy of the package", () => {
    expect(isNonRetriable(new NonRetriableError("no"))).toBe(true);
    expect(isNonRetriable(Object.assign(new Error("no"), { name: "NonRetriableError" }))).toBe(true);
    for (const other of [new Error("x"), "NonRetriableError", undefined, hostile()])
      expect(isNonRetriable(other)).toBe(false);
  });

  test("is a delay or a time for a RetryAfterError", () => {
    expect(retryAfterMs(new RetryAfterError("later", "90s"))).toBe(90_000);
    expect(retryAfterMs(new RetryAfterError("later", new Date(5_000)), 2_000)).toBe(3_000);
    expect(retryAfterMs(new RetryAfterError("late", new Date(5_000)), 9_000)).toBe(0);
    for (const other of [new Error("x"), null, hostile(), { name: "RetryAfterError", retryAfter: 5 }]) {
      expect(retryAfterMs(other)).toBeUndefined();
    }
  });

  test("is refused where it is made when it is no duration and no date", () => {
    expect(() => new RetryAfterError("later", 30 as unknown as "30s")).toThrow('write "30s"');
    expect(() => new RetryAfterError("later", new Date("x"))).toThrow("the date is not valid");
  });
});

test("errors carry what a handler branches on", () => {
  const cause = new Error("smtp");
  expect(new StepError("send", 3, cause)).toMatchObject({
    stepId: "send",
    attempts: 3,
    cause,
    message: 'Step "send" failed after 3 attempts: smtp',
  });
  expect(new RotorApiError("gone", { status: 404, code: "not_found", details: { id: 1 } })).toMatchObject({
    status: 404,
    code: "not_found",
    details: { id: 1 },
  });
});
