/** `rotor check`: how code that is about to be deployed fares with stored runs. What is asked of it, and how, is the server's. */

import type { Check } from "@rotorsh/sdk";
import type { Command } from "commander";
import { Option } from "commander";
import { wholeNumber } from "../arguments.js";
import { type JsonOption, leaf, show } from "../command.js";
import { type Context, clientOf } from "../context.js";
import { clean, cleanLines, table } from "../output.js";

type CheckFlags = JsonOption & { readonly function?: string; readonly limit?: number };

const asks = (asked: string | null): string => (asked === null ? "nothing: it is not reached" : asked);

/** Whether runs would be held, fail, or wait in vain: the code is then not to be deployed unseen. */
export const isFit = ({ functions }: Check): boolean =>
  functions.every(
    ({ diverges, errors, served, unfinished }) => diverges + errors === 0 && (served || unfinished === 0),
  );

/** The check for a person: a table of functions, then of what does not fit. */
export function checkLines(check: Check): string {
  const gone = check.functions.filter(({ served, unfinished }) => !served && unfinished > 0);
  const parts = [
    table(check.functions, [
      ["FUNCTION", (one) => one.function],
      ["UNFINISHED", (one) => one.unfinished],
      ["FIT", (one) => one.fits],
      ["END OTHERWISE", (one) => one.otherwise],
      ["DIVERGE", (one) => one.diverges],
      ["FAIL", (one) => one.errors],
      ["NOT CHECKED", (one) => one.unchecked],
    ]),
    ...(check.diverging.length === 0
      ? []
      : [
          table(check.diverging, [
            ["DIVERGES", (one) => one.runId],
            ["FUNCTION", (one) => one.function],
            ["STEP", (one) => one.step],
            ["RECORDED", (one) => one.recorded],
            ["THE CODE ASKS FOR", (one) => asks(one.asked)],
          ]),
        ]),
    ...(check.failing.length === 0
      ? []
      : [
          table(check.failing, [
            ["FAILS", (one) => one.runId],
            ["FUNCTION", (one) => one.function],
            ["ERROR", (one) => `${one.error.name}: ${one.error.message}`],
          ]),
        ]),
    ...gone.map(
      (one) =>
        `${clean(one.function)} is gone from the code, and ${one.unfinished} unfinished runs of it would wait in vain.`,
    ),
    isFit(check)
      ? "What was checked fits."
      : "A run that diverges is held: keep the step, or give the new one another id.",
  ];
  return cleanLines(parts.join("\n\n"));
}

export function addCheck(program: Command, context: Context): void {
  leaf(
    program,
    "check <url>",
    "replay stored runs against the code at this address, before it is deployed; nothing is run, stored or changed",
  )
    .option("--function <id>", "only runs of this function")
    .addOption(new Option("--limit <n>", "runs of each function (100)").argParser(wholeNumber(1, 1_000)))
    .action(async (url: string, { json, ...options }: CheckFlags) => {
      const check = await clientOf(context).functions.check(url, options);
      show(context, { ...(json && { json }) }, check, checkLines);
      if (!isFit(check)) context.exitWith(1);
    });
}
