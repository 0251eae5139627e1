// Walks `docs/first-ten-minutes.md` as a reader would: an Express app outside this clone, the SDK from the running server,
// the page's own code. Only the ports are others. Exit code 0 when both the job and the run are done.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { begin, endAll, freePort, stopAfter } from "./children.mjs";
import { build, install, root } from "./install.mjs";

install();
build();
stopAfter(170);

const page = readFileSync(join(root, "docs/first-ten-minutes.md"), "utf8");
const files = new Map();
for (const [, name, code] of page.matchAll(/<!-- file: (\S+?)(?:, continued)? -->\n```js\n([\s\S]*?)```/g))
  files.set(name, (files.get(name) ?? "") + code);
const key = /ROTOR_SIGNING_KEY=(\S+)/.exec(page)[1];

const folder = mkdtempSync(join(tmpdir(), "rotor-first-"));
const node = (args, options) => begin(process.execPath, args, options);

let code = 1;
try {
  const [port, appPort] = [await freePort(), await freePort()];
  const baseUrl = `http://127.0.0.1:${port}`;
  const appUrl = `http://127.0.0.1:${appPort}/api/rotor`;
  const dev = node([join(root, "packages/cli/bin/rotor.mjs"), "dev", "--port", String(port), "-u", appUrl], {
    env: { ROTOR_DATA_DIR: join(folder, "data") },
    cwd: folder,
  });
  await dev.said(/http:\/\/127/);
  const app = join(folder, "app");
  spawnSync("mkdir", ["-p", app]);
  writeFileSync(join(app, "package.json"), '{ "private": true }\n');
  for (const [name, text] of files) writeFileSync(join(app, name), text.replaceAll("3000", String(appPort)));
  const npm = spawnSync(
    "npm",
    ["i", "--no-audit", "--no-fund", "--loglevel=error", "express@5", `${baseUrl}/sdk.tgz`],
    { cwd: app, stdio: "inherit" },
  );
  if (npm.status !== 0) throw new Error("npm could not install the SDK from the server");
  const env = { ROTOR_DEV: "1", ROTOR_SIGNING_KEY: key, ROTOR_BASE_URL: baseUrl };
  await node([join(app, "app.mjs")], { env, cwd: app }).said(/app: http/);
  // `rotor dev` looks for the app every two seconds.
  for (let tries = 0; tries < 100; tries++) {
    const functions = await fetch(`${baseUrl}/v1/functions`).then((response) => response.json());
    if (functions.data.length > 0) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await node([join(app, "use.mjs")], { env, cwd: app }).said(/run \{ account: 'acc_Ada', confirmed: true \}/);
  console.log("The page works as it stands.");
  code = 0;
} catch (error) {
  console.error(error.message);
} finally {
  await endAll();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
