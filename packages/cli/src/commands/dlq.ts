/** `rotor dlq …`: the dead letters, which are the failed jobs of all queues. */

import type { DeadLetter, DeadLettersReplayed, ReplayOptions } from "@rotorsh/sdk";
import type { Command } from "commander";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";

type FilterFlags = { readonly queue?: string; readonly tag?: string; readonly error?: string };
type ReplayFlags = JsonOption & FilterFlags & { readonly all?: boolean; readonly dryRun?: boolean };

const withFilter = (command: Command): Command =>
  command
    .option("--queue <queue>", "only those of this queue")
    .option("--tag <tag>", "only those with this tag")
    .option("--error <text>", "only those with this in their error");

const filterOf = ({ queue, tag, error }: FilterFlags): FilterFlags => ({
  ...(queue !== undefined && { queue }),
  ...(tag !== undefined && { tag }),
  ...(error !== undefined && { error }),
});

/** Ids or a filter, never both: which of the two would narrow the other cannot be seen from the call. */
function selectionOf(ids: readonly string[], flags: ReplayFlags): { ids: readonly string[] } | { filter: FilterFlags } {
  const filter = filterOf(flags);
  const hasFilter = Object.keys(filter).length > 0 || flags.all === true;
  if (ids.length > 0 && hasFilter) throw new UsageError("Give either ids or a filter.");
  if (ids.length > 0) return { ids };
  if (!hasFilter) throw new UsageError("Say which: ids, --queue, --tag, --error, or --all for every dead letter.");
  return { filter };
}

const jobs = (count: number): string => `${count} ${count === 1 ? "job" : "jobs"}`;

export function addDeadLetters(program: Command, context: Context): void {
  const dlq = group(program, "dlq", "dead letters: jobs that failed for good");

  withFilter(listLeaf(dlq, "list", "list the dead letters")).action(async (options: PageOptions & FilterFlags) => {
    const { limit } = options;
    await showPage<DeadLetter>(
      context,
      options,
      clientOf(context).dlq.list({ limit, ...filterOf(options) }),
      [
        ["ID", (letter) => letter.id],
        ["QUEUE", (letter) => letter.queue],
        ["ATTEMPTS", (letter) => letter.attempt],
        ["FAILED", (letter) => letter.finishedAt],
        ["WHY", (letter) => letter.error?.message],
      ],
      "No dead letters.",
    );
  });
  withFilter(leaf(dlq, "replay [ids...]", "make failed jobs wait again"))
    .option("--all", "every dead letter")
    .option("--dry-run", "only tell how many there are")
    .action(async (ids: readonly string[], flags: ReplayFlags) => {
      const replay: ReplayOptions = {
        ...selectionOf(ids, flags),
        ...(flags.dryRun !== undefined && { dryRun: flags.dryRun }),
      };
      const lines = ({ replayed }: DeadLettersReplayed): string =>
        flags.dryRun ? `${jobs(replayed)} would be replayed.` : `Replayed ${jobs(replayed)}.`;
      show(context, flags, await clientOf(context).dlq.replay(replay), lines);
    });
}
