// Walks `docs/first-ten-minutes.md` and `docs/workflows/quickstart.md` as their readers would: apps outside of this clone, the
// SDK from the running server, the pages' own code. Only the ports are others. Exit code 0 when each has printed what its page
// says.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { begin, endAll, freePort, stopAfter } from "./children.mjs";
import { build, install, root } from "./install.mjs";

install();
build();
stopAfter(170);

const express = ["express@5"];
const quickstart = "docs/workflows/quickstart.md";
const walks = [
  { page: "docs/first-ten-minutes.md", packages: express, says: /run \{ account: 'acc_Ada', confirmed: true \}/ },
  { page: quickstart, app: "express", packages: express, says: /^\{ account: 'acc_Ada', confirmed: true \}$/m },
  {
    page: quickstart,
    app: "hono",
    packages: ["hono@4", "@hono/node-server@1"],
    says: /^\{ account: 'acc_Ada', confirmed: true \}$/m,
  },
];

/** The files of a page, those of one app and those that are for all, by name. */
function filesOf(text, app) {
  const files = new Map();
  for (const [, path, code] of text.matchAll(/<!-- file: (\S+?)(?:, continued)? -->\n```(?:js|ts)\n([\s\S]*?)```/g)) {
    const [name, folder] = path.split("/").reverse();
    if (folder === undefined || folder === app) files.set(name, (files.get(name) ?? "") + code);
  }
  return files;
}

async function walk({ page, app, packages, says }, folder) {
  const files = filesOf(readFileSync(join(root, page), "utf8"), app);
  const [port, appPort] = [await freePort(), await freePort()];
  const baseUrl = `http://127.0.0.1:${port}`;
  const appUrl = `http://127.0.0.1:${appPort}/api/rotor`;
  const node = (args, options) => begin(process.execPath, args, options);
  const dev = node([join(root, "packages/cli/bin/rotor.mjs"), "dev", "--port", String(port), "-u", appUrl], {
    env: { ROTOR_DATA_DIR: join(folder, "data") },
    cwd: folder,
  });
  await dev.said(/http:\/\/127/);
  const home = join(folder, "app");
  mkdirSync(home);
  writeFileSync(join(home, "package.json"), '{ "private": true }\n');
  for (const [name, text] of files) writeFileSync(join(home, name), text.replaceAll("3000", String(appPort)));
  const npm = spawnSync(
    "npm",
    ["i", "--no-audit", "--no-fund", "--loglevel=error", ...packages, `${baseUrl}/sdk.tgz`],
    {
      cwd: home,
      stdio: "inherit",
    },
  );
  if (npm.status !== 0) throw new Error("npm could not install the SDK from the server");
  const env = { ROTOR_DEV: "1", ROTOR_SIGNING_KEY: key, ROTOR_BASE_URL: baseUrl };
  const over = node([join(home, "app.mjs")], { env, cwd: home }).said(/(?!)/);
  // `rotor dev` looks for the app every two seconds.
  const found = async () => {
    for (let tries = 0; tries < 100; tries++) {
      const functions = await fetch(`${baseUrl}/v1/functions`).then((response) => response.json());
      if (functions.data.length > 0) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`rotor dev did not find the app of ${page}`);
  };
  await Promise.race([found(), over]);
  over.catch(() => undefined);
  await node([join(home, "use.mjs")], { env, cwd: home }).said(says);
  await endAll();
  console.log(`── ${page}${app === undefined ? "" : `, in ${app}`}: works as it stands`);
}

const key = /ROTOR_SIGNING_KEY=(\S+)/.exec(readFileSync(join(root, "docs/first-ten-minutes.md"), "utf8"))[1];
const folders = [];
let code = 1;
try {
  for (const one of walks) {
    const folder = mkdtempSync(join(tmpdir(), "rotor-first-"));
    folders.push(folder);
    await walk(one, folder);
  }
  code = 0;
} catch (error) {
  console.error(error.message);
} finally {
  await endAll();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
