import fc from "fast-check";
import { expect, test } from "vitest";
import { fill, isTemplated, malformedTemplate, redact, redactCut, secretNamesOf } from "./templates.js";

/** How a queue names a secret. */
const use = (name: string): string => `\${{ secrets.${name} }}`;
const headers = { a: `x ${use("ONE")} ${use("TWO")}`, b: use("ONE") };

test("templates are filled in wherever they stand, each once, and what a value says is not looked at again", () => {
  const templated = { url: `https://example.com/${use("ONE")}`, headers };
  expect(secretNamesOf(templated)).toEqual(["ONE", "TWO"]);
  const values = new Map([
    ["ONE", "$& $1 \\"],
    ["TWO", use("ONE")],
  ]);
  expect(fill(templated, values)).toEqual({
    ok: true,
    url: "https://example.com/$& $1 \\",
    headers: { a: `x $& $1 \\ ${use("ONE")}`, b: "$& $1 \\" },
    values: ["$& $1 \\", use("ONE")],
  });
  expect(fill(templated, new Map([["ONE", "1"]]))).toEqual({ ok: false, missing: "TWO" });
});

test.each([
  [use("A"), undefined],
  ["${" + "{secrets.A}}", undefined],
  ["no template", undefined],
  ["$ {{ secrets.A }}", undefined],
  ["${" + "{ secrets.a-b }}", "${" + "{ secrets.a-b }}"],
  [`${use("A")} ${"${"}{ env.HOME }}`, "${" + "{ env.HOME }}"],
])("%j: what is none of ours is told", (text, wrong) => {
  expect(malformedTemplate(text)).toBe(wrong);
  if (wrong !== undefined) expect(isTemplated(text)).toBe(true);
});

/** Values as they may be set. */
const value = fc.string({ unit: fc.constantFrom(...'abcXYZ/+%&"\\= {}'), minLength: 8, maxLength: 20 });

test("a value is taken out of whatever repeats it, as it is, in JSON and in URLs", () => {
  fc.assert(
    fc.property(value, fc.string(), fc.string(), (secret, before, after) => {
      for (const form of [secret, JSON.stringify(secret), encodeURIComponent(secret), secret.toLowerCase()]) {
        const clean = redact(`${before}${form}${after}`, [secret]);
        expect(clean.includes(secret)).toBe(false);
      }
    }),
  );
  expect(redact('{"t":"a\\"b-secret"}', ['a"b-secret'])).toBe('{"t":"…"}');
  expect(redact("/x?k=a%20b%2Fc%3Dd", ["a b/c=d"])).toBe("/x?k=…");
  expect(redact("nothing of it", ["longer-value"])).toBe("nothing of it");
});

test("the longest value goes first, so that no rest of it is left", () => {
  expect(redact("token-and-more", ["token-and", "token-and-more"])).toBe("…");
});

test("where a text was cut, the beginning of a value at its end goes, too", () => {
  expect(redactCut("it said: secr", ["secret-value"])).toBe("it said: …");
  expect(redactCut("it said: sec", ["secret-value"])).toBe("it said: sec");
  expect(redactCut("secret-value whole", ["secret-value"])).toBe("… whole");
});
