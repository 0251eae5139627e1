// `npm run cron-check`: the ticks of sixty expressions around every change of the clocks since 2000, in one zone for each
// distinct set of changes, against a slow and plain reference. `npm test` takes a sample of the same. Ten minutes alone on a machine, half an hour beside other work.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { install, root } from "./install.mjs";

install();
const vitest = join(root, "node_modules/vitest/vitest.mjs");
const { status } = spawnSync(process.execPath, [vitest, "run", "packages/server/src/core/cron-reference.test.ts"], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, ROTOR_CRON_CHECK: "all" },
});
process.exit(status ?? 1);
