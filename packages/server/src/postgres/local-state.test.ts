import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { open, parseKeys, seal } from "../core/seal.js";
import { createWhole } from "./files.js";
import { localEncryptionKey } from "./local-state.js";
import { cleanUp, newFolder } from "./testing-kit/kit.js";

afterAll(cleanUp);

describe("the local encryption key", () => {
  it("is made once, private, and read ever after", () => {
    const dataDir = join(newFolder(), ".rotor");
    const key = localEncryptionKey(dataDir);
    expect(localEncryptionKey(dataDir)).toBe(key);
    expect(open(parseKeys(key), seal(parseKeys(key), "text", "a/b"), "a/b")).toBe("text");
    expect(statSync(join(dataDir, "encryption.key")).mode & 0o777).toBe(0o600);
    expect(readdirSync(dataDir)).toEqual(["encryption.key"]);
  });

  it("is never replaced, neither by a second maker nor when it is damaged", () => {
    const dataDir = newFolder();
    const file = join(dataDir, "encryption.key");
    expect(createWhole(file, "first")).toBe(true);
    expect(createWhole(file, "second")).toBe(false);
    expect(() => localEncryptionKey(dataDir)).toThrow(/does not hold an encryption key. Restore it/);
    writeFileSync(file, "");
    expect(() => localEncryptionKey(dataDir)).toThrow(/does not hold an encryption key. Restore it/);
  });
});
