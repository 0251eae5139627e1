// `npm run soak -- --minutes 60`: S16, a server under steady load with short retention. Prints sizes of tables and indexes
// and the server's memory each minute, and a verdict: what is stored must not grow once the first jobs have begun to leave,
// nor what the server's memory holds after it was swept. Own embedded Postgres, or DATABASE_URL. `--rate` is jobs a second
// (300), `--runs` runs of five steps (50). Exit code 1 where something grows, or is not done at the end.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { memoryOf } from "../faults/leaks.mjs";
import { readLog } from "../faults/log.mjs";
import { root } from "../scripts/install.mjs";
import { openStage, pause } from "./stage.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    rate: { type: "string", default: "300" },
    runs: { type: "string", default: "50" },
    warmup: { type: "string" },
    built: { type: "boolean", default: false },
  },
});
const minutes = Number(values.minutes);
const rate = Number(values.rate);
const runRate = Number(values.runs);
// Retention is a minute, and autovacuum looks once in a minute: from the third on what leaves makes room for what comes.
const warmup = Number(values.warmup ?? Math.min(15, Math.max(2, Math.floor(minutes / 3))));
if (!(minutes >= 4 && rate > 0 && runRate > 0 && warmup < minutes - 1))
  throw new Error("Write --minutes 4 or more, and --rate and --runs above 0.");

const folder = mkdtempSync(join(tmpdir(), "rotor-soak-"));
const memoryLog = join(folder, "memory.log");
const stage = await openStage("soak", {
  built: values.built,
  env: {
    ROTOR_RETENTION: "completed=1m,failed=2m,cancelled=1m,deliveries=1h",
    NODE_OPTIONS: `--expose-gc --import=${join(root, "faults/probe.mjs")}`,
    FAULTS_STALLS: join(folder, "stalls.log"),
    FAULTS_MEMORY: memoryLog,
    FAULTS_MEMORY_MS: "10000",
  },
});
const { client, schema, appUrl } = stage;

