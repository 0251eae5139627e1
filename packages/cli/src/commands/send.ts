/** `rotor send`: publishes one event. */

import type { Sent } from "@rotorsh/sdk";
import type { Command } from "commander";
import { readJson, several } from "../arguments.js";
import { type JsonOption, leaf, show } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";
import { clean } from "../output.js";

const sentLines = ({ id, runs, dueAt }: Sent): string => {
  if (dueAt !== undefined) return `Stored ${clean(id)}, to be published at ${clean(dueAt)}.`;
  const started = runs.length === 0 ? "It started no run." : `It started ${runs.map(clean).join(", ")}.`;
  return `Sent ${clean(id)}. ${started}`;
};

type Flags = JsonOption & { readonly id?: string; readonly at?: string; readonly tag?: readonly string[] };

function instantOf(text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new UsageError(`--at: ${clean(text)} is not a date such as 2027-01-31T09:00:00Z`);
  return ms;
}

export function addSend(program: Command, context: Context): void {
  leaf(program, "send <name> [data]", "publish an event; DATA is JSON, or - for standard input")
    .option("--id <id>", "of two events with one id, the second does nothing")
    .option("--at <date>", "publish it then, such as 2027-01-31T09:00:00Z")
    .option("--tag <tag>", "a tag; may be given more than once", several)
    .action(async (name: string, data: string | undefined, flags: Flags) => {
      const event = {
        name,
        data: await readJson(context, "DATA", data),
        ...(flags.id !== undefined && { id: flags.id }),
        ...(flags.at !== undefined && { ts: instantOf(flags.at) }),
        ...(flags.tag !== undefined && { tags: flags.tag }),
      };
      const sent = await clientOf(context).send(event);
      show(context, flags, sent, sentLines);
      if (sent.warning !== undefined) context.err(clean(sent.warning));
    });
}
