// What every fault run stands on: a Postgres of its own behind a proxy, and servers that can be killed and started again.
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, realpathSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { root } from "../scripts/install.mjs";
import { diceOf, sleep } from "./log.mjs";
import { startProxy } from "./proxy.mjs";

export const SCHEMA = "faults";
/** A node waits for half a minute for what it has in hand. */
const DRAIN_MS = 45_000;
/** How often it is looked whether Postgres has died, to start it again. */
const KEEP_MS = 200;

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
  /** Set by whoever arms it: told that it crashed at a failpoint, which is no death by itself. */
  onCrash;
  /** Settings of the next starts, besides the cluster's. */
  environment = {};
  constructor(port, cluster) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#cluster = cluster;
  }
  get pid() {
    return this.#child?.pid;
  }
  /** Started over until it stands: Postgres may be away just then. */
  async start(most = 40) {
    for (let tries = 0; tries < most; tries++) {
      if (await this.#begin()) return;
      // A failpoint on the way to its first word would end it each time.
      this.environment.ROTOR_FAILPOINTS = "";
      await sleep(300);
    }
    throw new Error(`The node at ${this.port} does not start; see ${this.#cluster.file("nodes.log")}.`);
  }
  #begin() {
    const { environment, file, died, cli, onFailpoint } = this.#cluster;
    const child = spawn(process.execPath, [cli, "start", "--json", "--port", String(this.port)], {
      env: { ...environment, ROTOR_NODE_ID: `node-${this.port}`, ...this.environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    let tail = "";
    child.stderr.on("data", (chunk) => {
      appendFileSync(file("nodes.log"), chunk);
      const lines = (tail + chunk).split("\n");
      tail = lines.pop();
      for (const line of lines)
        if (line.includes('"failpoint":')) onFailpoint({ node: this.port, ...JSON.parse(line) });
    });
    return new Promise((resolve) => {
      child.stdout.once("data", () => {
        this.#wanted = true;
        resolve(true);
      });
      child.once("close", (code, signal) => {
        if (this.#wanted && this.#child === child) {
          this.#wanted = false;
          if (signal === "SIGKILL" && this.onCrash !== undefined) this.onCrash();
          else died.push({ node: this.port, at: Date.now(), code, signal });
        }
        resolve(false);
      });
    });
  }
  signal(name) {
    this.#child?.kill(name);
  }
  /** How it ended; nothing, where it had ended before. */
  async kill(name) {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return {};
    this.#wanted = false;
    const gone = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
    child.kill(name);
    const timer = setTimeout(() => {
      // It was asked to end, and has had the time that it says it needs.
      this.#cluster.died.push({ node: this.port, at: Date.now(), what: "it did not end when it was asked to" });
      child.kill("SIGKILL");
    }, DRAIN_MS);
    const end = await gone;
    clearTimeout(timer);
    return end;
  }
}

/** A disk of its own for the database, whose size can be changed; undefined where this user may not mount one. */
function mountDisk(folder, megabytes) {
  const mount = (...options) => spawnSync("mount", [...options, folder], { encoding: "utf8" }).status === 0;
  if (!mount("-t", "tmpfs", "-o", `size=${megabytes}m,mode=755`, "rotor-faults")) return undefined;
  return {
    /** Nothing more fits, but for so many kilobytes. */
    fill: (left = 64) => {
      const used = Number(spawnSync("df", ["-k", "--output=used", folder], { encoding: "utf8" }).stdout.split("\n")[1]);
      return mount("-o", `remount,size=${used + left}k`);
    },
    free: () => mount("-o", `remount,size=${megabytes}m`),
    remove: () => spawnSync("umount", [folder]),
  };
}

/**
 * Starts Postgres and the proxy; the nodes are made, not started. `tree`: another copy of what is built, such as a mutant's.
 * `diskMb`: the database is on a disk of this size, where one can be had. `stop` ends all of it.
 */
export async function startCluster({ seed, count, tree = root, diskMb }) {
  const { startEmbedded } = await import("../packages/server/dist/postgres/embedded.js");
  const folder = mkdtempSync(join(tmpdir(), "rotor-faults-"));
  const file = (name) => join(folder, name);
  const cli = join(tree, "packages/cli/bin/rotor.mjs");
  mkdirSync(file("data"));
  // The user that runs Postgres must reach what is in it.
  chmodSync(folder, 0o755);
  let disk = diskMb === undefined ? undefined : mountDisk(file("data"), diskMb);
  const postgres = await startEmbedded({ dataDir: file("data") });
  const home = realpathSync(file("data/postgres"));
  if (disk !== undefined && !home.startsWith(realpathSync(file("data")))) {
    disk.remove();
    disk = undefined;
  }
  // The harness is its supervisor, as an operator's Postgres has one.
  let keeping = true;
  const keeper = (async () => {
    while (keeping) {
      await sleep(KEEP_MS);
      // It does not start while its disk is full; the next try may.
      await postgres.revive().catch((error) => appendFileSync(file("postgres-starts.log"), `${error.message}\n`));
    }
  })();
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
  /** Failpoint → times that it struck. */
  const struck = new Map();
  const onFailpoint = ({ failpoint }) => struck.set(failpoint, (struck.get(failpoint) ?? 0) + 1);
  const nodes = [];
  for (let n = 0; n < count; n++) nodes.push(new Node(await freePort(), { environment, file, died, cli, onFailpoint }));
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
    struck,
    disk,
    /** The main process of Postgres, as it is now. */
    postgresPid: () => Number(readFileSync(join(home, "postmaster.pid"), "utf8").split("\n")[0]),
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
        keeping = false;
        await keeper;
        disk?.free();
        await postgres.stop();
        disk?.remove();
      })();
      return stopped;
    },
  };
}
