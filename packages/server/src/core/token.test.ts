import fc from "fast-check";
import { expect, test } from "vitest";
import { newId } from "./ids.js";
import { makeToken, readToken } from "./token.js";

const what = { jobId: newId(), delivery: 3 };
const token = makeToken("secret", "checkpoint", what);

test("a token says what it was made for", () => {
  expect(readToken("secret", "checkpoint", token)).toEqual(what);
});

test("another secret or another purpose reads nothing", () => {
  expect(readToken("other", "checkpoint", token)).toBeUndefined();
  expect(readToken("secret", "complete", token)).toBeUndefined();
});

test("another job or another delivery under the same signature reads nothing", () => {
  const [jobId, , signature] = token.split(".");
  expect(readToken("secret", "checkpoint", `${jobId}.4.${signature}`)).toBeUndefined();
  expect(readToken("secret", "checkpoint", `${jobId}.03.${signature}`)).toBeUndefined();
  expect(readToken("secret", "checkpoint", `${newId()}.3.${signature}`)).toBeUndefined();
});

test("a token with any one character changed reads nothing", () => {
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, letter) => {
      const changed = token.slice(0, at) + letter + token.slice(at + 1);
      const read = readToken("secret", "checkpoint", changed);
      // The last character of base64url has two bits to spare: they are no part of the signature.
      if (changed !== token && at !== token.length - 1) expect(read).toBeUndefined();
    }),
  );
});

test.each(["", ".", "a.b.c", `${token}.`, ` ${token}`, token.slice(1), "x".repeat(10_000)])(
  "%j is no token",
  (text) => {
    expect(readToken("secret", "checkpoint", text)).toBeUndefined();
  },
);
