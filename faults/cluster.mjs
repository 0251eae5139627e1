// What every fault run stands on: a Postgres of its own behind a proxy, and servers that can be killed and started again.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { root } from "../scripts/install.mjs";
import { diceOf, sleep } from "./log.mjs";
import { startProxy } from "./proxy.mjs";

export const SCHEMA = "faults";
const cli = join(root, "packages/cli/bin/rotor.mjs");

/** A port that is free now. */
const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** A server that can be killed and started again under the same address. */
class Node {
  #child;
  #wanted = false;
  #cluster;
  constructor(port, cluster) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#cluster = cluster;
  }
  /** Started over until it stands: Postgres may be away just then. */
  async start(most = 20) {
    for (let tries = 0; tries < most; tries++) {
      if (await this.#begin()) return;
      await sleep(500);
    }
    throw new Error(`The node at ${this.port} does not start; see ${this.#cluster.file("nodes.log")}.`);
  }
  #begin() {
    const { environment, file, died } = this.#cluster;
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
    this.#child?.kill(name);
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

/** Starts Postgres and the proxy; the nodes are made, not started. `stop` ends all of it. */
export async function startCluster({ seed, count }) {
  const { startEmbedded } = await import("../packages/server/dist/postgres/embedded.js");
  const folder = mkdtempSync(join(tmpdir(), "rotor-faults-"));
  const file = (name) => join(folder, name);
  mkdirSync(file("data"));
  const postgres = await startEmbedded({ dataDir: file("data") });
  const proxy = await startProxy(postgres.url, diceOf(seed, "proxy"));
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
  /** Nodes that ended although nobody ended them. */
  const died = [];
  const nodes = [];
  for (let n = 0; n < count; n++) nodes.push(new Node(await freePort(), { environment, file, died }));
  const pool = new pg.Pool({ connectionString: postgres.url, max: 4, application_name: "faults" });
  // A connection that a fault broke is replaced.
  pool.on("error", () => undefined);
  let stopped;
  return {
    folder,
    file,
    proxy,
    nodes,
    died,
    signingKey,
    apiKey,
    environment,
    database: async (text, params) => (await pool.query(text, params)).rows,
    /** One request to a node; an answer that is no success is an error. */
    async call(method, route, body, node = nodes[0]) {
      const answer = await fetch(node.url + route, {
        method,
        headers: { "content-type": "application/json", authorization: `Bearer ${apiKey}` },
        body: JSON.stringify(body),
      });
      if (!answer.ok) throw new Error(`${route}: ${answer.status} ${await answer.text()}`);
      return answer.json();
    },
    /** What `rotor doctor` says is broken. */
    async violations() {
      const doctor = spawn(process.execPath, [cli, "doctor", "--json"], {
        env: environment,
        stdio: ["ignore", "pipe", "inherit"],
      });
      let text = "";
      for await (const chunk of doctor.stdout) text += chunk;
      return JSON.parse(text).violations;
    },
    /** Once, however often it is asked for. */
    stop() {
      stopped ??= (async () => {
        for (const node of nodes) node.signal("SIGCONT");
        await Promise.all(nodes.map((node) => node.kill("SIGTERM")));
        await pool.end();
        await proxy.stop();
        await postgres.stop();
      })();
      return stopped;
    },
  };
}
