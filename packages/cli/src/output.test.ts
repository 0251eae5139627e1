import { expect, test } from "vitest";
import { wantsColour } from "./colours.js";
import { cell, clean, fields, json, table } from "./output.js";

test("control characters and changes of direction are not printed", () => {
  expect(clean("a\u001b[31mb\u0007c\u009bd\u202ee\r\nf\tg")).toBe("a[31mbcde f g");
});

test("JSON stays the same value, without a character that a terminal obeys", () => {
  const value = { text: "a\u009bb\u202ec\u007f\u001b", list: [1] };
  const text = json(value);
  for (const harmful of ["\u009b", "\u202e", "\u007f", "\u001b"]) expect(text).not.toContain(harmful);
  expect(JSON.parse(text)).toEqual(value);
  expect(json(undefined)).toBe("null");
});

test("a table is as wide as its widest cells", () => {
  const columns = [
    ["NAME", (item: { name: string }) => item.name],
    ["N", (item: { n: number | null }) => item.n],
  ] as const;
  const items = [
    { name: "a", n: 1 },
    { name: "longer", n: null },
  ];
  expect(table(items, [...columns])).toBe("NAME    N\na       1\nlonger  –");
});

test("long cells are cut", () => {
  expect(table(["x".repeat(200)], [["X", (item) => item]])).toMatch(/^X\nx{59}…$/);
});

test("fields are words, and values what a person reads", () => {
  const thing = { callbackUrl: null, tags: ["a", "b"], retry: { maxAttempts: 3 }, output: undefined };
  expect(fields(thing)).toBe('callback url  –\ntags          a, b\nretry         {"maxAttempts":3}');
});

test("instants are shown where the reader is, other texts as they are", () => {
  const at = "2026-11-23T20:00:00.123Z";
  expect(cell(at)).toBe(new Date(at).toLocaleString("sv-SE"));
  expect(cell("2026-11-23")).toBe("2026-11-23");
});

test("colours are for terminals whose reader did not say no", () => {
  expect(wantsColour(true, {})).toBe(true);
  expect(wantsColour(false, {})).toBe(false);
  expect(wantsColour(true, { NO_COLOR: "1" })).toBe(false);
});
