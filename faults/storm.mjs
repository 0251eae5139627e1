// `npm run faults -- --seconds 300 --seed 7 [--only F1,F4]`: servers, an app, a client and its operators, each with a log of its own,
// while all that the plan of `weather.mjs` names goes wrong; then peace, and a verdict.
import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/install.mjs";
import { judge } from "./checker.mjs";
import { GUESTS, startClient } from "./client.mjs";
import { SCHEMA } from "./cluster.mjs";
import { leaksOf, memoryOf } from "./leaks.mjs";
import { diceOf, readLog, sleep } from "./log.mjs";
import { startProxy } from "./proxy.mjs";
import { dumpShadow, shadowOf } from "./shadow.mjs";
import { stallLines, watchStalls } from "./stalls.mjs";
import { gentleAt, startWeather } from "./weather.mjs";

const FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/** What a run of this many seconds must at least have done; of faults, where the plan was not narrowed. */
const FLOORS = {
  "node kills": 1 / 6,
  "pauses beyond the lease": 1 / 30,
  "backend kills": 1 / 20,
  "Postgres kills": 1 / 120,
  "lost commit replies": 1 / 6,
  "connections cut": 1 / 2,
};
const OPERATIONS_A_SECOND = 5;

export const nodes = 3;
export const options = {
  seconds: { type: "string", default: "60" },
  minutes: { type: "string" },
  only: { type: "string" },
  kinds: { type: "string" },
  rate: { type: "string", default: "15" },
  /** Jobs a second that come in batches. */
  batched: { type: "string", default: "10" },
  calm: { type: "boolean", default: false },
  /** Faults are so many times as frequent. */
  intensity: { type: "string", default: "1" },
  /** Seconds that everything may take to come to its end once nothing is broken any more. */
  quiesce: { type: "string", default: "60" },
  /** `off`: no node has any. */
  failpoints: { type: "string", default: "on" },
  /** Failpoints, as ROTOR_FAILPOINTS has them, that each node has from its start on. */
  armed: { type: "string", default: "" },
};
export const asksDoctor = true;
/** Megabytes of the disk that the database has. */
export const diskMb = 6_000;

