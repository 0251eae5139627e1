/** `rotor signals …`: gives a waiting run its signal. */

import type { CompletedSignal, Duration } from "@rotorsh/sdk";
import type { Command } from "commander";
import { readJson } from "../arguments.js";
import { group, type JsonOption, leaf, show } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { clean } from "../output.js";

export function addSignals(program: Command, context: Context): void {
  const signals = group(program, "signals", "signals that runs wait for");

  leaf(signals, "complete <id> [data]", "give the run that waits for this signal its data, as JSON")
    .option("--buffer-for <duration>", "where nobody waits for it yet, keep it this long for whoever does")
    .action(async (id: string, data: string | undefined, flags: JsonOption & { readonly bufferFor?: string }) => {
      const value = await readJson(context, "DATA", data);
      const { signals: calls } = clientOf(context);
      const bufferFor = flags.bufferFor as Duration | undefined;
      const done: CompletedSignal =
        bufferFor === undefined ? await calls.complete(id, value) : await calls.complete(id, value, { bufferFor });
      show(context, flags, { id, completed: true, ...done }, () =>
        done.buffered === true
          ? `Nobody waits for ${clean(id)} yet: kept until ${clean(done.until)}.`
          : `Completed ${clean(id)}.`,
      );
    });

  leaf(signals, "link <id>", "make a link whose page completes this signal, once")
    .requiredOption("--expires <duration>", "how long it is good, such as 7d")
    .option("--data <json>", "what the signal is given (default null)")
    .action(async (id: string, flags: JsonOption & { readonly expires: string; readonly data?: string }) => {
      const data = flags.data === undefined ? null : await readJson(context, "--data", flags.data);
      const url = await clientOf(context).signals.url(id, { expires: flags.expires as Duration, data });
      show(context, flags, { url }, () => clean(url));
    });
}
