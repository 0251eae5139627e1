// `npm run bench`: what the engine does and costs, over HTTP, whole path, on the embedded Postgres or DATABASE_URL, beside
// the limits of this machine, each measured just before and just after the work that it bounds. Server and app are processes of their own. Several rounds of S1 to
// S9 and S14, then S15, S17 and S13 once; prints a table; `--json FILE` keeps the figures. Exit code 1 where a gated bar is
// missed, or a job was lost or doubled; the last line names what missed. `--quick` runs small sizes. Compare ratios within
// one run only. S10 and S11 are `bench:waiting`, S12 `bench:held`, S16 `soak`; `bench:growth` is beside ever more rows.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../scripts/install.mjs";
import { blocked } from "./blocked.mjs";
import { createFigures, tableOf } from "./figures.mjs";
import { bulk, drain, latency, single, singleBySdk } from "./jobs.mjs";
import { openLimits } from "./limits.mjs";
import { nodes } from "./nodes.mjs";
import { inOneProcess } from "./one-process.mjs";
import { openStage, pause, warmUp } from "./stage.mjs";
import { gap, lone, parallel, sequences, sleeps } from "./workflows.mjs";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string", default: "3" },
    json: { type: "string" },
  },
});
const rounds = Number(values.rounds);
const size = values.quick
  ? {
      warmMs: 3_000,
      runs: 500,
      lone: 20,
      chain: 1_000,
      fans: 10,
      sleeps: 1_000,
      jobs: 5_000,
      single: 3_000,
      timed: 1_000,
      blocked: 100_000,
    }
  : {
      warmMs: 12_000,
      runs: 2_000,
      lone: 50,
      chain: 1_000,
      fans: 20,
      sleeps: 1_000,
      jobs: 20_000,
      single: 10_000,
      timed: 3_000,
      blocked: 1_000_000,
    };

const stage = await openStage("bench");
const { rotor, client, schema } = stage;
const figures = createFigures();
const limits = await openLimits(stage);
const delta = (before, after) => ({
  commits: after.commits - before.commits,
  wal: after.wal - before.wal,
  versions: after.versions - before.versions,
  others: after.others - before.others,
  cpuMs: Object.fromEntries(Object.entries(after.cpuMs).map(([name, ms]) => [name, ms - before.cpuMs[name]])),
});

/** Does the work between two measures of what bounds it: machines drift. Answers what it gave, and the limit's mean. */
async function beside(limit, work) {
  const before = await limit();
  const value = await work();
  return [value, (before + (await limit())) / 2];
}

/** A work with what it cost: commits, WAL, CPU. */
async function costing(work) {
  const before = await stage.costs();
  const value = await work();
  return { value, cost: delta(before, await stage.costs()) };
}