export async function play({ cluster, values, tree = root }) {
  const { file, nodes, proxy, database, call, apiKey, signingKey, environment } = cluster;
  const seconds = values.minutes === undefined ? Number(values.seconds) : Number(values.minutes) * 60;
  const app = fork(join(root, "faults/app.mjs"), {
    env: {
      ...environment,
      FAULTS_LOG: file("app.log"),
      FAULTS_SIGNING_KEY: signingKey,
      FAULTS_NODES: nodes.map((node) => node.url).join(","),
    },
  });
  let appEnd;
  app.once("exit", (code, signal) => {
    appEnd = { code, signal };
  });
  const { url } = await new Promise((resolve) => app.once("message", resolve));
  const appProxy = await startProxy(url, diceOf(values.seed, "app proxy"));
  const appUrl = appProxy.url;
  const elder = nodes.at(-1);
  for (const node of nodes)
    node.environment = {
      ROTOR_FAILPOINTS: values.armed,
      FAULTS_STALLS: file(`stalls-${node.port}.log`),
      NODE_OPTIONS: `--import=${join(root, "faults/probe.mjs")}`,
    };
  elder.environment = {
    ...elder.environment,
    FAULTS_MEMORY: file("memory.log"),
    FAULTS_MEMORY_MS: seconds < 60 ? "1000" : "5000",
    NODE_OPTIONS: `--expose-gc --import=${join(root, "faults/probe.mjs")}`,
  };
  const clockFile = existsSync(FAKETIME) && nodes.length > 1 ? file("clock") : undefined;
  if (clockFile !== undefined) fakeClock(nodes[0], clockFile);
  const { failpointNames } = await import(join(tree, "packages/server/dist/failpoints.js"));
  const failpoints = values.failpoints === "on" && !values.calm && values.only === undefined ? failpointNames : [];

  // The client and the proxies are in this process: while it stands still, so does everything.
  const ownStalls = [];
  watchStalls((stall) => ownStalls.push(stall));

  let deaf;
  const unfinished = async () =>
    Number(
      (
        await database(`select count(*) from ${SCHEMA}.jobs where due_at is not null and state <> 'pending_approval'`)
      )[0].count,
    );

  try {
    // A migration that is cut off is made again; then all at once: that, too, must go well.
    for (const point of failpoints.filter((name) => name.startsWith("migration"))) await crashOnce(nodes[0], point);
    // The elder comes to each of them once, and never dies of one.
    const dice = diceOf(values.seed, "elder");
    const gentle = failpoints
      .filter((name) => !/^(migration|nodes\.register)/.test(name))
      // At the first time: of some there is no second.
      .map((name) => gentleAt(name, dice).replace(/@\d+$/, "@1"));
    elder.environment.ROTOR_FAILPOINTS = [values.armed, ...gentle].join(" ");
    await Promise.all(nodes.map((node) => node.start(failpoints.length > 0 ? 40 : 1)));
    await database(shadowOf(SCHEMA));
    const retry = { backoff: "fixed", min: "300ms", max_attempts: 30 };
    // A node that fails on purpose does so here, too; all of this may be asked for twice.
    const put = async (method, route, body, tries = 8) =>
      call(method, route, body, elder).catch((error) => {
        if (tries === 0 || !error.message.includes(": 503 ")) throw error;
        return put(method, route, body, tries - 1);
      });
    const queue = (name, more = {}) =>
      put("PUT", `/v1/queues/${name}`, { callback_url: `${appUrl}/job`, concurrency: 400, retry, ...more });
    await queue("plain");
    await queue("narrow", { concurrency: 2 });
    for (const name of GUESTS) await queue(name);
    // Longer than an honest answer takes on a machine that has much else to do.
    await queue("lying", { timeout: "4s", concurrency: 60 });
    await queue("forgetful", { async_timeout: "1s" });
    await queue("guarded", { approval_required: true });
    await queue("fleeting", { retention: { completed: "1m" } });
    // Ticks are the business of the scenario `cron`; here they are made, as they are anywhere.
    await put("PUT", "/v1/queues/ticks", { callback_url: `${appUrl}/hook` });
    await put("PUT", "/v1/schedules/each-second", {
      queue: "ticks",
      cron: "* * * * * *",
      timezone: "UTC",
      payload: null,
    });
    await put("PUT", "/v1/webhooks/watcher", { url: `${appUrl}/hook`, types: ["job.failed", "run.failed"] });
    // Most ends are told to nobody, and take a shorter way: for three quarters of the time.
    deaf = setTimeout(() => void put("DELETE", "/v1/webhooks/watcher").catch(() => undefined), seconds * 250);
    await put("POST", "/v1/functions/sync", { url: `${appUrl}/api/rotor` });
    const client = startClient({
      seed: values.seed,
      nodes: nodes.map((node) => node.url),
      apiKey,
      path: file("client.log"),
      database,
      schema: SCHEMA,
      rate: Number(values.rate),
      batched: Number(values.batched),
      only: values.kinds?.split(","),
    });
    const weather = values.calm
      ? undefined
      : startWeather({
          seed: values.seed,
          seconds,
          cluster,
          path: file("nemesis.log"),
          call,
          appProxy,
          only: values.only?.split(","),
          failpoints,
          clockFile,
          intensity: Number(values.intensity),
        });
    await sleep(seconds * 1_000);
    await weather?.stop();
    await client.stop();
    await put("POST", "/v1/schedules/each-second/pause");
    const peaceAt = Date.now();
    while ((await unfinished()) > 0 && Date.now() - peaceAt < Number(values.quiesce) * 1_000) await sleep(200);
    const quiesceMs = Date.now() - peaceAt;
    // The last words of the endpoint, and of those who are told.
    await sleep(500);
    await dumpShadow(database, SCHEMA, file("shadow.log"));
    const rows = await rowsOf(database);
    const memory = existsSync(file("memory.log")) ? memoryOf(readLog(file("memory.log"))) : {};
    const leaks = await leaksOf({ database, schema: SCHEMA, nodes, elder, memory });
    const read = (name) => (existsSync(file(name)) ? readLog(file(name)) : []);
    const stalls = [
      ...nodes.flatMap(({ port }) => stallLines(read(`stalls-${port}.log`), port)),
      ...stallLines(
        read("app.log").filter(({ phase }) => phase === "stall"),
        "app",
      ),
      ...stallLines(ownStalls, "harness"),
    ];
    const { problems, figures } = judge({
      client: readLog(file("client.log")),
      endpoint: readLog(file("app.log")),
      nemesis: [...read("nemesis.log"), ...stalls],
      shadow: readLog(file("shadow.log")),
      rows,
      violations: await cluster.violations(),
      leaks,
    });
    const counts = {
      ...weather?.counts,
      "lost commit replies": proxy.counts.lost,
      "connections cut": proxy.counts.cut + appProxy.counts.cut,
      "lost answers": appProxy.counts.lost,
    };
    if (appEnd !== undefined) problems.push({ verdict: "broken", problem: "the app ended by itself", ...appEnd });
    for (const problem of belowFloor({ seconds, values, counts, figures, failpoints, struck: cluster.struck }))
      problems.push({ verdict: "broken", ...problem });
    return {
      problems,
      figures: { ...figures, counts, failpoints: cluster.struck.size, quiesceMs, ...memory },
    };
  } finally {
    clearTimeout(deaf);
    app.disconnect();
    await appProxy.stop();
  }
}

