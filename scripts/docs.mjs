// Compiles every TypeScript block of README.md and docs/ under `strict`, as a reader would paste it.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root, run } from "./install.mjs";

/** A block of TypeScript, and the name of its file where other blocks import it. */
const BLOCK = /^(?:<!-- file: ([\w-]+\.ts) -->\n)?```ts\n([\s\S]*?)^```/gm;

/** Writes the blocks into a folder that resolves packages as the examples do, and compiles them. */
export function compileDocs() {
  const folder = join(root, "examples/guide/.docs");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // What the blocks import as their reader's own code.
  cpSync(join(root, "examples/docs/app"), folder, { recursive: true });
  const pages = ["README.md", ...["docs", "docs/workflows"].flatMap(pagesIn)];
  let blocks = 0;
  for (const page of pages) {
    for (const [, file, code] of readFileSync(join(root, page), "utf8").matchAll(BLOCK)) {
      const name = file ?? `${page.replaceAll(/\W/g, "-")}-${++blocks}.ts`;
      if (existsSync(join(folder, name)))
        throw new Error(`${page}: there is a ${name} already; give this one another name`);
      writeFileSync(join(folder, name), `${code}\nexport {};\n`);
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

/** The pages of a folder, without those below it. */
const pagesIn = (folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `${folder}/${name}`);
