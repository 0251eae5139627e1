/** `rotor runs cancel` and `rotor runs replay`: one run, several, or all that a filter finds. */

import type { RunSelection } from "@rotorsh/sdk";
import type { Command } from "commander";
import { given, instant, readJson } from "../arguments.js";
import { type JsonOption, leaf, progressOf, show } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { UsageError } from "../failure.js";
import { clean } from "../output.js";
import { stateOption } from "../states.js";

type Filter = Extract<RunSelection, { readonly filter: unknown }>["filter"];
type BulkFlags = JsonOption & Filter & { readonly all?: boolean; readonly dryRun?: boolean };
type CancelFlags = BulkFlags & { readonly children?: boolean };
type ReplayFlags = BulkFlags & { readonly fromStep?: string; readonly input?: string };

export const startedLine = ({ runId }: { readonly runId: string }): string =>
  `Started ${clean(runId)}. Look at it: rotor runs get ${clean(runId)}`;

const withFilter = (command: Command): Command =>
  command
    .option("--function <id>", "those of this function")
    .addOption(stateOption())
    .option("--event <name>", "those that this event started")
    .option("--tag <tag>", "those with this tag")
    .option("--created-after <time>", "those that were created at or after this time", instant)
    .option("--created-before <time>", "those that were created before this time", instant)
    .option("--all", "every run")
    .option("--dry-run", "only tell how many there are");

/** Ids or a filter, never both: which of the two would narrow the other cannot be seen from the call. */
function selectionOf(ids: readonly string[], flags: BulkFlags): RunSelection {
  const { function: id, state, event, tag, createdAfter, createdBefore, all, dryRun } = flags;
  const filter = given({ function: id, state, event, tag, createdAfter, createdBefore });
  const hasFilter = Object.keys(filter).length > 0 || all === true;
  if (ids.length > 0 && hasFilter) throw new UsageError("Give either ids or a filter.");
  if (ids.length === 0 && !hasFilter)
    throw new UsageError(
      "Say which: ids, --function, --state, --event, --tag, --created-after, --created-before, or --all for every run.",
    );
  return { ...(ids.length > 0 ? { ids } : { filter }), ...(all && { confirm: true }), ...(dryRun && { dryRun: true }) };
}

/** The run that is meant, where it is one and nothing else is said of which. */
const onlyOne = (ids: readonly string[], flags: BulkFlags): string | undefined => {
  const { function: id, state, event, tag, createdAfter, createdBefore, all, dryRun } = flags;
  const isFiltered = Object.keys(given({ id, state, event, tag, createdAfter, createdBefore, all, dryRun })).length > 0;
  return ids.length === 1 && !isFiltered ? ids[0] : undefined;
};

const counted = (count: number): string => `${count} ${count === 1 ? "run" : "runs"}`;

/** Hangs both commands. */
export function addBulk(runs: Command, context: Context): void {
  withFilter(leaf(runs, "cancel [ids...]", "end unfinished runs"))
    .option("--children", "of one run: also the runs and jobs that it started and waits for, and theirs")
    .action(async (ids: readonly string[], flags: CancelFlags) => {
      const one = onlyOne(ids, flags);
      if (one !== undefined) {
        const { children } = flags;
        const run = await clientOf(context).runs.cancel(one, { ...(children !== undefined && { children }) });
        const below = run.childrenCancelled === undefined ? "" : `, and ${run.childrenCancelled} below it`;
        return show(context, flags, run, () => `Cancelled ${clean(one)}${below}.`);
      }
      if (flags.children === true) throw new UsageError("--children goes with the id of one run.");
      const result = await clientOf(context).runs.cancelAll(selectionOf(ids, flags), progressOf(context));
      show(context, flags, result, ({ cancelled }) =>
        flags.dryRun ? `${counted(cancelled)} would be cancelled.` : `Cancelled ${counted(cancelled)}.`,
      );
    });
  withFilter(leaf(runs, "replay [ids...]", "start new runs like these, each from its start"))
    .option("--from-step <key>", "of one run: keep the results recorded before this step")
    .option("--input <json>", "of one run: other data for its event")
    .action(async (ids: readonly string[], flags: ReplayFlags) => {
      const { fromStep } = flags;
      const one = onlyOne(ids, flags);
      if (one !== undefined) {
        const input = await readJson(context, "--input", flags.input);
        const options = { ...(fromStep !== undefined && { fromStep }), ...(input !== undefined && { input }) };
        return show(context, flags, await clientOf(context).runs.replay(one, options), startedLine);
      }
      if (fromStep !== undefined || flags.input !== undefined)
        throw new UsageError("--from-step and --input go with the id of one run.");
      const result = await clientOf(context).runs.replayAll(selectionOf(ids, flags), progressOf(context));
      show(context, flags, result, ({ replayed }) =>
        flags.dryRun ? `${counted(replayed)} would be replayed.` : `Replayed ${counted(replayed)}.`,
      );
    });
}
