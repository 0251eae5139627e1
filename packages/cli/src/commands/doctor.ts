/** `rotor doctor`: looks for what may never be true in a store. What that is stands in the server's `invariants.ts`. */

import type { Unindexed, Violation } from "@rotorsh/server";
import type { Command } from "commander";
import { type JsonOption, leaf, show } from "../command.js";
import type { Context } from "../context.js";
import { clean } from "../output.js";
import { describeStore, loadServer, requireStore, type StoreOptions, storeConfig } from "../store.js";

const violationLines = ({ number, name, ids }: Violation): string =>
  `Invariant ${number} is broken: ${clean(name)}\n  ${ids.map(clean).join(", ")}`;

/** Sound, so no error: each event of the name is tested against each of them. */
const unindexedLines = ({ workspace, event, match, waits }: Unindexed): string =>
  `${waits} ${waits === 1 ? "wait" : "waits"} for ${clean(event)} in ${clean(workspace)} have no equality to be found by: ${clean(match)}\n  Compare a field with ==, joined by &&, or write match as an object.`;

export function addDoctor(program: Command, context: Context): void {
  leaf(
    program,
    "doctor",
    "look for broken invariants in the store, exit code 1 if there are any, and for waits without an index",
  )
    .option("--embedded", "the embedded Postgres in .rotor")
    .action(async (options: JsonOption & StoreOptions) => {
      const { doctor } = await loadServer();
      const config = await storeConfig(context, options);
      requireStore(context, config);
      const { violations, unindexed } = await doctor(config);
      const store = describeStore(config);
      show(context, options, { store, violations, unindexed }, () =>
        [
          violations.length === 0 ? `All is well in ${clean(store)}.` : `In ${clean(store)}:`,
          ...violations.map(violationLines),
          ...unindexed.map(unindexedLines),
        ].join("\n"),
      );
      if (violations.length > 0) context.exitWith(1);
    });
}
