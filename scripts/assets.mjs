// Puts the SDK's tarball where the server offers it (`/sdk.tgz`). Skipped while the SDK has not changed.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./install.mjs";

const sdk = join(root, "packages/sdk");
const assets = join(root, "packages/server/assets");
const hash = createHash("sha256");
const visit = (folder) => {
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) visit(path);
    else if (!entry.name.startsWith(".")) hash.update(path.slice(sdk.length)).update(readFileSync(path));
  }
};
visit(join(sdk, "dist"));
hash.update(readFileSync(join(sdk, "package.json")));
const digest = hash.digest("hex");
const marker = join(assets, "sdk.hash");
if (!existsSync(join(assets, "sdk.tgz")) || !existsSync(marker) || readFileSync(marker, "utf8") !== digest) {
  mkdirSync(assets, { recursive: true });
  const packed = spawnSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", assets], {
    cwd: sdk,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (packed.status !== 0) {
    console.error(packed.stderr);
    process.exit(1);
  }
  const [name] = readdirSync(assets).filter((file) => file.startsWith("rotorsh-sdk-") && file.endsWith(".tgz"));
  renameSync(join(assets, name), join(assets, "sdk.tgz"));
  writeFileSync(marker, digest);
  rmSync(join(assets, name), { force: true });
}
