/** `rotor functions …`: functions as the server knows them. Their runs are in `runs.ts`. */

import type { FunctionView, Synced } from "@rotorsh/sdk";
import type { Command } from "commander";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showFields, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { clean } from "../output.js";

const triggersOf = ({ triggers = [] }: FunctionView): string =>
  triggers.map(({ event, cron, timezone }) => event ?? `${cron} ${timezone ?? ""}`.trim()).join(", ");

const syncedLine = (url: string, { app, functions }: Synced): string => {
  const ids = functions.map(({ id }) => clean(id)).join(", ");
  return `The app ${clean(app)} at ${clean(url)} has ${ids === "" ? "no functions" : ids}.`;
};

export function addFunctions(program: Command, context: Context): void {
  const functions = group(program, "functions", "durable functions and the apps that serve them");

  leaf(
    functions,
    "sync <url>",
    "read the functions of the app at this address, such as http://127.0.0.1:3000/api/rotor",
  )
    .option("--move", "even if another address holds the app or a function of it")
    .action(async (url: string, options: JsonOption & { readonly move?: boolean }) => {
      const input = { url, ...(options.move && { move: true }) };
      show(context, options, await clientOf(context).functions.sync(input), (synced) => syncedLine(url, synced));
    });
  listLeaf(functions, "list", "list the functions").action(async (options: PageOptions) => {
    const { limit } = options;
    await showPage<FunctionView>(
      context,
      options,
      clientOf(context).functions.list({ limit }),
      [
        ["ID", (one) => one.id],
        ["TRIGGERS", triggersOf],
        ["CONCURRENCY", (one) => one.concurrency],
        ["APP", (one) => one.app],
        ["URL", (one) => one.serveUrl],
      ],
      "No functions yet. Serve an app, then: rotor functions sync URL (rotor dev finds apps on the usual ports).",
    );
  });
  leaf(functions, "get <id>", "show a function").action(async (id: string, options: JsonOption) => {
    showFields(context, options, await clientOf(context).functions.get(id));
  });
  leaf(functions, "pause <id>", "begin no further delivery of its runs; those under way end").action(
    async (id: string, options: JsonOption) => {
      const one = await clientOf(context).functions.pause(id);
      show(context, options, one, () => `Paused ${clean(id)}. Go on with: rotor functions resume ${clean(id)}`);
    },
  );
  leaf(functions, "resume <id>", "deliver its runs again").action(async (id: string, options: JsonOption) => {
    show(context, options, await clientOf(context).functions.resume(id), () => `Resumed ${clean(id)}.`);
  });
  leaf(functions, "delete <id>", "delete a function that no app serves any more").action(
    async (id: string, options: JsonOption) => {
      await clientOf(context).functions.delete(id);
      show(context, options, { id, deleted: true }, () => `Deleted ${clean(id)}.`);
    },
  );
}