/** Its clock is in a file from now on. The monotonic one is left alone, as no operator sets that. */
function fakeClock(node, path) {
  node.environment = {
    ...node.environment,
    LD_PRELOAD: FAKETIME,
    FAKETIME_TIMESTAMP_FILE: path,
    FAKETIME_CACHE_DURATION: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    DONT_FAKE_MONOTONIC: "1",
  };
}

async function crashOnce(node, point) {
  node.environment.ROTOR_FAILPOINTS = `${point}=crash`;
  // It is started over without the failpoint, once it has died of it.
  await node.start();
  await node.kill("SIGKILL");
}

const rowsOf = async (database) =>
  (
    await database(
      `select payload.job_id as id, convert_from(payload.body, 'UTF8') as body, payload.replay_of is not null as "isReplay", job.state, last.output, last.outcome, last.error, queue.kind
         from ${SCHEMA}.payloads payload join ${SCHEMA}.jobs job on job.id = payload.job_id
         join ${SCHEMA}.queues queue on queue.id = job.queue_id and queue.system is null and queue.name <> 'ticks'
         left join ${SCHEMA}.deliveries last on last.job_id = job.id and last.delivery = job.delivery`,
    )
  ).map(({ body, kind, ...row }) => {
    const said = JSON.parse(body);
    return { ...row, op: kind === "callback" ? said.op : said.data.op };
  });

/** What was to be done and was not: a run in which little happened shows little. */
function belowFloor({ seconds, values, counts, figures, failpoints, struck }) {
  const short = [];
  if (figures.operations < seconds * OPERATIONS_A_SECOND && values.kinds === undefined)
    short.push({ problem: "too few operations", did: figures.operations, floor: seconds * OPERATIONS_A_SECOND });
  if (values.calm || values.only !== undefined) return short;
  for (const [what, aSecond] of Object.entries(FLOORS)) {
    const floor = Math.floor(seconds * aSecond);
    if ((counts[what] ?? 0) < floor) short.push({ problem: `too few ${what}`, did: counts[what] ?? 0, floor });
  }
  // In less time not all of them can come up.
  const missed = failpoints.filter((name) => !struck.has(name));
  if (seconds >= 300 && missed.length > 0) short.push({ problem: "failpoints that were never come to", missed });
  return short;
}
