/** `rotor webhooks …`: who is told of what happens. */

import type { Duration, Job, Webhook, WebhookOptions } from "@rotorsh/sdk";
import type { Command } from "commander";
import { duration, headerPair } from "../arguments.js";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showFields, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";
import { clean } from "../output.js";

type Flags = JsonOption & {
  readonly url?: string;
  readonly types?: WebhookOptions["types"];
  readonly header?: Readonly<Record<string, string>>;
};

/** Which types there are is the server's to know: it names them where one is wrong. */
const typesOf = (text: string): WebhookOptions["types"] =>
  text.split(",").map((part) => part.trim()) as WebhookOptions["types"];

const withFlags = (command: Command): Command =>
  command
    .option("--types <types>", 'such as job.failed,queue.late (default: "*", everything)', typesOf)
    .option("--header <name: value>", "sent with each event; may be repeated", headerPair);

const optionsOf = (flags: Flags): WebhookOptions => ({
  ...(flags.url !== undefined && { url: flags.url }),
  ...(flags.types !== undefined && { types: flags.types }),
  ...(flags.header !== undefined && { headers: flags.header }),
});

/** The secret alone on standard output, so that a script can take it. */
function showSecret(context: Context, flags: JsonOption, webhook: Webhook & { readonly secret: string }): void {
  show(context, flags, webhook, ({ secret }) => secret);
  if (!flags.json)
    context.err(`The secret of ${clean(webhook.name)}, to verify what it is sent. Keep it: it is not shown again.`);
}

export function addWebhooks(program: Command, context: Context): void {
  const webhooks = group(program, "webhooks", "who is told of what happens");

  withFlags(leaf(webhooks, "create <name>", "make a webhook; its secret is shown this once"))
    .requiredOption("--url <url>", "where events are posted")
    .action(async (name: string, flags: Flags & { readonly url: string }) => {
      showSecret(
        context,
        flags,
        await clientOf(context).webhooks.create(name, { ...optionsOf(flags), url: flags.url }),
      );
    });
  withFlags(leaf(webhooks, "update <name>", "change what is given of a webhook"))
    .option("--url <url>", "where events are posted")
    .action(async (name: string, flags: Flags) => {
      const options = optionsOf(flags);
      if (Object.keys(options).length === 0) throw new UsageError("Say what to change, such as --types job.failed.");
      showFields(context, flags, await clientOf(context).webhooks.update(name, options));
    });
  listLeaf(webhooks, "list", "list the webhooks").action(async (options: PageOptions) => {
    const { limit } = options;
    await showPage<Webhook>(
      context,
      options,
      clientOf(context).webhooks.list({ limit }),
      [
        ["NAME", (webhook) => webhook.name],
        ["TYPES", (webhook) => webhook.types],
        ["URL", (webhook) => webhook.url],
      ],
      "No webhooks yet. Make one: rotor webhooks create NAME --url URL --types job.failed",
    );
  });
  leaf(webhooks, "get <name>", "show a webhook").action(async (name: string, options: JsonOption) => {
    showFields(context, options, await clientOf(context).webhooks.get(name));
  });
  leaf(webhooks, "test <name>", "send it an event of type webhook.test").action(
    async (name: string, options: JsonOption) => {
      const sent = await clientOf(context).webhooks.test(name);
      show(
        context,
        options,
        sent,
        ({ id }) => `Sent ${clean(id)}. How it went: rotor webhooks deliveries ${clean(name)}`,
      );
    },
  );
  listLeaf(webhooks, "deliveries <name>", "list what it was told, the newest first").action(
    async (name: string, options: PageOptions) => {
      const { limit } = options;
      await showPage<Job>(
        context,
        options,
        clientOf(context).webhooks.deliveries(name, { limit }),
        [
          ["ID", (job) => job.id],
          ["TYPE", (job) => job.tags],
          ["STATE", (job) => job.state],
          ["ATTEMPT", (job) => job.attempt],
          ["CREATED", (job) => job.createdAt],
          ["ERROR", (job) => job.error?.message],
        ],
        "It was told nothing yet. Try it: rotor webhooks test NAME",
      );
    },
  );
  leaf(webhooks, "rotate <name>", "give it another secret, shown this once; the old one signs along for a while")
    .option("--overlap <duration>", "how long it does (default: 24h)", duration)
    .action(async (name: string, flags: JsonOption & { readonly overlap?: Duration }) => {
      const { overlap } = flags;
      showSecret(context, flags, await clientOf(context).webhooks.rotate(name, { overlap }));
    });
  leaf(webhooks, "delete <name>", "delete a webhook, and what was not delivered to it yet").action(
    async (name: string, options: JsonOption) => {
      await clientOf(context).webhooks.delete(name);
      show(context, options, { name, deleted: true }, () => `Deleted ${clean(name)}.`);
    },
  );
}
