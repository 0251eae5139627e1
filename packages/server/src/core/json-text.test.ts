import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { elements, glance, members } from "./json-text.js";

const spaced = (value: unknown): fc.Arbitrary<string> =>
  fc.constantFrom(undefined, 1, "\t", "\n ").map((indent) => JSON.stringify(value, null, indent));

describe("a member of an object", () => {
  test("is the text between its colon and the comma, as JSON.parse would read it", () => {
    fc.assert(
      fc.property(
        fc
          .dictionary(fc.string({ unit: "binary" }), fc.jsonValue(), { noNullPrototype: true })
          .chain((value) => spaced(value).map((text) => ({ value: JSON.parse(text), text }))),
        ({ value, text }) => {
          const { spans, repeated } = members(text);
          expect(repeated).toBeUndefined();
          expect([...spans.keys()].sort()).toEqual(Object.keys(value).sort());
          for (const [name, { start, end }] of spans) expect(JSON.parse(text.slice(start, end))).toEqual(value[name]);
        },
      ),
    );
  });

  test("keeps its digits, the order of its keys and its escapes", () => {
    const payload = '{"b":12345678901234567890.000100,"a":1e400,"s":"\\u00e9\\/","2":0,"1":-0}';
    const text = `\r\n{ "x" : "a\\"}{" ,"pay\\u006coad":\t${payload} , "z":[1,{"payload":2}]}`;
    const { start, end } = members(text).spans.get("payload")!;
    expect(text.slice(start, end)).toBe(payload);
  });

  test("that stands there twice is named, however it is written", () => {
    expect(members('{"payload":1,"p\\u0061yload":2}').repeated).toBe("payload");
  });

  test("is not found in what is no object", () => {
    expect([members("[1]").spans.size, members("{}").spans.size, members(' "{}" ').spans.size]).toEqual([0, 0, 0]);
  });
});

test("an array's elements are found where they stand", () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue()).chain((value) => spaced(value).map((text) => ({ value: JSON.parse(text), text }))),
      ({ value, text }) => {
        expect(elements(text).map(({ start, end }) => JSON.parse(text.slice(start, end)))).toEqual(value);
      },
    ),
  );
});

describe("a glance", () => {
  test("sees how deep a text is nested, whatever stands in its strings", () => {
    expect([glance("1").depth, glance('[{"a":"[[[[\\"[["}]').depth, glance("[".repeat(200_000)).depth]).toEqual([
      0, 2, 200_000,
    ]);
  });

  test("sees strings that no text column can hold", () => {
    for (const text of ['"a\\u0000b"', '{"\\u0000":1}', '"\\ud83d"', '"\\ude00"', '"\\ud83d\\u0041"'])
      expect(glance(text).unstorable).toBeDefined();
    for (const text of ['"\\\\u0000"', '"\\ud83d\\ude00"', '"\\u0001"', '"😀"', '"\\ud7ff"'])
      expect(glance(text).unstorable).toBeUndefined();
  });

  test("agrees with JavaScript on which strings are well-formed", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("\\ud83d", "\\ude00", "a", "\\\\", "\\n", "\\u0041")), (parts) => {
        const text = `"${parts.join("")}"`;
        const wellFormed = !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(
          JSON.parse(text),
        );
        expect(glance(text).unstorable === undefined).toBe(wellFormed);
      }),
    );
  });

  test("ends on any text", () => {
    fc.assert(fc.property(fc.string(), (text) => glance(text).depth >= 0));
  });
});
