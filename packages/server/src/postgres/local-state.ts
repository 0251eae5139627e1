/**
 * Small files of the data folder that one machine keeps for itself, such as the key of sealed secrets in development.
 * The database is not here; `embedded.ts` starts it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { newKey, parseKeys } from "../core/seal.js";
import { createWhole, readIfThere } from "./files.js";

/**
 * The encryption key of this data folder in the form of `ROTOR_ENCRYPTION_KEYS`, made at the first call.
 * Callers at the same time get the same key. Throws when the file holds something else than keys.
 */
export const localEncryptionKey = (dataDir: string): string => {
  const file = join(dataDir, "encryption.key");
  if (readIfThere(file) === undefined) createWhole(file, `${newKey()}\n`);
  const key = readFileSync(file, "utf8").trim();
  try {
    parseKeys(key);
  } catch (cause) {
    throw new Error(`${file} does not hold an encryption key. Restore it: without it sealed secrets stay closed.`, {
      cause,
    });
  }
  return key;
};
