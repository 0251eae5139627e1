// `npm run faults -- --seconds 60 --seed 7`: servers, an app and a client, each with its own log, while nodes are killed
// and stopped and connections cut, as one seed says; then peace, and a verdict. `--record` keeps it in the ledger.
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, install, root } from "../scripts/install.mjs";
import { check } from "./checker.mjs";
import { startClient } from "./client.mjs";
import { SCHEMA, startCluster } from "./cluster.mjs";
import { sleep } from "./log.mjs";
import { startNemesis } from "./nemesis.mjs";

/** How long everything may take to come to its end once nothing is broken any more. */
const QUIESCE_MS = 60_000;

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
const cluster = await startCluster({ seed: values.seed, count: Number(values.nodes) });
const { folder, file, nodes, proxy, died, database, call, apiKey, signingKey, environment } = cluster;
console.log(`seed ${values.seed}, ${values.seconds} s, ${values.nodes} nodes; logs in ${folder}`);
const app = fork(join(root, "faults/app.mjs"), {
  env: {
    ...environment,
    FAULTS_LOG: file("app.log"),
    FAULTS_SIGNING_KEY: signingKey,
    FAULTS_NODES: nodes.map((node) => node.url).join(","),
  },
});
const { url: appUrl } = await new Promise((resolve) => app.once("message", resolve));

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
  const violations = await cluster.violations();
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
  await cluster.stop();
  app.disconnect();
}
for (const problem of verdict.problems) console.log(JSON.stringify(problem));
const line = { seed: values.seed, seconds: Number(values.seconds), nodes: nodes.length, ...verdict.figures };
if (values.record)
  appendFileSync(join(root, "faults/ledger.jsonl"), `${JSON.stringify({ at: new Date().toISOString(), ...line })}\n`);
if (verdict.figures.failed === 0 && !values.keep) rmSync(folder, { recursive: true, force: true });
console.log(JSON.stringify(line));
process.exitCode = verdict.figures.failed === 0 ? 0 : 1;
