// Builds the dashboard to where the server serves it from, each file with its compressed forms. Skipped while its sources,
// and the SDK's, have not changed. `node scripts/dashboard.mjs --size` tells how much a browser loads for its first view.

import { createHash } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { root, run } from "./install.mjs";

const folder = join(root, "packages/dashboard");
const target = join(root, "packages/server/assets/dashboard");
const marker = `${target}.hash`;

/** Of all that a browser loads before the list of runs stands there, compressed, its font included. */
const FIRST_VIEW_BYTES = 200_000;

function* filesIn(path) {
  for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) yield* filesIn(inner);
    else yield inner;
  }
}

function digest() {
  const hash = createHash("sha256");
  const sources = [
    ...["index.html", "package.json", "vite.config.ts"].map((name) => join(folder, name)),
    ...["src", "public"].flatMap((name) => [...filesIn(join(folder, name))]),
    ...filesIn(join(root, "packages/sdk/src")),
  ].filter((path) => !path.endsWith(".test.ts"));
  for (const path of sources) hash.update(path.slice(root.length)).update(readFileSync(path));
  return hash.digest("hex");
}

const brotli = (bytes) =>
  brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length, [constants.BROTLI_PARAM_QUALITY]: 11 },
  });

function build() {
  const wanted = digest();
  if (existsSync(join(target, "index.html")) && existsSync(marker) && readFileSync(marker, "utf8") === wanted) return;
  run(process.execPath, [join(root, "node_modules/vite/bin/vite.js"), "build", "--logLevel", "warn"], { cwd: folder });
  rmSync(target, { recursive: true, force: true });
  cpSync(join(folder, "dist"), target, { recursive: true });
  for (const path of [...filesIn(target)]) {
    if (![".html", ".js", ".css", ".svg"].includes(extname(path))) continue;
    const bytes = readFileSync(path);
    writeFileSync(`${path}.br`, brotli(bytes));
    writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
  }
  writeFileSync(marker, wanted);
}

/** What the page itself names, the page of runs, what these import, and the font of Latin text. */
function firstView() {
  const assets = readdirSync(join(target, "assets"));
  const seen = new Set(["index.html"]);
  const visit = (name) => {
    if (seen.has(name)) return;
    seen.add(name);
    if (!name.endsWith(".js")) return;
    const text = readFileSync(join(target, "assets", name), "utf8");
    for (const [, imported] of text.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g)) visit(imported);
  };
  for (const [, name] of readFileSync(join(target, "index.html"), "utf8").matchAll(/\/assets\/([^"]+)"/g)) visit(name);
  for (const name of assets) {
    if (/^runs-.*\.js$/.test(name)) visit(name);
    if (/\.css$/.test(name) || /^geist-latin-wght-normal-.*\.woff2$/.test(name)) visit(name);
  }
  const sizeOf = (name) => {
    const path = name === "index.html" ? join(target, name) : join(target, "assets", name);
    return readFileSync(existsSync(`${path}.br`) ? `${path}.br` : path).length;
  };
  return [...seen].map((name) => [name, sizeOf(name)]).sort((a, b) => b[1] - a[1]);
}

build();
if (process.argv.includes("--size")) {
  const files = firstView();
  for (const [name, bytes] of files) console.log(`${String(bytes).padStart(7)}  ${name}`);
  const sum = files.reduce((total, [, bytes]) => total + bytes, 0);
  console.log(`${String(sum).padStart(7)}  bytes for the first view; ${FIRST_VIEW_BYTES} are allowed`);
  if (sum > FIRST_VIEW_BYTES) process.exit(1);
}
