// What a benchmark runs on: a Postgres (embedded, or DATABASE_URL), a server and an app as processes of their own, a client,
// and a connection for looking. All of it leaves with `close`.
import { fork, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Rotor } from "@rotorsh/sdk";
import pg from "pg";
import { build, install, root } from "../scripts/install.mjs";

/** `built`: the packages are built already. `env`: more settings of the server. `ROTOR_PROFILE=FOLDER` profiles server and app. */
export async function openStage(name, { built = false, env = {} } = {}) {
  const profile = process.env.ROTOR_PROFILE ? ["--cpu-prof", `--cpu-prof-dir=${process.env.ROTOR_PROFILE}`] : [];
  if (!built) {
    install();
    build();
  }
  const { startEmbedded } = await import("../packages/server/dist/postgres/embedded.js");
  const folder = mkdtempSync(join(tmpdir(), `rotor-${name}-`));
  const postgres = process.env.DATABASE_URL ? undefined : await startEmbedded({ dataDir: folder });
  const databaseUrl = process.env.DATABASE_URL ?? postgres.url;
  const schema = `${name}_${randomBytes(4).toString("hex")}`;
  const signingKey = `whsec_${randomBytes(32).toString("base64")}`;
  const apiKey = `rt_ws_default_${randomBytes(32).toString("base64url")}`;
  const encryptionKey = randomBytes(32).toString("base64");
  let server;
  const apps = [];

  /** A server process on this Postgres, and its address. */
  async function openServer() {
    const command = [join(root, "packages/cli/bin/rotor.mjs"), "start", "--json", "--port", "0"];
    const opened = spawn(process.execPath, [...profile, ...command], {
      env: {
        ...process.env,
        DATABASE_URL: databaseUrl,
        ROTOR_SCHEMA: schema,
        ROTOR_ENCRYPTION_KEYS: encryptionKey,
        ROTOR_BOOTSTRAP_KEY: apiKey,
        ROTOR_SIGNING_KEY: signingKey,
        ROTOR_ALLOW_PRIVATE_URLS: "loopback",
        ROTOR_LOG_LEVEL: "error",
        ...env,
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const url = await new Promise((resolve, reject) => {
      opened.stdout.once("data", (chunk) => resolve(JSON.parse(String(chunk).split("\n")[0]).url));
      opened.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    });
    return { opened, url };
  }

  const closeServer = async (opened, signal) => {
    if (opened.exitCode !== null || opened.signalCode !== null) return;
    const gone = new Promise((resolve) => opened.once("exit", resolve));
    opened.kill(signal);
    await gone;
  };

  /** Starts the server; again after `stopServer`. */
  async function startServer() {
    const { opened, url } = await openServer();
    server = opened;
    stage.baseUrl = url;
    stage.rotor = new Rotor({ apiKey, baseUrl: url });
  }

  const stopServer = (signal = "SIGTERM") => closeServer(server, signal);

  const stage = {
    /** Of the embedded Postgres, with its log. */
    folder,
    databaseUrl,
    schema,
    signingKey,
    apiKey,
    startServer,
    stopServer,
    /** One more server beside it. */
    async openNode() {
      const { opened } = await openServer();
      return { stop: () => closeServer(opened, "SIGTERM") };
    },
    /** Resident memory of the server's process; Linux only, 0 elsewhere. */
    memoryMb() {
      if (process.platform !== "linux") return 0;
      return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
    },
    async close() {
      for (const each of apps) each.disconnect();
      await stopServer();
      await stage.client.query(`drop schema if exists ${schema} cascade`);
      await stage.client.end();
      await postgres?.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  /** Another app process, or several behind one port. Answers its address, and how to ask it; see `bench/app.mjs`. */
  stage.openApp = async (env = {}) => {
    const app = fork(join(root, "bench/app.mjs"), {
      execArgv: profile,
      env: { ...process.env, BENCH_SIGNING_KEY: signingKey, ROTOR_BASE_URL: "", ...env },
    });
    apps.push(app);
    const { port } = await new Promise((resolve) => app.once("message", resolve));
    const ask = (question) =>
      new Promise((resolve) => {
        app.once("message", resolve);
        app.send(question);
      });
    return { url: `http://127.0.0.1:${port}`, ask, pid: app.pid };
  };
  await startServer();
  const app = await stage.openApp();
  Object.assign(stage, { appUrl: app.url, appPid: app.pid, ask: app.ask });
  stage.client = new pg.Client({ connectionString: databaseUrl });
  await stage.client.connect();
  stage.postgresVersion = (await stage.client.query("show server_version")).rows[0].server_version;
  /** Queries of ours, which are no cost of the server's. */
  let own = 0;
  const look = (text, values) => {
    own++;
    return stage.client.query(text, values);
  };
  /**
   * Waits until nothing of this queue, or function, is due or active; none of them has a key. Each condition is that of an
   * index: without it Postgres reads the whole table of jobs, and what is measured is that.
   */
  stage.untilDone = async (queue, of = schema) => {
    const [{ id }] = (await look(`select id from ${of}.queues where name = $1`, [queue])).rows;
    for (;;) {
      const { rows } = await look({
        name: `until done in ${of}`,
        text: `select exists (select from ${of}.jobs where queue_id = $1 and state = 'active')
                   or exists (select from ${of}.jobs where queue_id = $1 and state = 'waiting' and blocked_on is null) as open`,
        values: [id],
      });
      if (!rows[0].open) return;
      await pause(20);
    }
  };
  /**
   * What has been spent up to now: commits, bytes of WAL, versions of rows of `jobs`, rows written beside them of payloads and deliveries,
   * and milliseconds of CPU by process (Linux).
   */
  stage.costs = async () => {
    await look("select pg_stat_force_next_flush()");
    // Backends tell the statistics what they did at most once a second.
    await pause(1_100);
    const { rows } = await look(
      `select (select xact_commit from pg_stat_database where datname = current_database())::float8 as commits, (pg_current_wal_lsn() - '0/0')::float8 as wal,
              (sum(n_tup_ins + n_tup_upd) filter (where relname = 'jobs'))::float8 as versions,
              (sum(n_tup_ins + n_tup_upd) filter (where relname in ('payloads', 'deliveries')))::float8 as others
         from pg_stat_user_tables where schemaname = $1`,
      [schema],
    );
    const postmaster = postgres && Number(readFileSync(join(folder, "postgres/postmaster.pid"), "utf8").split("\n")[0]);
    return {
      commits: rows[0].commits - own,
      wal: rows[0].wal,
      versions: rows[0].versions,
      others: rows[0].others,
      cpuMs: { server: cpuMs(server.pid), app: cpuMs(app.pid), postgres: postmaster ? childrenCpuMs(postmaster) : 0 },
    };
  };
  return stage;
}

/**
 * Of a process so far: user and system time, that of its children that have ended, and who started it. Undefined where
 * there is no /proc, or it has ended.
 */
function processOf(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").pop().split(" ");
    const [own, waitedFor] = [11, 13].map((at) => (Number(fields[at]) + Number(fields[at + 1])) * 10);
    return { cpuMs: own, endedMs: waitedFor, parent: Number(fields[1]) };
  } catch {
    return undefined;
  }
}

const cpuMs = (pid) => processOf(pid)?.cpuMs ?? 0;

/** The CPU time of all that a process has started, also of what has ended since: the backends of a Postgres. */
function childrenCpuMs(parent) {
  if (process.platform !== "linux") return 0;
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const ended = processOf(parent)?.endedMs ?? 0;
  return all.map(processOf).reduce((sum, each) => sum + (each?.parent === parent ? each.cpuMs : 0), ended);
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The value below which this part of them lies; 0.5 is the median. */
export const quantile = (list, part) =>
  [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))];

/** Runs `total` calls, `width` at a time. */
export async function crowd(total, width, call) {
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < total) await call(next++);
    }),
  );
}

/**
 * Does the work again and again for so long: code that has not been compiled yet and statements that have not been planned say nothing
 * of the rest, and a server of ours gets faster for the first ten seconds of load (0.55 ms of CPU for a run of no steps, after 1.3).
 */
export async function warmUp(ms, work) {
  for (const until = performance.now() + ms; performance.now() < until; ) await work();
}

/** Seconds that the work takes. */
export async function timed(work) {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}
