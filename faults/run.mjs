// `npm run faults -- [storm | limits | programs | pairs | restarts | cron | mutants] --seed 7`: one scenario of what goes wrong, on a cluster
// of its own. Prints what it found, then one line of JSON as the verdict; exits with 1 if anything was found. What stays
// is the folder of logs, where something was found or with `--keep`; `--record` keeps the verdict in the ledger.
import { randomBytes } from "node:crypto";
import { appendFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, install, root } from "../scripts/install.mjs";

const SCENARIOS = ["storm", "limits", "programs", "pairs", "restarts"];
const SHOWN = 50;

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
const { startCluster } = await import("./cluster.mjs");
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
const cluster = await startCluster({ seed: values.seed, count: Number(values.nodes), diskMb: scenario.diskMb });
console.log(`${name}, seed ${values.seed}, ${values.nodes} nodes; logs in ${cluster.folder}`);
// Whoever interrupts it is not left with its servers.
for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, () => void cluster.stop().finally(() => process.exit(1)));
const problems = [];
const begunAt = Date.now();
let figures = {};
try {
  const outcome = await scenario.play({ cluster, values });
  problems.push(...outcome.problems);
  figures = outcome.figures;
  for (const broken of await cluster.violations()) problems.push({ problem: "a broken invariant", ...broken });
  for (const death of cluster.died) problems.push({ problem: "a node ended by itself", ...death });
} catch (error) {
  problems.push({ problem: "the scenario itself failed", error: error.stack });
} finally {
  await cluster.stop();
}
for (const problem of problems.slice(0, SHOWN)) console.log(JSON.stringify(problem));
const line = {
  scenario: name,
  seed: values.seed,
  nodes: Number(values.nodes),
  seconds: Math.round((Date.now() - begunAt) / 1_000),
  ...figures,
  failed: problems.length,
};
if (values.record)
  appendFileSync(join(root, "faults/ledger.jsonl"), `${JSON.stringify({ at: new Date().toISOString(), ...line })}\n`);
if (problems.length === 0 && !values.keep) rmSync(cluster.folder, { recursive: true, force: true });
console.log(JSON.stringify(line));
process.exitCode = problems.length === 0 ? 0 : 1;