async function round() {
  const [{ value: steps, cost: stepCost }, laneRate] = await beside(limits.laneRate, () =>
    costing(() => sequences(stage, size.runs)),
  );
  figures.add("limit: a bare checkpoint lane, 50 runs", laneRate, "steps/s");
  figures.add("S1 10 steps in sequence, 50 runs in flight", steps, "steps/s");
  figures.add("S1 against the bare lane", steps / laneRate, "×", { least: 0.5 });
  figures.add("S1 commits a step, all of it", stepCost.commits / (size.runs * 10), "");
  for (const [name, ms] of Object.entries(stepCost.cpuMs))
    figures.add(`S1 CPU a step, ${name}`, ms / (size.runs * 10), "ms");
  figures.add(
    "S1 four app processes, 1 KB results",
    await sequences(stage, size.runs, { app: "sequence-of-four", bytes: 1_000 }),
    "steps/s",
  );
  const [[alone, commitMs], postMs] = await beside(limits.postMs, () =>
    beside(limits.commitMs, () => lone(stage, size.lone)),
  );
  figures.add("limit: one durable commit", commitMs, "ms");
  figures.add("limit: one POST over loopback", postMs, "ms");
  figures.add("S2 one run of 10 steps alone", alone, "ms");
  figures.add("S2 against ten commits and ten POSTs", alone / (10 * (commitMs + postMs)), "×");
  figures.add("S3 last 100 of 1,000 steps against the first 100", await gap(stage, size.chain), "×", { most: 1.2 });
  figures.add("S4 100 parallel steps alone", await parallel(stage, size.fans), "ms");
  const spread = await sleeps(stage, size.sleeps, { atOnce: false });
  figures.add("S5 1,000 sleeps over a second: late, median", spread.median, "ms");
  figures.add("S5 late, p99", spread.p99, "ms");
  figures.add(
    "S5 1,000 sleeps at one instant: the last one late",
    (await sleeps(stage, size.sleeps, { atOnce: true })).last,
    "ms",
  );

  const [{ value: bulkRate, cost: bulkCost }, insertRate] = await beside(limits.insertRate, () =>
    costing(() => bulk(stage, "drain", size.jobs)),
  );
  figures.add("limit: rows inserted a thousand at a time", insertRate, "/s");
  figures.add("S8 enqueue in batches of 1,000", bulkRate, "jobs/s");
  figures.add("S8 against the bulk insert", bulkRate / insertRate, "×");
  const [{ value: drained, cost }, signedPostRate] = await beside(limits.signedPostRate, () =>
    costing(() => drain(stage, "drain", size.jobs)),
  );
  figures.add("limit: signed POSTs into one Node server, 50 in flight", signedPostRate, "/s");
  figures.add("S6 drain with a signed POST a job", drained, "jobs/s");
  figures.add("S6 against bare signed POSTs", drained / signedPostRate, "×", { least: 0.3 });
  figures.add("S14 commits a drained job", cost.commits / size.jobs, "", { most: 0.1 });
  figures.add("S14 WAL a drained job", cost.wal / size.jobs / 1_024, "KB");
  figures.add("S14 WAL a job, enqueued and drained", (bulkCost.wal + cost.wal) / size.jobs / 1_024, "KB", { most: 3 });
  for (const [name, ms] of Object.entries(cost.cpuMs)) figures.add(`S6 CPU a job, ${name}`, ms / size.jobs, "ms");
  const [singles, postRate] = await beside(limits.postRate, () => single(stage, "idle", size.single));
  figures.add("limit: POSTs into one Node server, 50 in flight", postRate, "/s");
  figures.add("S7 enqueue one by one, 50 in flight", singles, "jobs/s");
  figures.add("S7 against bare POSTs", singles / postRate, "×", { least: 0.4 });
  figures.add("S7 the same by the SDK's client", await singleBySdk(stage, "idle", size.single), "jobs/s");
  const paced = await limits.paced(size.timed);
  figures.add("limit: two commits and two POSTs at 200/s, median", paced.median, "ms");
  figures.add("limit: two commits and two POSTs at 200/s, p99", paced.p99, "ms");
  const took = await latency(stage, "timed", size.timed);
  figures.add("S9 enqueue to endpoint at 200/s, median", took.median, "ms");
  figures.add("S9 enqueue to endpoint at 200/s, p99", took.p99, "ms");
}

/** What a job writes, counted where nothing else is: a backend that is idle tells the statistics after ten seconds, and not before. */
async function written(jobs) {
  const costs = async () => {
    await pause(10_500);
    return stage.costs();
  };
  const before = await costs();
  await bulk(stage, "drain", jobs);
  await drain(stage, "drain", jobs);
  const { versions, others } = delta(before, await costs());
  figures.add("S14 versions of a job's row", versions / jobs, "", { most: 3 });
  figures.add("S14 rows beside it: its payload and its delivery", others / jobs, "", { most: 2 });
}

