/** `rotor start`: the server for production. It logs to standard error, and runs until it is stopped. */

import type { Command } from "commander";
import { portNumber } from "../arguments.js";
import { startedLines } from "../banner.js";
import { type JsonOption, leaf } from "../command.js";
import type { Context } from "../context.js";
import { untilAsked } from "../stopping.js";
import { checkStoreOptions, loadServer } from "../store.js";

type Flags = JsonOption & { readonly embedded?: boolean; readonly port?: number };

export function addStart(program: Command, context: Context): void {
  leaf(program, "start", "run the server on the Postgres of DATABASE_URL")
    .option("--embedded", "on an embedded Postgres in .rotor, or in ROTOR_DATA_DIR")
    .option("--port <port>", "where to listen (default: ROTOR_PORT, else 7686)", portNumber)
    .action(async ({ embedded, port, json }: Flags) => {
      checkStoreOptions(context, { embedded });
      const { readConfig, startRotor } = await loadServer();
      const config = readConfig(context.env, { mode: "start", embedded, port });
      const stopping = untilAsked(() =>
        context.err("Stopping. Work in hand is finished first; a second Ctrl-C ends at once."),
      );
      const rotor = await startRotor(config);
      try {
        context.out(startedLines(rotor, { isJson: json === true }));
        await stopping.asked;
      } finally {
        await rotor.stop();
      }
    });
}
