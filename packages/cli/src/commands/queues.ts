/** `rotor queues …`: queues made, changed, paused. Their jobs are in `jobs.ts`. */

import type { Queue } from "@rotorsh/sdk";
import type { Command } from "commander";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showFields, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";
import { clean } from "../output.js";
import { type QueueFlags, queueOptionsOf, withQueueFlags } from "./queue-flags.js";

export function addQueues(program: Command, context: Context): void {
  const queues = group(program, "queues", "queues that post jobs to a URL");

  withQueueFlags(leaf(queues, "create <name>", "make a queue")).action(async (name: string, flags: QueueFlags) => {
    showFields(context, flags, await clientOf(context).queues.create(name, queueOptionsOf(flags)));
  });
  withQueueFlags(leaf(queues, "update <name>", "change what is given of a queue")).action(
    async (name: string, flags: QueueFlags) => {
      const options = queueOptionsOf(flags);
      if (Object.keys(options).length === 0) throw new UsageError("Say what to change, such as --concurrency 5.");
      showFields(context, flags, await clientOf(context).queues.update(name, options));
    },
  );
  listLeaf(queues, "list", "list the queues").action(async (options: PageOptions) => {
    const { limit } = options;
    await showPage<Queue>(
      context,
      options,
      clientOf(context).queues.list({ limit }),
      [
        ["NAME", (queue) => queue.name],
        ["KIND", (queue) => queue.kind],
        ["CONCURRENCY", (queue) => queue.concurrency],
        ["ATTEMPTS", (queue) => queue.retry?.maxAttempts],
        ["PAUSED", (queue) => queue.pausedAt],
        ["URL", (queue) => queue.callbackUrl],
      ],
      "No queues yet. Make one: rotor queues create NAME --url URL",
    );
  });
  leaf(queues, "get <name>", "show a queue").action(async (name: string, options: JsonOption) => {
    showFields(context, options, await clientOf(context).queues.get(name));
  });
  leaf(queues, "pause <name>", "begin no further delivery; those under way end").action(
    async (name: string, options: JsonOption) => {
      const queue = await clientOf(context).queues.pause(name);
      show(context, options, queue, () => `Paused ${clean(name)}. Go on with: rotor queues resume ${clean(name)}`);
    },
  );
  leaf(queues, "resume <name>", "deliver again").action(async (name: string, options: JsonOption) => {
    show(context, options, await clientOf(context).queues.resume(name), () => `Resumed ${clean(name)}.`);
  });
  leaf(queues, "drain <name>", "cancel what waits; what is being delivered goes on")
    .option("--dry-run", "only tell how many there are")
    .option("--yes", "cancel them")
    .action(async (name: string, options: JsonOption & { readonly dryRun?: boolean; readonly yes?: boolean }) => {
      const { dryRun, yes } = options;
      if (yes !== true && dryRun !== true)
        throw new UsageError("All that waits would be cancelled: add --yes, or --dry-run to count it.");
      const drained = await clientOf(context).queues.drain(name, dryRun ? { dryRun } : { confirm: true });
      const jobs = `${drained.cancelled} ${drained.cancelled === 1 ? "job" : "jobs"}`;
      show(context, options, drained, () => (dryRun ? `${jobs} would be cancelled.` : `Cancelled ${jobs}.`));
    });
  leaf(queues, "delete <name>", "delete a queue").action(async (name: string, options: JsonOption) => {
    await clientOf(context).queues.delete(name);
    show(context, options, { name, deleted: true }, () => `Deleted ${clean(name)}.`);
  });
}
