/** `rotor adopt`: gives a copied database to the environment that it is in now, so that its server delivers. */

import type { Command } from "commander";
import { type JsonOption, leaf, show } from "../command.js";
import type { Context } from "../context.js";
import { UsageError } from "../failure.js";
import { clean } from "../output.js";
import { loadServer, requireStore, type StoreOptions, storeConfig } from "../store.js";

type Flags = JsonOption & StoreOptions & { readonly release?: boolean; readonly cancelAll?: boolean };

function modeOf({ release, cancelAll }: Flags): "release" | "cancel-all" {
  if (release === cancelAll) {
    throw new UsageError(
      "Say what becomes of the unfinished jobs in it: --release delivers them from the next start on, --cancel-all cancels them.",
    );
  }
  return release ? "release" : "cancel-all";
}

export function addAdopt(program: Command, context: Context): void {
  leaf(program, "adopt", "give the database to this environment (ROTOR_ENVIRONMENT), so that it delivers again")
    .option("--release", "deliver what waits in it")
    .option("--cancel-all", "cancel what is unfinished in it first")
    .option("--embedded", "the embedded Postgres in .rotor")
    .action(async (flags: Flags) => {
      const mode = modeOf(flags);
      const { adopt } = await loadServer();
      const config = await storeConfig(context, flags);
      requireStore(context, config);
      const cancelled = await adopt(config, mode);
      const { environment } = config;
      show(context, flags, { environment, mode, cancelled }, () => {
        const what = mode === "release" ? "What waits in it is delivered." : `Cancelled ${cancelled} unfinished.`;
        return `The database belongs to ${clean(environment)} now. ${what}`;
      });
    });
}
