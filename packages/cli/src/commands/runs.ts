/** `rotor runs …`: runs of functions, started, awaited, looked at. What ends many of them is in `runs-bulk.ts`. */

import type { Duration, Run, RunFilter, StepView } from "@rotorsh/sdk";
import type { Command } from "commander";
import { delay, duration, readJson } from "../arguments.js";
import { group, type JsonOption, leaf, listLeaf, type PageOptions, show, showPage } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { clean, fields, json, table } from "../output.js";
import { stateOption } from "../states.js";
import { addBulk, startedLine } from "./runs-bulk.js";

type ListFlags = PageOptions & Pick<RunFilter, "function" | "state" | "event" | "tag">;
type StartFlags = JsonOption & {
  readonly id?: string;
  readonly delay?: Duration | number;
  readonly wait?: true;
  readonly timeout?: Duration;
};
type ResultFlags = JsonOption & { readonly timeout?: Duration };

type Line = Pick<StepView, "key" | "kind" | "attempt" | "endedAt" | "dueAt" | "error" | "output"> & {
  readonly state: string;
};

/** A step, after those of its attempts that were followed by another. */
const linesOf = (step: StepView): readonly Line[] => [
  ...step.failures
    .filter(({ attempt }) => attempt < step.attempt)
    .map(({ attempt, at, error }) => ({
      key: step.key,
      kind: step.kind,
      state: "retried",
      attempt,
      endedAt: at,
      dueAt: null,
      error,
    })),
  step,
];

/** The deliveries of a run say nothing that its steps do not: they are for programs. */
function runLines({ steps = [], deliveries: _, ...run }: Run): string {
  const log = table<Line>(steps.flatMap(linesOf), [
    ["STEP", (step) => step.key],
    ["KIND", (step) => step.kind],
    ["STATE", (step) => step.state],
    ["ATTEMPT", (step) => step.attempt],
    ["ENDED", (step) => step.endedAt],
    ["DUE", (step) => step.dueAt],
    ["RESULT", (step) => step.error?.message ?? step.output],
  ]);
  return steps.length === 0 ? fields(run) : `${fields(run)}\n\n${log}`;
}

function addReading(runs: Command, context: Context): void {
  listLeaf(runs, "list", "list the runs, the newest first")
    .option("--function <id>", "only those of this function")
    .addOption(stateOption())
    .option("--event <name>", "only those that this event started")
    .option("--tag <tag>", "only those with this tag")
    .action(async (options: ListFlags) => {
      const { limit, function: id, state, event, tag } = options;
      await showPage<Run>(
        context,
        options,
        clientOf(context).runs.list({ limit, function: id, state, event, tag }),
        [
          ["ID", (run) => run.id],
          ["FUNCTION", (run) => run.function],
          ["STATE", (run) => run.state],
          ["REASON", (run) => run.reason],
          ["UNTIL", (run) => run.until],
          ["CREATED", (run) => run.createdAt],
          ["ERROR", (run) => run.error?.message],
        ],
        "No such runs.",
      );
    });
  leaf(runs, "get <id>", "show a run with its steps").action(async (id: string, options: JsonOption) => {
    show(context, options, await clientOf(context).runs.get(id), runLines);
  });
  leaf(runs, "result <id>", "wait until a run has ended, and print what it returned")
    .option("--timeout <duration>", "how long to wait (default: 5m)", duration)
    .action(async (id: string, { timeout }: ResultFlags) => {
      // A result is JSON by itself: for people too.
      context.out(json(await clientOf(context).runs.result(id, { timeout })));
    });
}

export function addRuns(program: Command, context: Context): void {
  const runs = group(program, "runs", "runs of functions");
  addReading(runs, context);

  leaf(runs, "start <function> [data]", "start a run; DATA is its event's data, as JSON")
    .option("--id <id>", "of two starts with one id, the second does nothing")
    .option("--delay <duration>", "before the first delivery", delay)
    .option("--wait", "until it has ended, and print what it returned")
    .option("--timeout <duration>", "how long to wait (default: 5m)", duration)
    .action(async (id: string, data: string | undefined, flags: StartFlags) => {
      const options = {
        ...(flags.id !== undefined && { id: flags.id }),
        ...(flags.delay !== undefined && { delay: flags.delay }),
      };
      const input = await readJson(context, "DATA", data);
      if (flags.wait) {
        const { timeout } = flags;
        const { result } = await clientOf(context).runs.invoke(id, input, { ...options, timeout });
        // A result is JSON by itself: for people too.
        context.out(json(result));
        return;
      }
      show(context, flags, await clientOf(context).runs.start<unknown>(id, input, options), startedLine);
    });
  addBulk(runs, context);
  leaf(runs, "retry <id>", "let a failed run go on where it failed").action(async (id: string, options: JsonOption) => {
    show(context, options, await clientOf(context).runs.retry(id), () => `Retried ${clean(id)}.`);
  });
  leaf(runs, "resume <id>", "try a held run again, after its code was mended").action(
    async (id: string, options: JsonOption) => {
      show(context, options, await clientOf(context).runs.resume(id), () => `Resumed ${clean(id)}.`);
    },
  );
}
