// `npm run reliability`: writes the figures of the last long run of each scenario, from faults/ledger.jsonl, into docs/reliability.md.
// `reliability.test.ts` traces each of them back.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./install.mjs";

const doc = join(root, "docs/reliability.md");
const BEGIN = "<!-- figures: written by `npm run reliability` -->";
const END = "<!-- end of figures -->";

const lines = readFileSync(join(root, "faults/ledger.jsonl"), "utf8")
  .split("\n")
  .filter(Boolean)
  .map((text) => JSON.parse(text))
  // The first lines are older than the other scenarios.
  .map((line) => ({ scenario: "storm", ...line }));

/** Of each scenario the last run that was about as long as its longest. */
function lastLong(scenario) {
  const all = lines.filter((line) => line.scenario === scenario);
  const longest = Math.max(...all.map((line) => line.seconds ?? 0));
  return all.findLast((line) => (line.seconds ?? 0) >= longest / 2);
}

/** `{ a: { b: 1 } }` is `a.b: 1`. */
const flat = (value, path = "") =>
  value !== null && typeof value === "object" && !Array.isArray(value)
    ? Object.entries(value).flatMap(([name, each]) => flat(each, path === "" ? name : `${path}.${name}`))
    : [[path, Array.isArray(value) ? JSON.stringify(value) : String(value)]];

const ABOUT = new Set(["at", "scenario"]);

function table({ at, scenario, ...figures }) {
  const rows = [["figure", "value"], ...flat(figures).filter(([name]) => !ABOUT.has(name))];
  const [left, right] = [0, 1].map((column) => Math.max(...rows.map((row) => row[column].length)));
  const [head, ...body] = rows.map(([name, value]) => `| ${name.padEnd(left)} | ${value.padEnd(right)} |`);
  const rule = `| ${"-".repeat(left)} | ${"-".repeat(right)} |`;
  return [`### ${scenario}, ${at}`, "", head, rule, ...body, ""].join("\n");
}

/** Planted bugs have a line each; the summary counts them. */
const scenarios = [...new Set(lines.map((line) => line.scenario))].filter((name) => name !== "mutant");
const before = readFileSync(doc, "utf8");
const [head, rest] = before.split(BEGIN);
const tail = rest?.split(END)[1];
if (tail === undefined) {
  console.error(`docs/reliability.md lacks its marks ${BEGIN} and ${END}.`);
  process.exit(1);
}
const figures = scenarios.map((scenario) => table(lastLong(scenario))).join("\n");
writeFileSync(doc, `${head}${BEGIN}\n\n${figures}\n${END}${tail}`);
console.log(`docs/reliability.md has the figures of ${scenarios.length} scenarios`);
