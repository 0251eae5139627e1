/** `rotor send`: publishes one event. */

import type { Sent } from "@rotorsh/sdk";
import type { Command } from "commander";
import { readJson } from "../arguments.js";
import { type JsonOption, leaf, show } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { clean } from "../output.js";

const sentLines = ({ id, runs }: Sent): string => {
  const started = runs.length === 0 ? "It started no run." : `It started ${runs.map(clean).join(", ")}.`;
  return `Sent ${clean(id)}. ${started}`;
};

export function addSend(program: Command, context: Context): void {
  leaf(program, "send <name> [data]", "publish an event; DATA is JSON, or - for standard input")
    .option("--id <id>", "of two events with one id, the second does nothing")
    .action(async (name: string, data: string | undefined, flags: JsonOption & { readonly id?: string }) => {
      const event = {
        name,
        data: await readJson(context, "DATA", data),
        ...(flags.id !== undefined && { id: flags.id }),
      };
      const sent = await clientOf(context).send(event);
      show(context, flags, sent, sentLines);
      if (sent.warning !== undefined) context.err(clean(sent.warning));
    });
}
