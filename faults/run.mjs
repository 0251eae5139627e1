// `npm run faults -- --seconds 60 --seed 7`: servers, an app and a client, each with its own log, while nodes are killed
// and stopped and connections cut, as one seed says; then peace, and a verdict. `--record` keeps it in the ledger.
import { fork, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { build, install, root } from "../scripts/install.mjs";
import { check } from "./checker.mjs";
import { startClient } from "./client.mjs";
import { diceOf, sleep } from "./log.mjs";
import { startNemesis } from "./nemesis.mjs";
import { startProxy } from "./proxy.mjs";

/** How long everything may take to come to its end once nothing is broken any more. */
const QUIESCE_MS = 60_000;
const SCHEMA = "faults";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(randomBytes(3).readUIntBE(0, 3)) },
    nodes: { type: "string", default: "3" },
    every: { type: "string", default: "300" },
    record: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    calm: { type: "boolean", default: false },
  },
});
install();
build();
const { startEmbedded } = await import("../packages/server/dist/postgres/embedded.js");
const folder = mkdtempSync(join(tmpdir(), "rotor-faults-"));
const file = (name) => join(folder, name);
console.log(`seed ${values.seed}, ${values.seconds} s, ${values.nodes} nodes; logs in ${folder}`);
mkdirSync(file("data"));
const postgres = await startEmbedded({ dataDir: file("data") });
const proxy = await startProxy(postgres.url, diceOf(values.seed, "proxy"));
const signingKey = `whsec_${randomBytes(32).toString("base64")}`;
const apiKey = `rt_ws_default_${randomBytes(32).toString("base64url")}`;
const environment = {
  ...process.env,
  DATABASE_URL: proxy.url,
  ROTOR_SCHEMA: SCHEMA,
  ROTOR_ENCRYPTION_KEYS: randomBytes(32).toString("base64"),
  ROTOR_BOOTSTRAP_KEY: apiKey,
  ROTOR_SIGNING_KEY: signingKey,
  ROTOR_ALLOW_PRIVATE_URLS: "loopback",
  ROTOR_LOG_LEVEL: "warn",
};
const cli = join(root, "packages/cli/bin/rotor.mjs");

/** A port that is free now. */
const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** Nodes that ended although nobody ended them. */
const died = [];

/** A server that can be killed and started again under the same address. */
class Node {
  #child;
  #wanted = false;
  constructor(port) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#child = undefined;
  }
  /** Started over until it stands: Postgres may be away just then. */
  async start(most = 20) {
    for (let tries = 0; tries < most; tries++) {
      if (await this.#begin()) return;
      await sleep(500);
    }
    throw new Error(`The node at ${this.port} does not start; see ${file("nodes.log")}.`);
  }
  #begin() {
    const errors = openSync(file("nodes.log"), "a");
    const child = spawn(process.execPath, [cli, "start", "--json", "--port", String(this.port)], {
      env: { ...environment, ROTOR_NODE_ID: `node-${this.port}` },
      stdio: ["ignore", "pipe", errors],
    });
    this.#child = child;
    return new Promise((resolve) => {
      child.stdout.once("data", () => {
        this.#wanted = true;
        resolve(true);
      });
      child.once("exit", (code, signal) => {
        if (this.#wanted && this.#child === child) died.push({ node: this.port, at: Date.now(), code, signal });
        resolve(false);
      });
    });
  }
  signal(name) {
    this.#child.kill(name);
  }
  async kill(name) {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    this.#wanted = false;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(name);
    await gone;
  }
}

const nodes = [];
for (let n = 0; n < Number(values.nodes); n++) nodes.push(new Node(await freePort()));
const pool = new pg.Pool({ connectionString: postgres.url, max: 4, application_name: "faults" });
// A connection that a fault broke is replaced.
pool.on("error", () => undefined);
const database = async (text, params) => (await pool.query(text, params)).rows;
const app = fork(join(root, "faults/app.mjs"), {
  env: {
    ...environment,
    FAULTS_LOG: file("app.log"),
    FAULTS_SIGNING_KEY: signingKey,
    FAULTS_NODES: nodes.map((node) => node.url).join(","),
  },
});
const { url: appUrl } = await new Promise((resolve) => app.once("message", resolve));

async function call(method, route, body) {
  const answer = await fetch(nodes[0].url + route, {
    method,
    headers: { "content-type": "application/json", authorization: `Bearer ${apiKey}` },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${route}: ${answer.status} ${await answer.text()}`);
}

/** Rows that are not finished. */
const unfinished = async () =>
  Number((await database(`select count(*) from ${SCHEMA}.jobs where due_at is not null`))[0].count);

/** The most jobs of the narrow queue that were active at one time, looked at all the while. */
let mostActive = 0;
let watching = true;
async function watch() {
  while (watching) {
    const rows = await database(
      `select count(*)::int from ${SCHEMA}.jobs j join ${SCHEMA}.queues q on q.id = j.queue_id where q.name = 'narrow' and j.state = 'active'`,
    ).catch(() => [{ count: 0 }]);
    mostActive = Math.max(mostActive, rows[0].count);
    await sleep(50);
  }
}

let verdict;
try {
  // All at once on an empty schema: that, too, must go well.
  await Promise.all(nodes.map((node) => node.start(1)));
  const retry = { backoff: "fixed", min: "300ms" };
  await call("POST", "/v1/queues", { name: "plain", callback_url: `${appUrl}/job`, concurrency: 50, retry });
  await call("POST", "/v1/queues", { name: "narrow", callback_url: `${appUrl}/job`, concurrency: 2, retry });
  await call("POST", "/v1/functions/sync", { url: `${appUrl}/api/rotor` });
  const watcher = watch();
  const client = startClient({
    seed: values.seed,
    nodes: nodes.map((node) => node.url),
    apiKey,
    path: file("client.log"),
    everyMs: Number(values.every),
  });
  const nemesis = values.calm
    ? undefined
    : startNemesis({ seed: values.seed, nodes, database, proxy, path: file("nemesis.log") });
  await sleep(Number(values.seconds) * 1_000);
  const peaceful = Promise.all([nemesis?.stop(), client.stop()]);
  await peaceful;
  const peaceAt = Date.now();
  while ((await unfinished()) > 0 && Date.now() - peaceAt < QUIESCE_MS) await sleep(200);
  const quiesceMs = Date.now() - peaceAt;
  watching = false;
  await watcher;
  const doctor = spawn(process.execPath, [cli, "doctor", "--json"], {
    env: environment,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  for await (const chunk of doctor.stdout) text += chunk;
  const { violations } = JSON.parse(text);
  verdict = await check({
    file,
    database,
    schema: SCHEMA,
    violations,
    mostActive,
    quiesceMs,
    died,
    repliesLost: proxy.repliesLost(),
  });
} finally {
  for (const node of nodes) node.signal("SIGCONT");
  await Promise.all(nodes.map((node) => node.kill("SIGTERM")));
  app.disconnect();
  await pool.end();
  await proxy.stop();
  await postgres.stop();
}
for (const problem of verdict.problems) console.log(JSON.stringify(problem));
const line = { seed: values.seed, seconds: Number(values.seconds), nodes: nodes.length, ...verdict.figures };
if (values.record)
  appendFileSync(join(root, "faults/ledger.jsonl"), `${JSON.stringify({ at: new Date().toISOString(), ...line })}\n`);
if (verdict.figures.failed === 0 && !values.keep) rmSync(folder, { recursive: true, force: true });
console.log(JSON.stringify(line));
process.exitCode = verdict.figures.failed === 0 ? 0 : 1;
