/** `rotor secrets …`: what queues' URLs and headers use as `${{ secrets.NAME }}`. Set and forgotten, never shown. */

import type { StoredSecret } from "@rotorsh/sdk";
import type { Command } from "commander";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";
import { clean } from "../output.js";

type SetFlags = JsonOption & { readonly value?: string };

/** From where it is not seen by others: an argument stands in the list of processes and in the shell's history. */
async function secretFrom(context: Context, name: string, { value }: SetFlags): Promise<string> {
  const text = value ?? (await context.readSecret(`Value of ${clean(name)}: `)).replace(/\r?\n$/, "");
  if (text === "") throw new UsageError("Give the value on standard input, or with --value.");
  return text;
}

export function addSecrets(program: Command, context: Context): void {
  const secrets = group(program, "secrets", "values that queues use in their URLs and headers");

  leaf(secrets, "set <name>", "make a secret, or change it; the value is read from standard input")
    .option("--value <value>", "the value; on a shared machine others can see it here")
    .action(async (name: string, flags: SetFlags) => {
      const secret = await clientOf(context).secrets.set(name, await secretFrom(context, name, flags));
      show(context, flags, secret, () => `Set ${clean(name)}.`);
    });
  listLeaf(secrets, "list", "list the secrets, without their values").action(async (options: PageOptions) => {
    const { limit } = options;
    await showPage<StoredSecret>(
      context,
      options,
      clientOf(context).secrets.list({ limit }),
      [
        ["NAME", (secret) => secret.name],
        ["CREATED", (secret) => secret.createdAt],
        ["CHANGED", (secret) => secret.updatedAt],
      ],
      "No secrets yet. Set one: rotor secrets set NAME",
    );
  });
  leaf(secrets, "delete <name>", "forget a secret; deliveries that use it fail from then on").action(
    async (name: string, options: JsonOption) => {
      await clientOf(context).secrets.delete(name);
      show(context, options, { name, deleted: true }, () => `Deleted ${clean(name)}.`);
    },
  );
}
