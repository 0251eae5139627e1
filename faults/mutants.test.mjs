// Every planted bug still has its place: its text is in what is built, once.
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { root } from "../scripts/install.mjs";
import { MUTANTS, SCENES } from "./mutants-list.mjs";

let folder;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "rotor-mutants-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("there are enough of them, each by its own name, for a scene that there is", () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(25);
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  for (const { scene } of MUTANTS) expect(SCENES).toHaveProperty(scene);
});

test.each(MUTANTS.map((mutant) => [mutant.name, mutant]))("%s", async (_, mutant) => {
  const { plant } = await import("./mutants.mjs");
  const tree = mkdtempSync(join(folder, "tree-"));
  for (const { file } of mutant.edits) cpSync(join(root, file), join(tree, file));
  plant(tree, mutant);
});
