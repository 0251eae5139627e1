/** The few file operations that a crash or a second process must not catch half done. It knows nothing of Postgres. */
import { randomUUID } from "node:crypto";
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Creates a private file (mode 0600) unless it exists, and says whether it did. The file appears under its name
 * complete and synced or not at all, as a hard link of a finished one, and an existing file is never replaced.
 */
export const createWhole = (file: string, text: string): boolean => {
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${randomUUID()}`;
  writePrivate(draft, text);
  try {
    linkSync(draft, file);
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    unlinkSync(draft);
  }
  syncFolder(dirname(file));
  return true;
};

/** The file's text, or undefined where there is no such file. */
export const readIfThere = (file: string): string | undefined => {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "ESRCH")) return undefined;
    throw error;
  }
};

/** Writes a new file of mode 0600 down to the disk. Throws when it exists. */
export const writePrivate = (file: string, text: string): void => {
  const descriptor = openSync(file, "wx", 0o600);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
};

/** Makes the names in a folder durable. Windows has no such call, and journals names by itself. */
export const syncFolder = (folder: string): void => {
  if (process.platform === "win32") return;
  const descriptor = openSync(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
};

/** Whether an error of the system is one of these, such as `ENOENT`. */
export const hasCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
