import { expect, test } from "vitest";
import { makeSignalLink, readSignalLink } from "./signal-link.js";

const link = { workspace: "default", signal: 'run/Ärger "1"', data: '{"ok":true}', madeAtMs: 1.5, expiresAtMs: 2_000 };

test("a link says what was put into it, and fits into an address", () => {
  const token = makeSignalLink("secret", link);
  expect(readSignalLink("secret", token)).toEqual(link);
  expect(encodeURIComponent(token)).toBe(token);
});

test("another secret, a changed part, or other text is no link", () => {
  const token = makeSignalLink("secret", link);
  const [body, signature] = token.split(".");
  const other = makeSignalLink("secret", { ...link, signal: "another" });
  expect(readSignalLink("other", token)).toBeUndefined();
  expect(readSignalLink("secret", `${other.split(".")[0]}.${signature}`)).toBeUndefined();
  for (const text of ["", ".", body!, `${body}.`, `${body}.${signature}x`, `${token}.${signature}`, `a${token}`])
    expect(readSignalLink("secret", text)).toBeUndefined();
});
