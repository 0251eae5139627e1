/** Which server is spoken to, and with which key: from the environment, else from what `rotor login` stored. */

import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "./failure.js";

export type Environment = Readonly<Record<string, string | undefined>>;

export type Settings = {
  /** Without a slash at its end. */
  readonly baseUrl: string;
  /** Undefined where none is configured: `rotor dev` needs none. */
  readonly apiKey: string | undefined;
};

export const DEFAULT_BASE_URL = "http://127.0.0.1:7686";

type Stored = { readonly baseUrl?: string; readonly apiKey?: string };

export const settingsFile = (home: string): string => join(home, ".rotor", "config.json");

function readStored(file: string): Stored {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
  const refuse = () => new UsageError(`${file} cannot be read. Remove it, and call \`rotor login\` again.`);
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch {
    // Edited by hand; what to do about it is all that there is to say.
    throw refuse();
  }
  if (typeof stored !== "object" || stored === null) throw refuse();
  const { baseUrl, apiKey } = stored as Record<string, unknown>;
  return {
    ...(typeof baseUrl === "string" && { baseUrl }),
    ...(typeof apiKey === "string" && { apiKey }),
  };
}

const trimmed = (url: string): string => url.replace(/\/+$/, "");

/** @throws UsageError for an address that is none, or a stored file that was spoilt. */
export function readSettings(env: Environment, home: string): Settings {
  const isComplete = env.ROTOR_BASE_URL && env.ROTOR_API_KEY;
  const stored = isComplete ? {} : readStored(settingsFile(home));
  const baseUrl = trimmed(env.ROTOR_BASE_URL || stored.baseUrl || DEFAULT_BASE_URL);
  if (!/^https?:\/\/[^/]/.test(baseUrl) || !URL.canParse(baseUrl)) {
    throw new UsageError(`ROTOR_BASE_URL must be an address such as ${DEFAULT_BASE_URL}; got ${baseUrl}`);
  }
  // A key is a secret of the server that it was stored for: no other one is shown it.
  const storedKey = trimmed(stored.baseUrl ?? "") === baseUrl ? stored.apiKey : undefined;
  return { baseUrl, apiKey: env.ROTOR_API_KEY || storedKey };
}

/** Stores server and key for later commands, readable by their owner only. Gives the file's name. */
export function storeSettings(home: string, settings: Settings): string {
  const file = settingsFile(home);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, file);
  return file;
}
