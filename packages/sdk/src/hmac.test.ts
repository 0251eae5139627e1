import fc from "fast-check";
import { expect, test } from "vitest";
import * as node from "./hmac.node.js";
import * as portable from "./hmac.portable.js";

const bytes = fc.uint8Array({ maxLength: 300 });
const keys = fc.oneof(bytes, fc.string({ unit: "binary", maxLength: 200 }));

test("the implementations of Node and of other runtimes export the same names", () => {
  expect(Object.keys(portable).sort()).toEqual(Object.keys(node).sort());
});

test("both implementations give the same HMAC and digest for any key and message", () => {
  fc.assert(
    fc.property(keys, bytes, (key, message) => {
      expect(portable.hmacSha256Hex(key, message)).toBe(node.hmacSha256Hex(key, message));
      expect(portable.sha256Hex(key)).toBe(node.sha256Hex(key));
    }),
    { numRuns: 500 },
  );
});

// RFC 4231, test case 2; FIPS 180-2, appendix B.1.
test("both give the values that the standards print", () => {
  for (const { hmacSha256Hex, sha256Hex } of [node, portable]) {
    expect(hmacSha256Hex("Jefe", new TextEncoder().encode("what do ya want for nothing?"))).toBe(
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    );
    expect(sha256Hex("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  }
});

test("both compare texts as === does", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 4 }), fc.string({ maxLength: 4 }), (a, b) => {
      for (const { equalInConstantTime } of [node, portable]) {
        expect(equalInConstantTime(a, b)).toBe(a === b);
        expect(equalInConstantTime(a, a)).toBe(true);
      }
    }),
  );
});
