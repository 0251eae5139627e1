// `npm run faults -- [storm | limits | programs | pairs | restarts | cron | mutants] --seed 7`: one scenario of what goes wrong, on
// a cluster of its own. Prints a report, then one line of JSON as the verdict; exits with 1 if anything was found. What stays is the
// folder of logs, where something was found or with `--keep`; `--record` keeps the verdict in the ledger.
import { randomBytes } from "node:crypto";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, install, root } from "../scripts/install.mjs";
import { report } from "./report.mjs";

const SCENARIOS = ["storm", "limits", "programs", "pairs", "restarts", "cron", "mutants"];

const [first = "", ...rest] = process.argv.slice(2);
const isNamed = first !== "" && !first.startsWith("-");
const name = isNamed ? first : "storm";
if (!SCENARIOS.includes(name)) {
  console.error(`There is no scenario "${name}": ${SCENARIOS.join(", ")}.`);
  process.exit(2);
}
install();
build();
// They import what has been built just now.
const { playOnce } = await import("./play.mjs");
const scenario = await import(`./${name}.mjs`);
const { values } = parseArgs({
  args: isNamed ? rest : process.argv.slice(2),
  options: {
    seed: { type: "string", default: String(randomBytes(3).readUIntBE(0, 3)) },
    nodes: { type: "string", default: String(scenario.nodes) },
    record: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    ...scenario.options,
  },
});
const record = (line) => {
  if (values.record)
    appendFileSync(join(root, "faults/ledger.jsonl"), `${JSON.stringify({ at: new Date().toISOString(), ...line })}\n`);
};
const { problems, figures, folder, seconds } =
  scenario.playAll === undefined
    ? await playOnce({
        scenario,
        values,
        keep: values.keep,
        onFolder: (folder) => console.log(`${name}, seed ${values.seed}, ${values.nodes} nodes; logs in ${folder}`),
      })
    : await scenario.playAll({ values, record });
const line = {
  scenario: name,
  seed: values.seed,
  nodes: Number(values.nodes),
  seconds,
  ...figures,
  failed: problems.length,
};
record(line);
console.log(report({ line, problems, folder }));
console.log(JSON.stringify(line));
process.exitCode = problems.length === 0 ? 0 : 1;
