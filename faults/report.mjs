// A fault run in words, for whoever reads it.

/** Of each kind of problem this many are shown; all of them are in the logs. */
const SHOWN = 5;
const LONGEST = 600;

const row = (name, value) => `  ${name.padEnd(34)} ${typeof value === "object" ? JSON.stringify(value) : value}`;

export function report({ line, problems, folder }) {
  const { scenario, seed, seconds, verdict, counts, faults, failed, ...figures } = line;
  const parts = [`${scenario}, seed ${seed}: ${failed === 0 ? "nothing found" : `${failed} problems`} in ${seconds} s`];
  if (verdict !== undefined) parts.push("Verdict", ...Object.entries(verdict).map(([name, value]) => row(name, value)));
  if (counts !== undefined) {
    const rows = Object.entries(counts).sort(([a], [b]) => a.localeCompare(b));
    parts.push("What went wrong, and how often", ...rows.map(([name, value]) => row(name, value)));
  }
  parts.push("Figures", ...Object.entries(figures).map(([name, value]) => row(name, value)));
  const kinds = new Map();
  for (const problem of problems) {
    const kind = `${problem.verdict ?? ""} ${problem.problem}`.trim();
    kinds.set(kind, [...(kinds.get(kind) ?? []), problem]);
  }
  for (const [kind, list] of kinds) {
    parts.push(`${list.length} × ${kind}`);
    for (const each of list.slice(0, SHOWN)) parts.push(`  ${JSON.stringify(each).slice(0, LONGEST)}`);
  }
  if (problems.length > 0 && folder !== undefined) parts.push(`The logs are in ${folder}.`);
  return parts.join("\n");
}
