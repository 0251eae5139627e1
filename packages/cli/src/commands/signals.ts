/** `rotor signals …`: gives a waiting run its signal. */

import type { Command } from "commander";
import { readJson } from "../arguments.js";
import { group, type JsonOption, leaf, show } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { clean } from "../output.js";

export function addSignals(program: Command, context: Context): void {
  const signals = group(program, "signals", "signals that runs wait for");

  leaf(signals, "complete <id> [data]", "give the run that waits for this signal its data, as JSON").action(
    async (id: string, data: string | undefined, flags: JsonOption) => {
      const value = await readJson(context, "DATA", data);
      await clientOf(context).signals.complete(id, value);
      show(context, flags, { id, completed: true }, () => `Completed ${clean(id)}.`);
    },
  );
}
