/** Commands that work in the store itself, without a running server: which store that is, and the server's code for it. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "@rotorsh/server";
import type { Context } from "./context.js";
import { CommandError } from "./failure.js";

/** Loaded when needed: it is large, and most commands only speak to a server that runs. */
export const loadServer = () => import("@rotorsh/server");

export type StoreOptions = { readonly embedded?: boolean };

/** Where `rotor dev` and `rotor start --embedded` keep their Postgres unless told otherwise. */
const hasLocalStore = ({ cwd }: Context): boolean => existsSync(join(cwd, ".rotor", "postgres"));

export type StoreName = "database" | "data-folder" | "local" | "none";

/** How the store is named: by its address, by its folder, by `.rotor` in this folder, or not at all. */
export function storeNameOf(context: Context): StoreName {
  if (context.env.DATABASE_URL) return "database";
  if (context.env.ROTOR_DATA_DIR) return "data-folder";
  return hasLocalStore(context) ? "local" : "none";
}

/**
 * The store that a command shall work in: the one that is named, else `.rotor` of this folder.
 * @throws ConfigError with what to set where there is none.
 */
export async function storeConfig(context: Context, { embedded }: StoreOptions = {}): Promise<Config> {
  const { readConfig } = await loadServer();
  // Made by `rotor dev`, most likely: its settings, its environment.
  const isLocal = storeNameOf(context) === "local" && embedded !== true;
  const mode = isLocal ? "dev" : "start";
  return readConfig(
    { ...context.env, ROTOR_DATA_DIR: folderOf(context, isLocal || embedded === true) },
    { mode, embedded },
  );
}

const folderOf = ({ env, cwd }: Context, isUsual: boolean): string | undefined =>
  env.ROTOR_DATA_DIR || (isUsual && !env.DATABASE_URL ? join(cwd, ".rotor") : undefined);

/** The store in words, without secrets. */
export const describeStore = ({ databaseUrl, dataDir, schema }: Config): string =>
  databaseUrl === undefined ? `the embedded Postgres in ${dataDir}` : `the database of DATABASE_URL, schema ${schema}`;

/** @throws CommandError when a store is looked for where none was made: an empty new one would be no answer. */
export function requireStore(context: Context, config: Config): void {
  if (config.databaseUrl !== undefined || config.dataDir === undefined) return;
  if (existsSync(join(context.cwd, config.dataDir, "postgres")) || existsSync(join(config.dataDir, "postgres"))) return;
  throw new CommandError(`There is no store in ${config.dataDir} yet. \`rotor migrate\` or \`rotor start\` makes one.`);
}
