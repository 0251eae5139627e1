// `npm run check`: types of everything (tests and docs too), format and lint, sizes, the dashboard's among them. Prints the files that are longer than 400 lines.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compileDocs } from "./docs.mjs";
import { build, install, root, run } from "./install.mjs";

install();
build();
run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.tests.json"]);
run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "packages/dashboard"]);
run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "packages/dashboard/browser"]);
run(process.execPath, [join(root, "scripts/dashboard.mjs"), "--size"]);
run(process.execPath, [join(root, "node_modules/@biomejs/biome/bin/biome"), "check", "--error-on-warnings", "."]);
run(process.execPath, [join(root, "scripts/supply.mjs"), "--check"]);
console.log(`${compileDocs()} blocks of the docs compile`);

const tracked = spawnSync("git", ["ls-files", "*.ts", "*.tsx", "*.mjs", "*.sql"], { cwd: root, encoding: "utf8" })
  .stdout.split("\n")
  .filter(Boolean);
const long = tracked
  .map((path) => [path, readFileSync(join(root, path), "utf8")])
  .filter(([, text]) => text.split("\n").length > 400);
for (const [path, text] of long) console.log(`${text.split("\n").length} lines  ${path}`);
// A long file says at its top why it is one.
const silent = long.filter(([, text]) => !/long/i.test(text.slice(0, 1_500)));
if (silent.length > 0) {
  console.error(`These say nothing at their top of why they are long: ${silent.map(([path]) => path).join(", ")}`);
  process.exit(1);
}
for (const path of ["package-lock.json", "bench/peers/package-lock.json"]) {
  const lock = JSON.parse(readFileSync(join(root, path), "utf8"));
  if (Object.values(lock.packages).some((entry) => entry.resolved?.startsWith("http"))) {
    console.error(`${path} holds registry addresses; install with the repository's .npmrc.`);
    process.exit(1);
  }
  // npm leaves out packages for other platforms that its registry did not have; `npm ci` then fails everywhere.
  const lacking = Object.values(lock.packages)
    .flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}))
    .filter((name) => !Object.keys(lock.packages).some((at) => at.endsWith(`node_modules/${name}`)));
  if (lacking.length > 0) {
    console.error(`${path} lacks optional packages: ${lacking.join(", ")}`);
    process.exit(1);
  }
}
console.log("check: fine");
