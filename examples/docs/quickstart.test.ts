/** The newcomers' pages of `docs/`, walked as they stand. Real apps outside of this clone walk them too, in `scripts/`. */
import { spawnSync } from "node:child_process";
import { afterEach, expect, test, vi } from "vitest";
import { readText } from "./testing-kit/page.js";
import { walk } from "./testing-kit/walk.js";

const QUICKSTART = "docs/callback-quickstart.md";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

test.each(["express", "hono", "nextjs"])("the first delivered job, in %s", async (app) => {
  const print = vi.spyOn(console, "log").mockImplementation(() => undefined);
  const { left } = await walk(QUICKSTART, app);
  expect(print.mock.calls).toEqual([["Welcome, Ada!"], ["Welcome, Bob!"]]);
  expect(left.filter(({ mark }) => mark.startsWith(`file: ${app}/`))).toEqual([]);
});

test("the first workflow, in express", async () => {
  vi.stubEnv("ROTOR_DEV", "1");
  const { left } = await walk("docs/workflows/quickstart.md", "express");
  expect(left.map(({ mark }) => mark)).toEqual(["apps", "apps", "file: hono/app.mjs", "apps"]);
});

test("the Python of the first delivered job is Python", () => {
  const page = readText(QUICKSTART);
  const [, code] = /<!-- file: fastapi\/main.py -->\n```python\n([\s\S]*?)```/.exec(page)!;
  const { status, stderr } = spawnSync("python3", ["-c", "import ast, sys; ast.parse(sys.stdin.read())"], {
    input: code,
  });
  expect([status, stderr.toString()]).toEqual([0, ""]);
});
