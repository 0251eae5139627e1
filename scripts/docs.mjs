// Compiles every TypeScript block of README.md and docs/ under `strict`, as a reader would paste it.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root, run } from "./install.mjs";

/** Writes the blocks into a folder that resolves packages as the examples do, and compiles them. */
export function compileDocs() {
  const folder = join(root, "examples/guide/.docs");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const pages = [
    "README.md",
    ...readdirSync(join(root, "docs"))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `docs/${name}`),
  ];
  let blocks = 0;
  for (const page of pages) {
    for (const [, code] of readFileSync(join(root, page), "utf8").matchAll(/^```ts\n([\s\S]*?)^```/gm)) {
      writeFileSync(join(folder, `${page.replaceAll(/\W/g, "-")}-${++blocks}.ts`), `${code}\nexport {};\n`);
    }
  }
  const compilerOptions = {
    noEmit: true,
    composite: false,
    declaration: false,
    incremental: false,
    tsBuildInfoFile: null,
  };
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ extends: "../../../tsconfig.base.json", compilerOptions, include: ["*.ts"] }),
  );
  run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder]);
  rmSync(folder, { recursive: true, force: true });
  return blocks;
}