let calls;
let failed;
let dead;
try {
  await rotor.functions.sync({ url: `${stage.appUrl}/api/rotor` });
  const four = await stage.openApp({ BENCH_PROCESSES: "4", BENCH_APP: "four", BENCH_SUFFIX: "-of-four" });
  await rotor.functions.sync({ url: `${four.url}/api/rotor` });
  await rotor.queues.create("drain", { callbackUrl: `${stage.appUrl}/job`, concurrency: 200 });
  await rotor.queues.pause("drain");
  await rotor.queues.create("idle", {});
  await rotor.queues.create("timed", { callbackUrl: `${stage.appUrl}/timed` });
  figures.add("idle memory of the server", stage.memoryMb(), "MB", process.platform === "linux" ? { most: 150 } : {});
  await warmUp(size.warmMs, async () => {
    await sequences(stage, 300);
    await sequences(stage, 300, { app: "sequence-of-four" });
  });
  await warmUp(size.warmMs, async () => {
    await bulk(stage, "drain", 1_000);
    await drain(stage, "drain", 1_000);
    await single(stage, "idle", 1_000);
  });
  await lone(stage, 20);
  await parallel(stage, 5);
  await sleeps(stage, 300, { atOnce: false });
  await latency(stage, "timed", 300);
  for (const limit of [limits.laneRate, limits.postMs, limits.insertRate, limits.signedPostRate]) await limit();
  const base = (await stage.ask("calls")).calls;
  for (let n = 0; n < rounds; n++) {
    await round();
    console.log(`round ${n + 1} of ${rounds} is done`);
  }
  await written(size.jobs);
  const { rates, delivered } = await nodes(stage, size.jobs, size.warmMs);
  figures.add("S15 drain by one server", rates[0], "jobs/s");
  figures.add("S15 two servers against one", rates[1] / rates[0], "×");
  figures.add("S15 three servers against one", rates[2] / rates[0], "×");
  const inside = await inOneProcess(stage, { warmMs: size.warmMs, runs: size.runs });
  figures.add("S17 10 steps in sequence, functions in the server's process", inside, "steps/s");
  ({ calls } = await stage.ask("calls"));
  calls -= base + delivered;
  const { empty, full } = await blocked(stage, { count: size.blocked, timed: size.timed, rounds });
  figures.add("S13 enqueue to endpoint at 200/s, p99", empty, "ms");
  figures.add(`S13 the same beside ${size.blocked} jobs blocked by a key`, full, "ms");
  figures.add("S13 against it", full / empty, "×", { most: 2 });
  figures.add("deliveries beyond one a job", calls - rounds * (size.jobs + size.timed) - size.jobs, "", {
    most: 0,
    least: 0,
  });
  ({
    rows: [{ failed, dead }],
  } = await client.query(
    `select (select count(*)::int from ${schema}.jobs where state = 'failed') as failed,
            (select sum(n_dead_tup)::int from pg_stat_user_tables where schemaname = $1) as dead`,
    [schema],
  ));
  figures.add("jobs and runs that failed", failed, "", { most: 0 });
  figures.add("dead tuples after it", dead, "");
  figures.add("memory of the server after it", stage.memoryMb(), "MB");
} finally {
  await limits.close();
  await stage.close();
}

const told = figures.all();
for (const line of tableOf(told)) console.log(line);
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const about = {
  rotor: version,
  node: process.version,
  postgres: stage.postgresVersion,
  store: process.env.DATABASE_URL ? "DATABASE_URL" : "embedded",
  sizes: values.quick ? "quick" : "full",
  rounds,
};
console.log(
  Object.entries(about)
    .map(([name, value]) => `${name} ${value}`)
    .join(", "),
);
if (values.json) writeFileSync(values.json, `${JSON.stringify({ ...about, figures: told }, null, 2)}\n`);
const missed = told.filter(({ met }) => !met).map(({ name }) => name);
console.log(missed.length === 0 ? "bench: every gated bar is met" : `bench: missed: ${missed.join("; ")}`);
process.exit(missed.length === 0 ? 0 : 1);
