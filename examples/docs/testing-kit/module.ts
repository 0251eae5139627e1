/** Runs a block of TypeScript as a module of its own, with what it imports, and answers what it exports and printed. */
import { format } from "node:util";

const loaders: Readonly<Record<string, () => Promise<object>>> = {
  "@rotorsh/sdk": () => import("@rotorsh/sdk"),
  "@rotorsh/sdk/duration": () => import("@rotorsh/sdk/duration"),
  express: () => import("express"),
  hono: () => import("hono"),
  "@hono/node-server": () => import("@hono/node-server"),
  "node:crypto": () => import("node:crypto"),
  "node:http": () => import("node:http"),
  standardwebhooks: () => import("standardwebhooks"),
};

async function load(name: string): Promise<object> {
  const loader = loaders[name];
  if (loader === undefined) throw new Error(`a page imports ${name}, which module.ts does not know`);
  return loader();
}

export type Ran = { readonly exports: Readonly<Record<string, unknown>>; readonly printed: string };

/** The blocks are written without types, so that only imports and exports have to be put into another form. */
export async function runModule(code: string): Promise<Ran> {
  const body = code
    .replaceAll(/^import (\{[^}]*\}) from "([^"]+)";$/gm, (_, names: string, from: string) => {
      return `const ${names.replaceAll(" as ", ": ")} = await load("${from}");`;
    })
    .replaceAll(/^import (\w+) from "([^"]+)";$/gm, 'const $1 = (await load("$2")).default;')
    .replaceAll(/^export default /gm, "exports.default = ")
    .replaceAll(/^export (?:const|function) (\w+) = /gm, "const $1 = exports.$1 = ");
  const exports: Record<string, unknown> = {};
  const printed: string[] = [];
  // Whoever spies on it from outside does so again afterwards.
  const { log } = console;
  console.log = (...words) => void printed.push(format(...words));
  try {
    await (Object.getPrototypeOf(load).constructor("load", "exports", body) as (...args: unknown[]) => Promise<void>)(
      load,
      exports,
    );
  } finally {
    console.log = log;
  }
  return { exports, printed: printed.join("\n") };
}
