/** `rotor queues …`: queues made, changed, paused. Their jobs are in `jobs.ts`. */

import type { Duration, Queue, QueueOptions } from "@rotorsh/sdk";
import type { Command } from "commander";
import { duration, headerPair, wholeNumber } from "../arguments.js";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showFields, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";
import { clean } from "../output.js";

type Flags = JsonOption & {
  readonly url?: string;
  readonly concurrency?: number;
  readonly retryAttempts?: number;
  readonly timeout?: Duration;
  readonly header?: Readonly<Record<string, string>>;
  readonly approvalRequired?: boolean;
};

const withFlags = (command: Command): Command =>
  command
    .option("--url <url>", "where its jobs are posted; without one they wait")
    .option("--concurrency <n>", "deliveries at one time", wholeNumber(1, 100_000))
    .option("--retry-attempts <n>", "attempts in all, the first included", wholeNumber(1, 1_000))
    .option("--timeout <duration>", 'of one delivery, such as "30s"', duration)
    .option("--header <name: value>", "sent with each delivery; may be repeated", headerPair)
    .option("--approval-required", "each job waits for a person's yes");

const optionsOf = (flags: Flags): QueueOptions => ({
  ...(flags.url !== undefined && { callbackUrl: flags.url }),
  ...(flags.concurrency !== undefined && { concurrency: flags.concurrency }),
  ...(flags.retryAttempts !== undefined && { retry: { maxAttempts: flags.retryAttempts } }),
  ...(flags.timeout !== undefined && { timeout: flags.timeout }),
  ...(flags.header !== undefined && { headers: flags.header }),
  ...(flags.approvalRequired !== undefined && { approvalRequired: flags.approvalRequired }),
});

export function addQueues(program: Command, context: Context): void {
  const queues = group(program, "queues", "queues that post jobs to a URL");

  withFlags(leaf(queues, "create <name>", "make a queue")).action(async (name: string, flags: Flags) => {
    showFields(context, flags, await clientOf(context).queues.create(name, optionsOf(flags)));
  });
  withFlags(leaf(queues, "update <name>", "change what is given of a queue")).action(
    async (name: string, flags: Flags) => {
      const options = optionsOf(flags);
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
