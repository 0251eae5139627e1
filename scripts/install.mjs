// Installs and builds what is missing or stale, with nothing but Node: `npm start` and `npm test` must work in a bare clone.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const npm = process.platform === "win32" ? "npm.cmd" : "npm";

/** Runs a command in the repository; ends this process with its code if it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
    ...options,
  });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
  return result;
}

const time = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

/** Installs if there is no install, or one older than the lock file. Install scripts are not needed, and not run. */
export function install() {
  const marker = join(root, "node_modules/.package-lock.json");
  if (time(marker) >= time(join(root, "package-lock.json")) && time(marker) > 0) return;
  console.log("Installing…");
  run(npm, ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
}

/** Builds; the compiler skips what has not changed. */
export function build() {
  run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b"]);
  run(process.execPath, [join(root, "scripts/assets.mjs")]);
  run(process.execPath, [join(root, "scripts/dashboard.mjs")]);
}
