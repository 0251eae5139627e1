// Walks `docs/operating.md` as an operator would: the tarballs in a folder of their own, two servers of a user who owns nothing, a
// restart while work is in hand, a copy of the database that is held. Only addresses and folders are others. Exit code 0 when all
// of it is so.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import pg from "pg";
import { begin, freePort, stopAfter } from "./children.mjs";
import { build, install, root } from "./install.mjs";
import { onPostgres } from "./on-postgres.mjs";

install();
build();
const msLeft = stopAfter(150);
const { Rotor, verifyRotorSignature } = await import("@rotorsh/sdk");
const page = readFileSync(join(root, "docs/operating.md"), "utf8");
const blockOf = (name) => new RegExp(`<!-- walk: ${name} -->\n+\`\`\`sh\n([\\s\\S]*?)\`\`\``).exec(page)[1].trim();

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, look) {
  for (const end = Date.now() + 30_000; ; await wait(100)) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`Waited 30 s in vain for ${what}.`);
  }
}

function check(what, is, wanted) {
  if (JSON.stringify(is) !== JSON.stringify(wanted))
    throw new Error(`${what}: ${JSON.stringify(is)}, not ${JSON.stringify(wanted)}`);
}

/** Answers what it printed. The relay is in this process, which must not stand still meanwhile. */
async function shell(text, cwd, env) {
  const child = spawn("bash", ["-euc", text], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
    timeout: msLeft(),
  });
  const chunks = [];
  child.stdout.on("data", (chunk) => chunks.push(chunk));
  const [status] = await once(child, "close");
  const printed = Buffer.concat(chunks).toString();
  if (status !== 0) throw new Error(`${text}\nended with ${status}\n${printed}`);
  return printed;
}

/** Starts `npx rotor start` as somebody else, where this process may; answers its address once it listens. */
async function startServer(home, env) {
  const rotor = join(home, "node_modules/@rotorsh/cli/bin/rotor.mjs");
  const port = String(await freePort());
  const command = [process.execPath, rotor, "start", "--json", "--port", port];
  const somebody = process.getuid() === 0 ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : [];
  const [name, ...args] = [...somebody, ...command];
  const server = begin(name, args, { cwd: home, env: { ...env, HOME: "/nonexistent" } });
  const [, url] = await server.said(/"url":"(http[^"]+)"/);
  return { ...server, url };
}

async function walk({ folder, port }) {
  const home = join(folder, "rotor");
  const env = {
    DATABASE_URL: `postgres://postgres@127.0.0.1:${port}/rotor`,
    ROTOR_ENCRYPTION_KEYS: Buffer.alloc(32, 7).toString("base64"),
    ROTOR_SIGNING_KEY: `whsec_${Buffer.alloc(32, 8).toString("base64")}`,
    ROTOR_ALLOW_PRIVATE_URLS: "loopback",
  };
  await shell("node scripts/pack.mjs", root);
  await shell(blockOf("install").replaceAll("/srv/rotor", home).replace("/path/to", root), folder);
  // The exports are ours; the last line is started below, twice.
  const lines = blockOf("start")
    .split("\n")
    .filter((line) => !line.startsWith("export "));
  check("the last line", lines.pop(), "npx rotor start");
  const [apiKey] = /rt_ws_\S+/.exec(await shell(lines.join("\n"), home, env));

  const calls = [];
  const endpoint = createServer(async (request, response) => {
    const body = await buffer(request);
    const good = verifyRotorSignature(body, request.headers["x-rotor-signature"], env.ROTOR_SIGNING_KEY);
    calls.push(good ? request.headers["x-rotor-job-id"] : "forged");
    setTimeout(() => response.end(), 1_500);
  });
  await new Promise((resolve) => endpoint.listen(0, "127.0.0.1", resolve));
  const callbackUrl = `http://127.0.0.1:${endpoint.address().port}/`;
  const [first, second] = [await startServer(home, env), await startServer(home, env)];
  const rotor = new Rotor({ baseUrl: second.url, apiKey });
  await rotor.queues.create("slow", { callbackUrl, concurrency: 10 });
  const ids = [];
  for (let n = 0; n < 20; n++) ids.push((await rotor.jobs.enqueue("slow")).id);
  await until("deliveries", () => calls.length >= 8);
  process.kill(first.pid, "SIGTERM");
  await until("503 of a server that drains, or its end", () =>
    fetch(`${first.url}/readyz`).then(
      ({ status }) => status === 503,
      () => true,
    ),
  );
  for (const id of ids) await until("its end", async () => (await rotor.jobs.get("slow", id)).state === "completed");
  for (const id of ids) check("attempts", (await rotor.jobs.get("slow", id)).attempt, 1);
  check("deliveries", [calls.length, new Set(calls).size], [20, 20]);

  const { id } = await rotor.jobs.enqueue("slow", { delay: "1s" });
  process.kill(second.pid, "SIGTERM");
  await until("its end", () =>
    fetch(`${second.url}/healthz`).then(
      () => false,
      () => true,
    ),
  );
  const client = new pg.Client(`postgres://postgres@127.0.0.1:${port}/template1`);
  await client.connect();
  await until("a copy of the database", () =>
    client.query("create database restored template rotor").then(
      () => true,
      (error) => {
        // Its servers have gone, and their sessions are about to.
        if (error.code === "55006") return false;
        throw error;
      },
    ),
  );
  await client.end();
  const copy = { ...env, DATABASE_URL: env.DATABASE_URL.replace(/rotor$/, "restored") };
  const [name, value] = blockOf("restore").split(" ")[0].split("=");
  const held = await startServer(home, { ...copy, [name]: value });
  check("held", (await (await fetch(`${held.url}/readyz`)).json()).held, true);
  await wait(2_000);
  check("calls while it is held", calls.length, 20);
  await shell("npx rotor adopt --release", home, { ...copy, [name]: value });
  await until("the delivery of what waited", () => calls.includes(id));
  endpoint.closeAllConnections();
  endpoint.close();
}

process.exit(await onPostgres("The page works as it stands.", walk));