const call = async (method, path, body) => {
  const response = await fetch(`${stage.baseUrl}/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${stage.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
};
let failure;
process.once("SIGINT", () => {
  failure = new Error("interrupted");
});

const TABLES = ["jobs", "payloads", "deliveries", "steps", "events", "sweeps"];
async function measure() {
  const { rows } = await client.query(
    `select relname as name, pg_table_size(oid)::float8 / 1048576 as "table", pg_indexes_size(oid)::float8 / 1048576 as index,
            (select n_dead_tup::float8 from pg_stat_user_tables where relid = pg_class.oid) as dead
       from pg_class where relnamespace = $1::regnamespace and relkind = 'r' and relname = any($2)`,
    [schema, TABLES],
  );
  const rss = stage.memoryMb();
  const { rows: jobs } = await client.query(
    `select count(*)::int as kept, count(*) filter (where due_at is not null)::int as open from ${schema}.jobs`,
  );
  return { sizes: Object.fromEntries(rows.map((row) => [row.name, row])), rss, ...jobs[0] };
}

// What SDK clients give each job, an id of its own, is remembered for a day: these are enqueued without.
let enqueued = 0;
let started = 0;
let stopped = false;
async function load() {
  const begun = performance.now();
  const starting = new Set();
  const start = () => {
    started++;
    const one = call("POST", "/functions/sequence/runs", { data: { steps: 5 } })
      .catch((error) => {
        failure = error;
      })
      .finally(() => starting.delete(one));
    starting.add(one);
  };
  while (!stopped) {
    const due = Math.floor(((performance.now() - begun) / 1000) * rate) - enqueued;
    if (due > 0) {
      const jobs = Array.from({ length: Math.min(due, 1_000) }, (_, n) => ({
        payload: { n: enqueued + n, text: "x".repeat(200) },
      }));
      enqueued += jobs.length;
      // One in fifty fails, and leaves from the dead letters.
      const failing = jobs.filter(({ payload }) => payload.n % 50 === 0);
      await call("POST", "/queues/soak/jobs/batch", { jobs: jobs.filter((job) => !failing.includes(job)) });
      if (failing.length > 0) await call("POST", "/queues/failing/jobs/batch", { jobs: failing });
    }
    while (started < ((performance.now() - begun) / 1000) * runRate) start();
    await pause(50);
  }
  await Promise.all(starting);
}

/** Milliseconds until nothing is open, once nothing comes; at most a minute. */
async function drained() {
  const begun = performance.now();
  while ((await measure()).open > 0) {
    if (performance.now() - begun > 60_000) throw new Error(`${(await measure()).open} are not done after a minute`);
    await pause(100);
  }
  return performance.now() - begun;
}

const mb = (value) => value.toFixed(1).padStart(7);
const minuteOf = [];
try {
  await call("POST", "/functions/sync", { url: `${appUrl}/api/rotor` });
  await call("POST", "/queues", { name: "soak", callback_url: `${appUrl}/job`, concurrency: 50 });
  // Nobody listens there. One attempt, then a dead letter.
  await call("POST", "/queues", {
    name: "failing",
    callback_url: "http://127.0.0.1:1024/",
    concurrency: 10,
    retry: { max_attempts: 1 },
    retention: { failed: "2m" },
  });
  const loading = load().catch((error) => {
    failure = error;
  });
  console.log(
    `minute  enqueued    runs    kept   open ${TABLES.map((name) => `${name} (MB table+index)`.padStart(28)).join("")}  RSS MB`,
  );
  for (let minute = 1; minute <= minutes && failure === undefined; minute++) {
    for (const until = performance.now() + 60_000; performance.now() < until && failure === undefined; )
      await pause(200);
    const now = await measure();
    minuteOf.push(now);
    console.log(
      `${String(minute).padStart(6)} ${String(enqueued).padStart(9)} ${String(started).padStart(7)} ${String(now.kept).padStart(7)} ${String(now.open).padStart(6)} ${TABLES.map((name) => `${mb(now.sizes[name].table)} +${mb(now.sizes[name].index)}`.padStart(28)).join("")} ${mb(now.rss)}`,
    );
  }
  stopped = true;
  await loading;
  if (failure === undefined) console.log(`the last is done ${Math.round(await drained())} ms after the last came`);
} finally {
  await stage.close();
}
const memory = memoryOf(readLog(memoryLog));
rmSync(folder, { recursive: true });
if (failure !== undefined) throw failure;

// Sizes rise in steps, when a vacuum comes a little later than the last time: the highest of the first half after the
// warm-up is compared with the highest of the second.
const after = minuteOf.slice(warmup);
const [first, second] = [after.slice(0, Math.ceil(after.length / 2)), after.slice(Math.floor(after.length / 2))];
const total = (now) => Object.values(now.sizes).reduce((sum, { table, index }) => sum + table + index, 0);
const growth = (of) => Math.max(...second.map(of)) / Math.max(...first.map(of)) - 1;
const verdicts = [
  ["disk", growth(total), 0.1],
  ["jobs kept", growth((now) => now.kept), 0.1],
  ["resident memory", growth((now) => now.rss), 0.15],
];
const failed = verdicts.filter(([, by, most]) => by > most);
for (const [name, by, most] of verdicts)
  console.log(
    `${name}: ${by >= 0 ? "+" : ""}${(by * 100).toFixed(1)} % after ${warmup} minutes of warm-up (at most +${most * 100} %)`,
  );
// What memory holds, past the first third. A short run has no slope that means something.
const { memoryMb, memorySlopeMbIn10Min } = memory;
const SLOPE_FROM_MINUTES = 30;
console.log(
  `memory, swept: ${memoryMb} MB, ${memorySlopeMbIn10Min} MB more in ten minutes (at most 1, from half an hour on)`,
);
if (minutes >= SLOPE_FROM_MINUTES && memorySlopeMbIn10Min > 1) failed.push(["memory, swept"]);
console.log(failed.length === 0 ? "soak: steady" : `soak: GROWS: ${failed.map(([name]) => name).join(", ")}`);
process.exit(failed.length === 0 ? 0 : 1);
