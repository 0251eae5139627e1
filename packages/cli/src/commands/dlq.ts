/** `rotor dlq …`: the dead letters, which are the failed jobs of all queues. */

import type {
  DeadLetter,
  DeadLetterFilter,
  DeadLettersPurged,
  DeadLettersReplayed,
  PurgeOptions,
  Rate,
  ReplayOptions,
} from "@rotorsh/sdk";
import { type Command, InvalidArgumentError } from "commander";
import { instant } from "../arguments.js";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, progressOf, show, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";

type FilterFlags = {
  readonly queue?: string;
  readonly tag?: string;
  readonly error?: string;
  readonly after?: string;
  readonly before?: string;
};
type BulkFlags = JsonOption & FilterFlags & { readonly all?: boolean; readonly dryRun?: boolean };
type ReplayFlags = BulkFlags & { readonly rate?: Rate; readonly includeRejected?: boolean };
type PurgeFlags = BulkFlags & { readonly yes?: boolean };

function rate(text: string): Rate {
  if (!/^[1-9]\d{0,5}\/[smh]$/.test(text)) throw new InvalidArgumentError("Write it as 10/s, 100/m or 500/h.");
  return text as Rate;
}

const withFilter = (command: Command): Command =>
  command
    .option("--queue <queue>", "only those of this queue or function")
    .option("--tag <tag>", "only those with this tag")
    .option("--error <text>", "only those with this in their error")
    .option("--after <time>", "only those that failed at or after this time", instant)
    .option("--before <time>", "only those that failed before this time", instant);

const filterOf = ({ queue, tag, error, after, before }: FilterFlags): DeadLetterFilter => ({
  ...(queue !== undefined && { queue }),
  ...(tag !== undefined && { tag }),
  ...(error !== undefined && { error }),
  ...(after !== undefined && { after }),
  ...(before !== undefined && { before }),
});

type Selection = { ids: readonly string[] } | { filter: DeadLetterFilter };

/** Ids or a filter, never both: which of the two would narrow the other cannot be seen from the call. */
function selectionOf(ids: readonly string[], flags: BulkFlags): Selection {
  const filter = filterOf(flags);
  const hasFilter = Object.keys(filter).length > 0 || flags.all === true;
  if (ids.length > 0 && hasFilter) throw new UsageError("Give either ids or a filter.");
  if (ids.length > 0) return { ids };
  if (!hasFilter)
    throw new UsageError("Say which: ids, --queue, --tag, --error, --after, --before, or --all for every dead letter.");
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
    .option("--rate <rate>", "at most so many become due in that time: 10/s, 100/m, 500/h", rate)
    .option("--include-rejected", "also those that a person turned down")
    .option("--dry-run", "only tell how many there are")
    .option("--yes", "taken for scripts; nothing is asked")
    .action(async (ids: readonly string[], flags: ReplayFlags) => {
      const replay: ReplayOptions = {
        ...selectionOf(ids, flags),
        ...(flags.rate !== undefined && { rate: flags.rate }),
        ...(flags.includeRejected !== undefined && { includeRejected: flags.includeRejected }),
        ...(flags.dryRun !== undefined && { dryRun: flags.dryRun }),
      };
      const lines = ({ replayed }: DeadLettersReplayed): string =>
        flags.dryRun ? `${jobs(replayed)} would be replayed.` : `Replayed ${jobs(replayed)}.`;
      show(context, flags, await clientOf(context).dlq.replay(replay, progressOf(context)), lines);
    });
  withFilter(leaf(dlq, "purge [ids...]", "remove failed jobs for good"))
    .option("--all", "every dead letter")
    .option("--dry-run", "only tell how many there are")
    .option("--yes", "remove them: they cannot be had back")
    .action(async (ids: readonly string[], flags: PurgeFlags) => {
      const selection = selectionOf(ids, flags);
      if (flags.yes !== true && flags.dryRun !== true)
        throw new UsageError("They cannot be had back: add --yes to remove them, or --dry-run to count them.");
      const purge: PurgeOptions = flags.dryRun ? { ...selection, dryRun: true } : { ...selection, confirm: true };
      const lines = ({ purged, kept }: DeadLettersPurged): string =>
        `${flags.dryRun ? `${jobs(purged)} would be removed.` : `Removed ${jobs(purged)}.`}${kept > 0 ? ` ${jobs(kept)} younger than a day stay: their ids are remembered.` : ""}`;
      show(context, flags, await clientOf(context).dlq.purge(purge, progressOf(context)), lines);
    });
}
