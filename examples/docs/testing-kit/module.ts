/** Runs a block of TypeScript as a module of its own, with what it imports, and answers what it exports and printed. */
import { format } from "node:util";
import { transformWithOxc } from "vite";
import { expect } from "vitest";

const loaders: Readonly<Record<string, () => Promise<object>>> = {
  "@rotorsh/sdk": () => import("@rotorsh/sdk"),
  "@rotorsh/sdk/testing": () => import("@rotorsh/sdk/testing"),
  "node:assert/strict": () => import("node:assert/strict"),
  "@rotorsh/sdk/duration": () => import("@rotorsh/sdk/duration"),
  express: () => import("express"),
  hono: () => import("hono"),
  "@hono/node-server": () => import("@hono/node-server"),
  "node:crypto": () => import("node:crypto"),
  "node:http": () => import("node:http"),
  "@marcbachmann/cel-js": () => import("@marcbachmann/cel-js"),
  standardwebhooks: () => import("standardwebhooks"),
  // A page's own code, which a reader has and these pages do not show.
  "./app.js": () => import("../app/app.js"),
  "./contacts.js": () => import("../app/contacts.js"),
};

async function load(name: string): Promise<object> {
  const loader = loaders[name];
  if (loader === undefined) throw new Error(`a page imports ${name}, which module.ts does not know`);
  return loader();
}

export type Ran = { readonly exports: Readonly<Record<string, unknown>>; readonly printed: string };

/** Vitest for a block that is a test: it becomes part of the test that runs the block. */
function vitestOf(tests: Promise<unknown>[]) {
  return { expect, test: (_name: string, run: () => unknown) => void tests.push((async () => run())()) };
}

/**
 * Types are left out, and imports and exports put into a form that a function's body may have. `others` are modules that the
 * page has shown before, by the name under which the block imports them.
 */
export async function runModule(typed: string, others: Readonly<Record<string, object>> = {}): Promise<Ran> {
  const { code } = await transformWithOxc(typed, "block.ts", { sourcemap: false });
  const body = code
    .replaceAll(/^import (\{[^}]*\}) from "([^"]+)";$/gm, (_, names: string, from: string) => {
      return `const ${names.replaceAll(" as ", ": ")} = await load("${from}");`;
    })
    .replaceAll(/^import (\w+) from "([^"]+)";$/gm, 'const $1 = (await load("$2")).default;')
    .replaceAll(/^export default /gm, "exports.default = ")
    .replaceAll(/^export const (\w+) = /gm, "const $1 = exports.$1 = ")
    .replaceAll(/^export ((?:async )?function) (\w+)/gm, "exports.$2 = $2;\n$1 $2");
  const exports: Record<string, unknown> = {};
  const printed: string[] = [];
  const tests: Promise<unknown>[] = [];
  // Whoever spies on it from outside does so again afterwards.
  const { log } = console;
  console.log = (...words) => void printed.push(format(...words));
  try {
    const AsyncFunction = Object.getPrototypeOf(load).constructor;
    const loadHere = async (name: string) => (name === "vitest" ? vitestOf(tests) : (others[name] ?? load(name)));
    await AsyncFunction("load", "exports", body)(loadHere, exports);
    await Promise.all(tests);
  } finally {
    console.log = log;
  }
  return { exports, printed: printed.join("\n") };
}
