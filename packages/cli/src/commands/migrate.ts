/** `rotor migrate`: brings the store's tables up to date. A start does so too; this is for those who do it before. */

import type { Command } from "commander";
import { type JsonOption, leaf, show } from "../command.js";
import type { Context } from "../context.js";
import { clean } from "../output.js";
import { loadServer, type StoreOptions, storeConfig } from "../store.js";

export function addMigrate(program: Command, context: Context): void {
  leaf(program, "migrate", "bring the store's tables up to date")
    .option("--embedded", "the embedded Postgres in .rotor")
    .action(async (options: JsonOption & StoreOptions) => {
      const { migrate } = await loadServer();
      const applied = await migrate(await storeConfig(context, options));
      show(context, options, { applied }, () =>
        applied.length === 0 ? "Nothing to do: the store is up to date." : `Applied ${applied.map(clean).join(", ")}.`,
      );
    });
}
