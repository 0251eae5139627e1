// Walks `docs/first-ten-minutes.md` as a reader would: an Express app outside this clone, the SDK from the running server,
// the page's own code. Only the ports are others. Exit code 0 when both the job and the run are done.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, install, root } from "./install.mjs";

install();
build();

const page = readFileSync(join(root, "docs/first-ten-minutes.md"), "utf8");
const files = new Map();
for (const [, name, code] of page.matchAll(/<!-- file: (\S+?)(?:, continued)? -->\n```js\n([\s\S]*?)```/g))
  files.set(name, (files.get(name) ?? "") + code);
const key = /ROTOR_SIGNING_KEY=(\S+)/.exec(page)[1];

const freePort = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
const folder = mkdtempSync(join(tmpdir(), "rotor-first-"));
const children = [];
/** Starts a program and resolves with the first output that matches. */
function begin(args, env, cwd, pattern) {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk) => {
      process.stdout.write(chunk);
      text += chunk;
      const found = pattern.exec(text);
      if (found) resolve(found);
    });
    child.once("exit", (code) => reject(new Error(`${args[0]} ended with ${code}`)));
  });
}

let code = 1;
try {
  const [port, appPort] = [await freePort(), await freePort()];
  const baseUrl = `http://127.0.0.1:${port}`;
  const appUrl = `http://127.0.0.1:${appPort}/api/rotor`;
  const dev = begin(
    [join(root, "packages/cli/bin/rotor.mjs"), "dev", "--port", String(port), "-u", appUrl],
    { ROTOR_DATA_DIR: join(folder, "data") },
    folder,
    /http:\/\/127/,
  );
  await dev;
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
  await begin([join(app, "app.mjs")], env, app, /app: http/);
  // `rotor dev` looks for the app every two seconds.
  for (let tries = 0; tries < 100; tries++) {
    const functions = await fetch(`${baseUrl}/v1/functions`).then((response) => response.json());
    if (functions.data.length > 0) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await begin([join(app, "use.mjs")], env, app, /run \{ account: 'acc_Ada', confirmed: true \}/);
  console.log("The page works as it stands.");
  code = 0;
} catch (error) {
  console.error(error.message);
} finally {
  for (const child of children.reverse()) {
    if (child.exitCode !== null) continue;
    child.removeAllListeners("exit");
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await gone;
  }
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
