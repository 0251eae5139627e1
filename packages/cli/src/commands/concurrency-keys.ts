/** `rotor concurrency-keys …`: how many jobs of a key may be active at a time. Jobs name a key when they are enqueued. */

import type { ConcurrencyKey } from "@rotorsh/sdk";
import type { Command } from "commander";
import { wholeNumber } from "../arguments.js";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showFields, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { clean } from "../output.js";

export function addConcurrencyKeys(program: Command, context: Context): void {
  const keys = group(program, "concurrency-keys", "keys whose jobs take turns, over all queues");

  listLeaf(keys, "list", "list the keys that jobs have named").action(async (options: PageOptions) => {
    const { limit } = options;
    await showPage<ConcurrencyKey>(
      context,
      options,
      clientOf(context).concurrencyKeys.list({ limit }),
      [
        ["KEY", (key) => key.key],
        ["LIMIT", (key) => key.limit],
        ["ACTIVE", (key) => key.active],
        ["BLOCKED", (key) => key.blocked],
      ],
      "No keys yet. A job names one: rotor jobs enqueue QUEUE DATA --concurrency-key KEY",
    );
  });
  leaf(keys, "get <key>", "show a key").action(async (key: string, options: JsonOption) => {
    showFields(context, options, await clientOf(context).concurrencyKeys.get(key));
  });
  leaf(keys, "set <key>", "say how many of its jobs may be active at a time")
    .requiredOption("--limit <n>", "1 unless it was set", wholeNumber(1, 100_000))
    .action(async (key: string, options: JsonOption & { readonly limit: number }) => {
      const { limit } = options;
      const changed = await clientOf(context).concurrencyKeys.set(key, { limit });
      show(context, options, changed, () => `Up to ${changed.limit} of ${clean(key)} may be active at a time.`);
    });
}
