/** Imports go one way: the picture is in ARCHITECTURE.md. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const here = dirname(fileURLToPath(import.meta.url));
const packages = resolve(here, "../..");

/** What each folder of the server may import beside itself. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  postgres: ["core"],
  store: ["core"],
  delivery: ["core"],
  loops: ["core", "store", "delivery"],
  http: ["core", "store", "delivery", "feed", "metrics"],
  feed: [],
  metrics: [],
  config: ["core"],
  failpoints: ["config", "delivery", "store"],
  bootstrap: ["config", "core", "postgres", "store"],
  sync: ["core", "store", "delivery", "http"],
  check: ["core", "store", "delivery", "http", "sync"],
  engine: ["core", "store", "delivery", "loops", "feed", "metrics", "http", "sync", "check"],
  admin: ["bootstrap", "config", "core", "http", "postgres", "store"],
  "one-process": ["bootstrap", "config", "delivery", "http"],
  main: [
    "bootstrap",
    "config",
    "core",
    "delivery",
    "engine",
    "failpoints",
    "feed",
    "http",
    "loops",
    "one-process",
    "postgres",
    "store",
  ],
  index: ["admin", "config", "main", "one-process", "store"],
};

/** What of other packages each may import. */
const packagesAllowed: Readonly<Record<string, RegExp>> = {
  sdk: /^$/,
  core: /^@rotorsh\/sdk\/(protocol|duration|signature)$/,
  store: /^@rotorsh\/sdk\/protocol$/,
};

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "testing-kit" ? [] : sources(path);
    return entry.name.endsWith(".ts") && !entry.name.endsWith(".test.ts") ? [path] : [];
  });
}

const importsOf = (path: string): string[] =>
  [...readFileSync(path, "utf8").matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]!);

test("the server's folders import in one direction only", () => {
  const wrong: string[] = [];
  for (const path of sources(here)) {
    const folder = relative(here, path).split("/")[0]!.replace(/\.ts$/, "");
    const may = allowed[folder];
    if (may === undefined) {
      wrong.push(`${folder} has no place in the picture`);
      continue;
    }
    for (const name of importsOf(path)) {
      if (name.startsWith("@rotorsh/")) {
        const others = packagesAllowed[folder];
        if (!name.startsWith("@rotorsh/sdk") || (others !== undefined && !others.test(name)))
          wrong.push(`${relative(here, path)} imports ${name}`);
      }
      if (!name.startsWith(".")) continue;
      const target = relative(here, resolve(dirname(path), name))
        .split("/")[0]!
        .replace(/\.js$/, "");
      if (target !== folder && !may.includes(target)) wrong.push(`${relative(here, path)} imports ${name}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("only the store has SQL", () => {
  const wrong = sources(here)
    .filter((path) => !/^(store|admin|postgres)/.test(relative(here, path)))
    .filter((path) => /\b(select|insert into|update|delete from)\s[^`"]*\brotor\./i.test(readFileSync(path, "utf8")));
  expect(wrong.map((path) => relative(here, path))).toEqual([]);
});

test("the SDK imports nothing of the server, and the command line nothing but the public surfaces", () => {
  const wrong = ["sdk", "cli"].flatMap((name) =>
    sources(join(packages, name, "src")).flatMap((path) =>
      importsOf(path)
        .filter(
          (target) =>
            target.startsWith("@rotorsh/") && (name === "sdk" || !/^@rotorsh\/(sdk(\/\w+)?|server)$/.test(target)),
        )
        .map((target) => `${relative(packages, path)} imports ${target}`),
    ),
  );
  expect(wrong).toEqual([]);
});
