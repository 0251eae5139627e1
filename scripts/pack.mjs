// `npm run pack`: installable tarballs of the packages in `packs/`.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { build, install, root, run } from "./install.mjs";

install();
build();
const packs = join(root, "packs");
mkdirSync(packs, { recursive: true });
for (const name of ["sdk", "server", "cli"]) {
  run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", packs], {
    cwd: join(root, "packages", name),
  });
}
