// `npm run model -- --histories 5000 --seed 7`: plays random histories on the queue and on a plain model of it, and compares
// after every command. `npm test` plays a hundred. Prints the seed; with --path, as a failure names it, that one alone.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { install, root } from "./install.mjs";

const { values } = parseArgs({
  options: {
    histories: { type: "string", default: "2000" },
    seed: { type: "string" },
    path: { type: "string" },
    shrink: { type: "boolean", default: false },
  },
});
install();
const vitest = join(root, "node_modules/vitest/vitest.mjs");
const { status } = spawnSync(
  process.execPath,
  [vitest, "run", "packages/server/src/store/queue-model.test.ts", "--testNamePattern", "keeps to the model"],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      ROTOR_HISTORIES: values.path === undefined ? values.histories : "1",
      ...(values.seed === undefined ? {} : { ROTOR_SEED: values.seed }),
      ...(values.path === undefined ? {} : { ROTOR_PATH: values.path }),
      ...(values.shrink ? { ROTOR_SHRINK: "1" } : {}),
    },
  },
);
process.exit(status ?? 1);
