// `npm run faults -- --seconds 60 --seed 7`: servers, an app and a client, each with its own log, while nodes are killed
// and stopped and connections cut, as one seed says; then peace, and a verdict.
import { fork } from "node:child_process";
import { join } from "node:path";
import { root } from "../scripts/install.mjs";
import { check } from "./checker.mjs";
import { startClient } from "./client.mjs";
import { SCHEMA } from "./cluster.mjs";
import { sleep } from "./log.mjs";
import { startNemesis } from "./nemesis.mjs";

/** How long everything may take to come to its end once nothing is broken any more. */
const QUIESCE_MS = 60_000;

export const nodes = 3;
export const options = {
  seconds: { type: "string", default: "60" },
  every: { type: "string", default: "300" },
  calm: { type: "boolean", default: false },
};

export async function play({ cluster, values }) {
  const { file, nodes, proxy, database, call, apiKey, signingKey, environment } = cluster;
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
    return await check({
      file,
      database,
      schema: SCHEMA,
      mostActive,
      quiesceMs,
      repliesLost: proxy.repliesLost(),
    });
  } finally {
    watching = false;
    app.disconnect();
  }
}
