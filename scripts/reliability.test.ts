/** No figure without a run: each one in docs/reliability.md stands in the line of the ledger that its heading names. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

type Line = { readonly at: string; readonly scenario?: string; readonly [figure: string]: unknown };

const ledger: Line[] = read("faults/ledger.jsonl")
  .split("\n")
  .filter(Boolean)
  .map((text) => JSON.parse(text));

/** What stands at a path of names; a name may hold spaces, and dots stand between names only. */
const at = (line: Line, path: string): unknown =>
  path.split(".").reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], line);

test("every figure of docs/reliability.md is in the line of the ledger that it names", () => {
  const [, section = ""] = read("docs/reliability.md").split(/<!-- figures:.*-->/);
  const [figures = ""] = section.split("<!-- end of figures -->");
  let line: Line | undefined;
  let traced = 0;
  for (const row of figures.split("\n")) {
    const [, scenario, time] = /^### (.+), (\S+)$/.exec(row) ?? [];
    if (time !== undefined) {
      line = ledger.find((each) => each.at === time && (each.scenario ?? "storm") === scenario);
      expect(line, row).toBeDefined();
    }
    const [, name = "", value = ""] = /^\| (.+?) +\| (.+?) +\|$/.exec(row) ?? [];
    if (name === "" || name === "figure" || /^-+$/.test(name)) continue;
    const found = at(line!, name);
    expect([row, Array.isArray(found) ? JSON.stringify(found) : String(found)]).toEqual([row, value]);
    traced++;
  }
  expect(traced).toBeGreaterThan(10);
});
