/** Commands that work in the store itself, without a running server: which store that is, and the server's code for it. */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Config } from "@rotorsh/server";
import type { Context } from "./context.js";
import { CommandError, UsageError } from "./failure.js";

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

/** @throws UsageError where two stores are named at once: which of them is meant must not be guessed. */
export function checkStoreOptions({ env }: Context, { embedded }: StoreOptions): void {
  if (embedded && env.DATABASE_URL) {
    throw new UsageError("--embedded and DATABASE_URL name two stores: leave one of them out.");
  }
}

/**
 * The store that a command shall work in: the one that is named, else `.rotor` of this folder.
 * @throws ConfigError with what to set where there is none.
 */
export async function storeConfig(context: Context, options: StoreOptions = {}): Promise<Config> {
  checkStoreOptions(context, options);
  const { readConfig } = await loadServer();
  // Without a word about it, `.rotor` is what `rotor dev` made: with its settings and its environment.
  const isDev = storeNameOf(context) === "local" && !options.embedded;
  return readConfig(context.env, { mode: isDev ? "dev" : "start", embedded: options.embedded, sealed: false });
}

/** Whether a server holds the folder, or died holding it. While it lives, nobody else can open the store in it. */
export const isHeldBySomebody = ({ cwd }: Context, { dataDir }: Config): boolean =>
  dataDir !== undefined && existsSync(join(resolve(cwd, dataDir), "owner.json"));

/** The store in words, without secrets. */
export const describeStore = ({ databaseUrl, dataDir, schema }: Config): string =>
  databaseUrl === undefined ? `the embedded Postgres in ${dataDir}` : `the database of DATABASE_URL, schema ${schema}`;

/** @throws CommandError when a store is looked for where none was made: an empty new one would be no answer. */
export function requireStore(context: Context, config: Config): void {
  if (config.databaseUrl !== undefined || config.dataDir === undefined) return;
  if (existsSync(join(resolve(context.cwd, config.dataDir), "postgres"))) return;
  throw new CommandError(`There is no store in ${config.dataDir} yet. \`rotor migrate\` or \`rotor start\` makes one.`);
}
