/** The types of results of steps are those that JSON really makes: each is told by the compiler and by the runtime. */

import { describe, expect, expectTypeOf, test } from "vitest";
import { createFunction } from "./function.js";
import { type Jsonify, toJsonText } from "./json.js";
import type { Json } from "./protocol.js";
import type { Step } from "./step.js";

/** The value after its journey, typed as a step's result is. */
const after = <T>(value: T): Jsonify<T> => JSON.parse(toJsonText(value, "The value", 10_000));

class Money {
  static readonly zero = new Money(0);
  constructor(readonly cents: number) {}
  add(other: Money): Money {
    return new Money(this.cents + other.cents);
  }
}

class Price extends Money {
  toJSON(): { euros: number; at: Date } {
    return { euros: this.cents / 100, at: new Date(0) };
  }
}

const EPOCH = "1970-01-01T00:00:00.000Z";

describe("after JSON", () => {
  test("plain data is what it was", () => {
    const plain = { n: 1, text: "a", yes: true, nothing: null, list: [1, 2], tuple: ["a", 1] as [string, number] };
    expectTypeOf(after(plain)).toEqualTypeOf<typeof plain>();
    expect(after(plain)).toEqual(plain);
    expectTypeOf<Jsonify<Json>>().toEqualTypeOf<Json>();
  });

  test("a Date is a string, wherever it stands", () => {
    const dates = { at: new Date(0), list: [new Date(0)], maybe: new Date(0) as Date | null };
    expectTypeOf(after(dates)).toEqualTypeOf<{ at: string; list: string[]; maybe: string | null }>();
    expect(after(dates)).toEqual({ at: EPOCH, list: [EPOCH], maybe: EPOCH });
  });

  test("a Map, a Set and a RegExp are empty objects", () => {
    const hollow = { map: new Map([["a", 1]]), set: new Set([1]), pattern: /a/g };
    type Empty = Record<string, never>;
    expectTypeOf(after(hollow)).toEqualTypeOf<{ map: Empty; set: Empty; pattern: Empty }>();
    expect(after(hollow)).toEqual({ map: {}, set: {}, pattern: {} });
  });

  test("bytes are an object by index, a Buffer what it says of itself", () => {
    expectTypeOf(after(Uint8Array.of(7))).toEqualTypeOf<{ [index: string]: number }>();
    expect(after(Uint8Array.of(7))).toEqual({ 0: 7 });
    expectTypeOf(after(Buffer.of(7))).toEqualTypeOf<{ type: "Buffer"; data: number[] }>();
    expect(after(Buffer.of(7))).toEqual({ type: "Buffer", data: [7] });
  });

  test("undefined is null alone and in a list, and left out as a property", () => {
    expectTypeOf(after(undefined)).toEqualTypeOf<null>();
    expectTypeOf(after([1, undefined])).toEqualTypeOf<(number | null)[]>();
    type Given = { a?: Date; b: number | undefined; c: undefined };
    expectTypeOf<Jsonify<Given>>().toEqualTypeOf<{ a?: string; b: number | undefined; c: undefined }>();
    expect([after(undefined), after([1, undefined]), after<Given>({ b: undefined, c: undefined })]).toEqual([
      null,
      [1, null],
      {},
    ]);
  });

  test("an instance of a class is its fields, or what its toJSON gives", () => {
    expectTypeOf(after(new Money(5))).toEqualTypeOf<{ readonly cents: number }>();
    expect(after(new Money(5))).toEqual({ cents: 5 });
    expectTypeOf(after(new Price(500))).toEqualTypeOf<{ euros: number; at: string }>();
    expect(after(new Price(500))).toEqual({ euros: 5, at: EPOCH });
  });

  test("functions and symbols are gone: null in a list or alone, left out as a property", () => {
    const act = () => 1;
    expectTypeOf(after(act)).toEqualTypeOf<null>();
    expectTypeOf(after([act, "a"])).toEqualTypeOf<(string | null)[]>();
    expectTypeOf(after({ act, n: 1, [Symbol.iterator]: 1 })).toEqualTypeOf<{ n: number }>();
    expectTypeOf<Jsonify<{ a: string | (() => void) }>>().toEqualTypeOf<{ a: string | undefined }>();
    expect([after(act), after([act, "a"]), after({ act, n: 1 })]).toEqual([null, [null, "a"], { n: 1 }]);
  });

  test("each part of a union goes its own way", () => {
    type Told = { kind: "at"; at: Date } | { kind: "none" } | string | undefined;
    expectTypeOf<Jsonify<Told>>().toEqualTypeOf<{ kind: "at"; at: string } | { kind: "none" } | string | null>();
    const all: Told[] = [{ kind: "at", at: new Date(0) }, { kind: "none" }, "a", undefined];
    expect(after(all)).toEqual([{ kind: "at", at: EPOCH }, { kind: "none" }, "a", null]);
  });

  test("a BigInt has no JSON: its type cannot be used, and it is refused", () => {
    expectTypeOf<Jsonify<bigint>>().toBeNever();
    expect(() => after(1n)).toThrow("The value cannot be written as JSON");
  });

  test("what nobody knows stays unknown, and a type that contains itself ends", () => {
    expectTypeOf<Jsonify<unknown>>().toBeUnknown();
    expectTypeOf<Jsonify<ReturnType<typeof JSON.parse>>>().toBeAny();
    interface Tree {
      at: Date;
      children: Tree[];
    }
    const leaf: Tree = { at: new Date(0), children: [] };
    const tree = after({ ...leaf, children: [leaf] });
    expectTypeOf(tree.children[0]!.at).toEqualTypeOf<string>();
    expect(tree.children[0]!.at).toBe(EPOCH);
  });
});

test("results of steps and of invoked functions have these types", () => {
  const child = createFunction({ id: "child" }, () => ({ at: new Date(0), by: new Map<string, number>() }));
  const typed = async (step: Step) => {
    const own = await step.run("a", async () => ({
      at: new Date(0),
      tags: new Set<string>(),
      note: undefined as string | undefined,
    }));
    expectTypeOf(own).toEqualTypeOf<{ at: string; tags: Record<string, never>; note: string | undefined }>();
    expectTypeOf(await step.run("b", (): Json => null)).toEqualTypeOf<Json>();
    const { result } = await step.invoke("c", { workflow: child, data: undefined, timeout: "1h" });
    expectTypeOf(result).toEqualTypeOf<{ at: string; by: Record<string, never> }>();
  };
  expect(typed).toBeTypeOf("function");
});
