import { describe, expect, it } from "vitest";
import { checkHeaders } from "./headers.js";

const reasonOf = (record: Record<string, string>): string => {
  const check = checkHeaders(record);
  return check.ok ? "" : check.reason;
};

describe("a queue's headers", () => {
  it("come back with lower-case names", () => {
    expect(checkHeaders({ Authorization: "Bearer x", "X-Team": "a\tb" })).toEqual({
      ok: true,
      headers: { authorization: "Bearer x", "x-team": "a\tb" },
    });
  });

  it.each(["", " ", "a b", "a:b", "a\r\nb", "ü", "a\u0000", "(a)", "x".repeat(65_536)])(
    "refuse the name %j",
    (name) => {
      expect(reasonOf({ [name]: "x" })).not.toBe("");
    },
  );

  it.each(["a\r\nx-evil: 1", "a\nb", "a\rb", "a\u0000b", "a\u007fb", "grün", "x".repeat(9_000)])(
    "refuse the value %j",
    (value) => {
      expect(reasonOf({ "x-team": value })).not.toBe("");
    },
  );

  it.each([
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Keep-Alive",
    "Upgrade",
    "Expect",
    "TE",
    "Trailer",
    "Accept-Encoding",
    "Proxy-Authorization",
    "x-rotor-signature",
    "X-Rotor-Anything",
    "traceparent",
  ])("cannot hold %s", (name) => {
    expect(reasonOf({ [name]: "x" })).toContain("cannot be set");
  });

  it("are at most fifty, in at most 8 KiB, each once", () => {
    const many = (count: number): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, "v"]));
    expect(reasonOf(many(50))).toBe("");
    expect(reasonOf(many(51))).toContain("limit is 50");
    expect(reasonOf({ "x-a": "v".repeat(5_000), "x-b": "v".repeat(5_000) })).toContain("bytes together");
    expect(reasonOf({ "X-A": "1", "x-a": "2" })).toContain("twice");
  });

  it("may be called like something of JavaScript's", () => {
    expect(checkHeaders(JSON.parse('{"__proto__":"a","constructor":"b"}')).ok).toBe(true);
  });
});
