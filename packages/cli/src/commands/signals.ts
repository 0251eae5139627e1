/** `rotor signals …`: gives a waiting run its signal. */

import type { Duration } from "@rotorsh/sdk";
import type { Command } from "commander";
import { duration, readJson } from "../arguments.js";
import { group, type JsonOption, leaf, show } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { clean } from "../output.js";

export function addSignals(program: Command, context: Context): void {
  const signals = group(program, "signals", "signals that runs wait for");

  leaf(signals, "complete <id> [data]", "give the run that waits for this signal its data, as JSON")
    .option("--buffer-for <duration>", "keep it this long for a wait that is yet to come", duration)
    .action(async (id: string, data: string | undefined, flags: JsonOption & { readonly bufferFor?: Duration }) => {
      const { bufferFor } = flags;
      const value = await readJson(context, "DATA", data);
      await clientOf(context).signals.complete(id, value, { bufferFor });
      show(context, flags, { id, completed: true }, () => `Completed ${clean(id)}.`);
    });
}
