// Walks `docs/callback-quickstart.md` as its readers would: an Express, a Hono, a Next.js and a FastAPI app outside of this
// clone, with the SDK from the running server and the page's own code. Only the ports and the jobs' ids are others. Exit code
// 0 when each app has turned away a forged request and has had its job delivered. `node scripts/doc-apps.mjs nextjs`: only that one.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { begin, endAll, freePort, stopAfter } from "./children.mjs";
import { needDebian } from "./debian.mjs";
import { build, install, root } from "./install.mjs";

install();
build();
const msLeft = stopAfter(170);

const page = readFileSync(join(root, "docs/callback-quickstart.md"), "utf8");
/** The page's blocks: the comment before each, its language, its code. */
const blocks = [...page.matchAll(/^(?:<!-- ([^\n]*?) -->\n)?```(\w+)\n([\s\S]*?)^```$/gm)].map(
  ([, mark = "", language, code]) => ({
    mark,
    language,
    code,
  }),
);
const key = /ROTOR_SIGNING_KEY=(\S+)/.exec(page)[1];
const sdk = blocks.find(({ code }) => code.includes("sdk.tgz")).code.trim();
/** Making the queue, enqueueing the job, looking at it. */
const [put, enqueue, look] = blocks.filter(({ code }) => code.startsWith("curl")).map(({ code }) => code);
const python = "/usr/bin/python3";

/** What a reader has before: the framework; and how its app is started. */
const apps = {
  express: { packages: ["express@5"], start: () => [process.execPath, "app.mjs"] },
  hono: { packages: ["hono@4", "@hono/node-server@1"], start: () => [process.execPath, "app.mjs"] },
  nextjs: {
    packages: ["next@16.4.6", "react@19", "react-dom@19"],
    start: (port) => [process.execPath, "node_modules/next/dist/bin/next", "dev", "-p", port, "-H", "127.0.0.1"],
    before: {
      "app/layout.js":
        'export default function Layout({ children }) {\n  return <html lang="en"><body>{children}</body></html>;\n}\n',
      "app/page.js": "export default function Page() {\n  return <p>An app</p>;\n}\n",
    },
  },
  fastapi: { start: (port) => [python, "-m", "uvicorn", "main:app", "--port", port] },
};

function command(name, args, options) {
  const { status, stdout, error } = spawnSync(name, args, {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: msLeft(),
    ...options,
  });
  if (status !== 0)
    throw new Error(`${name} ${args.join(" ")}: ${error?.message ?? `exit code ${status}`}\n${stdout ?? ""}`);
  return stdout.toString();
}

const needFastapi = () =>
  needDebian(
    `FastAPI for ${python}`,
    ["python3-fastapi", "python3-uvicorn"],
    () => spawnSync(python, ["-c", "import fastapi, uvicorn"]).status === 0,
    msLeft,
  );

async function until(what, look, seconds = 60) {
  const end = Date.now() + seconds * 1_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`Waited ${seconds} s in vain for ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Makes the app that a reader has, with the page's route in it. */
function make(name, folder, port, rotorPort) {
  const { packages, before = {} } = apps[name];
  const files = new Map(Object.entries(before));
  for (const { mark, code } of blocks) {
    if (mark.startsWith(`file: ${name}/`)) files.set(mark.slice(`file: ${name}/`.length), code);
    if (name === "fastapi" && mark.startsWith("file: examples/verify/")) files.set(mark.split("/").at(-1), code);
  }
  for (const [path, code] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), code.replaceAll("3000", port));
  }
  if (packages === undefined) return needFastapi();
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  command("npm", ["i", "--no-audit", "--no-fund", "--loglevel=error", ...packages], { cwd: folder });
  command("bash", ["-c", sdk.replaceAll("7686", rotorPort)], { cwd: folder });
}

async function walk(name, folder, rotorPort) {
  const begunAt = Date.now();
  const port = String(await freePort());
  mkdirSync(folder);
  make(name, folder, port, rotorPort);
  const [program, ...args] = apps[name].start(port);
  const { said } = begin(program, args, { cwd: folder, env: { ROTOR_SIGNING_KEY: key, NEXT_TELEMETRY_DISABLED: "1" } });
  const over = said(/(?!)/);
  const url = `http://127.0.0.1:${port}/api/jobs/welcome`;
  const forged = () =>
    fetch(url, {
      method: "POST",
      body: '{"name":"Eve"}',
      headers: { "x-rotor-signature": `t=${Math.floor(Date.now() / 1_000)},v1=${"0".repeat(64)}` },
    }).catch(() => undefined);
  const refused = await Promise.race([until(`${name} to listen`, forged), over]);
  if (refused.status !== 401)
    throw new Error(`${name} answered a forged request with ${refused.status}: ${await refused.text()}`);

  const here = (code) =>
    code.replaceAll("7686", rotorPort).replaceAll("3000", port).replaceAll("welcome-ada", `welcome-ada-${name}`);
  const typed = (code) =>
    JSON.parse(command("bash", ["-c", here(code)], { cwd: folder, stdio: ["ignore", "pipe", "ignore"] }));
  typed(put);
  const enqueued = typed(enqueue);
  if (enqueued.duplicate !== false) throw new Error(`It was not enqueued: ${JSON.stringify(enqueued)}`);
  const printed = said(/Welcome, Ada!/);
  const job = await until(`${name} to have its job`, () => {
    const found = typed(look);
    return found.state === "completed" && found;
  });
  await printed;
  if (JSON.stringify(job.output) !== '{"welcomed":"Ada"}' || job.attempt !== 1)
    throw new Error(`The job of ${name}: ${JSON.stringify(job)}`);
  console.log(`── ${name}: delivered, ${Math.round((Date.now() - begunAt) / 1_000)} s`);
  over.catch(() => undefined);
}

const folder = mkdtempSync(join(tmpdir(), "rotor-apps-"));
let code = 1;
try {
  const rotorPort = String(await freePort());
  const dev = begin(process.execPath, [join(root, "packages/cli/bin/rotor.mjs"), "dev", "--port", rotorPort], {
    cwd: folder,
    env: { ROTOR_DATA_DIR: join(folder, "data") },
  });
  await dev.said(/listens at http:\/\/127/);
  const chosen = process.argv.slice(2);
  for (const name of chosen.length > 0 ? chosen : Object.keys(apps)) await walk(name, join(folder, name), rotorPort);
  console.log("The page works as it stands.");
  code = 0;
} catch (error) {
  console.error(error.message);
} finally {
  await endAll();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
