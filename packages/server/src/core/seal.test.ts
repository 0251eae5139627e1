import { describe, expect, it } from "vitest";
import { newKey, open, parseKeys, seal } from "./seal.js";

const context = "acme/STRIPE_KEY";

describe("sealing", () => {
  it("opens what it sealed, whatever the text", () => {
    const keys = parseKeys(newKey());
    for (const text of ["", "sk_live_1", "žluťoučký 🐎\n\0", "x".repeat(100_000)]) {
      expect(open(keys, seal(keys, text, context), context)).toBe(text);
    }
  });

  it("never makes the same sealed text twice, and shows nothing of the plaintext", () => {
    const keys = parseKeys(newKey());
    const first = seal(keys, "sk_live_1", context);
    expect(first).toMatch(/^v1\.[0-9a-f]{8}\.[\w-]{16}\.[\w-]+$/);
    expect(first).not.toContain("sk_live_1");
    expect(seal(keys, "sk_live_1", context)).not.toBe(first);
  });

  it("does not open a sealed text that was moved to another workspace or name", () => {
    const keys = parseKeys(newKey());
    const sealed = seal(keys, "sk_live_1", context);
    expect(() => open(keys, sealed, "other/STRIPE_KEY")).toThrow(/another workspace or name/);
    expect(() => open(keys, sealed, "acme/OTHER")).toThrow(/another workspace or name/);
  });

  it("does not open a sealed text of which any character was changed", () => {
    const keys = parseKeys(newKey());
    const sealed = seal(keys, "sk_live_1", context);
    for (let at = 0; at < sealed.length - 1; at += 1) {
      const changed = sealed.slice(0, at) + (sealed[at] === "A" ? "B" : "A") + sealed.slice(at + 1);
      expect(() => open(keys, changed, context)).toThrow();
    }
    expect(() => open(keys, sealed.slice(0, 40), context)).toThrow(/cut short/);
    expect(() => open(keys, "sk_live_1", context)).toThrow(/not a sealed text/);
  });

  it("seals with the first key, opens with each, and names a key that is missing", () => {
    const [older, newer] = [newKey(), newKey()];
    const sealed = seal(parseKeys(older), "sk_live_1", context);
    const both = parseKeys(`${newer}, ${older}`);
    expect(open(both, sealed, context)).toBe("sk_live_1");
    expect(seal(both, "x", context).split(".")[1]).toBe(parseKeys(newer)[0].id);
    expect(() => open(parseKeys(newer), sealed, context)).toThrow(parseKeys(older)[0].id);
  });

  it("refuses keys that are missing, short, doubled or not base64, without showing them", () => {
    const key = newKey();
    expect(() => parseKeys(" , ")).toThrow(/No encryption key/);
    expect(() => parseKeys(`${key},c2hvcnQ=`)).toThrow("Encryption key 2 has 5 bytes");
    expect(() => parseKeys(`${key},${key}`)).toThrow(/twice/);
    expect(() => parseKeys("not base64!")).toThrow(/^Encryption key 1 is not base64\.$/);
  });
});
