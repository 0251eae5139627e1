/** `rotor workspaces …`: the environments of a server, each with queues, functions and keys of its own. */

import type { Workspace } from "@rotorsh/sdk";
import type { Command } from "commander";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showFields, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";
import { clean } from "../output.js";

type DeleteFlags = JsonOption & { readonly cancel?: boolean; readonly yes?: boolean };

export function addWorkspaces(program: Command, context: Context): void {
  const workspaces = group(program, "workspaces", "environments with queues, functions and keys of their own");

  leaf(workspaces, "create <id>", "make a workspace; its first keys are shown once").action(
    async (id: string, options: JsonOption) => {
      showFields(context, options, await clientOf(context).workspaces.create(id));
    },
  );
  leaf(workspaces, "delete <id>", "delete a workspace with all that is in it")
    .option("--cancel", "cancel what is unfinished in it")
    .option("--yes", "delete it: it cannot be had back")
    .action(async (id: string, { cancel, yes, ...options }: DeleteFlags) => {
      if (yes !== true)
        throw new UsageError("All of its queues, jobs, functions and keys would be deleted for good: add --yes.");
      await clientOf(context).workspaces.delete(id, { cancelUnfinished: cancel });
      show(context, options, { id, deleted: true }, () => `Deleted ${clean(id)}.`);
    });
  listLeaf(workspaces, "list", "list the workspaces").action(async (options: PageOptions) => {
    const { limit } = options;
    await showPage<Workspace>(
      context,
      options,
      clientOf(context).workspaces.list({ limit }),
      [
        ["ID", (workspace) => workspace.id],
        ["NAME", (workspace) => workspace.name],
        ["CREATED", (workspace) => workspace.createdAt],
      ],
      "No workspaces.",
    );
  });
}
