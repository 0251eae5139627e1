/** `rotor events …`: events that were sent, and what each of them started. */

import type { Event } from "@rotorsh/sdk";
import type { Command } from "commander";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, showFields, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";

export function addEvents(program: Command, context: Context): void {
  const events = group(program, "events", "events that were sent");

  listLeaf(events, "list", "list the events, the newest first")
    .option("--name <name>", "only those of this name")
    .option("--tag <tag>", "only those with this tag")
    .action(async (options: PageOptions & { readonly name?: string; readonly tag?: string }) => {
      const { limit, name, tag } = options;
      await showPage<Event>(
        context,
        options,
        clientOf(context).events.list({ limit, name, tag }),
        [
          ["ID", (event) => event.id],
          ["NAME", (event) => event.name],
          ["RECEIVED", (event) => event.receivedAt ?? `due ${event.dueAt}`],
          ["DATA", (event) => event.data],
        ],
        "No such events. Send one: rotor send NAME '{\"a\":1}'",
      );
    });
  leaf(events, "get <id>", "show an event with the runs that it started, resumed and cancelled").action(
    async (id: string, options: JsonOption) => {
      showFields(context, options, await clientOf(context).events.get(id));
    },
  );
}
