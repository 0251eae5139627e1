// `npm run fuzz -- --minutes N [--seed S]`: every parser of ours, for so long, shared among them. What is found is added to the corpus.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, install, root } from "./install.mjs";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" }, seed: { type: "string" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error("Write --minutes and a number above 0.");
  process.exit(2);
}
install();
build();
const { status } = spawnSync(
  process.execPath,
  [join(root, "node_modules/vitest/vitest.mjs"), "run", "packages/server/src/fuzz.test.ts"],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      ROTOR_FUZZ_MINUTES: String(minutes),
      ...(values.seed === undefined ? {} : { ROTOR_SEED: values.seed }),
    },
  },
);
process.exit(status ?? 1);
