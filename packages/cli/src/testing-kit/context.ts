/** A context for tests: what a command prints is collected, and its home and folder are where the test says. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Context } from "../context.js";
import { run } from "../main.js";

/** A new folder that is removed when the test has ended. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "rotor-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export type Called = { readonly code: 0 | 1 | 2; readonly out: string; readonly err: string };

export type CallOptions = {
  readonly env?: Record<string, string>;
  readonly home?: string;
  /** What standard input holds. */
  readonly input?: string;
};

/** A context on folders of its own, that prints nowhere and reads nothing. */
export function callContext(home?: string): Context {
  const folder = temporaryFolder();
  return {
    env: {},
    home: home ?? folder,
    cwd: folder,
    out: () => undefined,
    err: () => undefined,
    readInput: async () => "",
    readSecret: async () => "",
    isColoured: false,
    exitWith: () => undefined,
  };
}

/** Calls one command in this process. */
export async function call(argv: readonly string[], { env = {}, home, input = "" }: CallOptions = {}): Promise<Called> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await run(argv, {
    ...callContext(home),
    env,
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    readInput: async () => input,
    readSecret: async () => input,
  });
  return { code, out: out.join("\n"), err: err.join("\n") };
}
