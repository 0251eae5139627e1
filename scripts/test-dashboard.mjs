// `npm run test:dashboard`: the dashboard in a real Chromium against a real server. `npm run screenshots` makes the
// README's pictures the same way. Needs Debian's `chromium`, or CHROMIUM with the path of another.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { build, install, root } from "./install.mjs";

const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
if (!existsSync(chromium)) {
  console.error(`There is no Chromium at ${chromium}: \`apt-get install -y chromium\`, or set CHROMIUM to its path.`);
  process.exit(1);
}
install();
build();
const [what = "test", ...rest] = process.argv.slice(2);
const isPictures = what === "screenshots";
const config = join(root, "packages/dashboard", isPictures ? "vitest.screenshots.ts" : "vitest.browser.ts");
const { status } = spawnSync(
  process.execPath,
  [
    join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    "--config",
    config,
    ...(isPictures || what === "test" ? rest : [what, ...rest]),
  ],
  { cwd: root, stdio: "inherit", env: { ...process.env, CHROMIUM: chromium } },
);
process.exit(status ?? 1);
