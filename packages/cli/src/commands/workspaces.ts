/** `rotor workspaces …`: the environments of a server, each with queues, functions and keys of its own. */

import type { Workspace } from "@rotorsh/sdk";
import type { Command } from "commander";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, showFields, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";

export function addWorkspaces(program: Command, context: Context): void {
  const workspaces = group(program, "workspaces", "environments with queues, functions and keys of their own");

  leaf(workspaces, "create <id>", "make a workspace; its first key is shown once").action(
    async (id: string, options: JsonOption) => {
      showFields(context, options, await clientOf(context).workspaces.create(id));
    },
  );
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
