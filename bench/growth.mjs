// `npm run bench:growth -- --sizes 10000,100000,1000000,5000000`: steps, drained jobs, single enqueues and published events
// while ever more of what has ended is stored: so many rows of jobs, a tenth of them runs of ten steps. With `--queues` there are ever
// more queues instead, as where each customer has one. Prints each rate beside that of the first size, each by the rate of bare
// POSTs around it, since machines drift; exit code 1 where one falls by more than a fifth.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createFigures, tableOf } from "./figures.mjs";
import { bulk, drain, single } from "./jobs.mjs";
import { openLimits } from "./limits.mjs";
import { finishedJobs, finishedRuns } from "./load.mjs";
import { crowd, openStage, pause, quantile, timed } from "./stage.mjs";
import { sequences } from "./workflows.mjs";

const { values } = parseArgs({
  options: {
    sizes: { type: "string" },
    queues: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    json: { type: "string" },
  },
});
const sizes = (values.sizes ?? (values.queues ? "10,1000,10000" : "10000,100000,1000000")).split(",").map(Number);
const what = values.queues ? "queues" : "stored";
const rounds = Number(values.rounds);
const LEAST = 0.8;

const stage = await openStage("growth");
const { rotor, client, schema } = stage;
const figures = createFigures();
const limits = await openLimits(stage);

const queueId = async (name) =>
  (await client.query(`select id from ${schema}.queues where name = $1`, [name])).rows[0].id;

/** Events a second, one at a time, of a name that a thousand runs wait for; none of them for these. */
async function publish(count) {
  const times = [];
  for (let n = 0; n < count; n++)
    times.push(await timed(() => rotor.send({ name: "wake", data: { n: -1 - n, sentAt: 0 } })));
  return 1 / quantile(times, 0.5);
}

const WORK = {
  "S1 steps in sequence": () => sequences(stage, 500),
  "S6 drained jobs": async () => {
    await bulk(stage, "drain", 5_000);
    return drain(stage, "drain", 5_000);
  },
  "S7 enqueues one by one": () => single(stage, "idle", 3_000),
  "S10 events, a thousand waits of their name": () => publish(300),
};

/** More rows, from so many to so many. */
async function store(from, to) {
  const runs = Math.floor((to - from) / 10);
  await finishedRuns(stage, await queueId("gaps"), runs);
  await finishedJobs(stage, await queueId("old"), to - from - runs);
}

/** More queues like the one that is named so. */
async function addQueues(from, to) {
  const { rows } = await client.query(
    `select string_agg(quote_ident(column_name), ', ') as columns from information_schema.columns
      where table_schema = $1 and table_name = 'queues' and column_name not in ('id', 'name')`,
    [schema],
  );
  await client.query(
    `insert into ${schema}.queues (name, ${rows[0].columns})
     select 'customer-' || n, ${rows[0].columns} from ${schema}.queues, generate_series($1::int, $2::int) n where name = 'customer'`,
    [from, to - 1],
  );
}

/** Jobs, each into another queue as far as there are some, until all have come to the endpoint; jobs a second. */
async function spread(jobs, queues) {
  const before = (await stage.ask("calls")).calls;
  const seconds = await timed(async () => {
    await crowd(jobs, 50, (n) => rotor.jobs.enqueue(`customer-${n % queues}`, { payload: { n } }));
    while ((await stage.ask("calls")).calls < before + jobs) await pause(20);
  });
  return jobs / seconds;
}

/** Medians of the work's rate, and of what that is by the machine's. */
const measured = async (work) => {
  const rates = [];
  const shares = [];
  for (let n = 0; n < rounds; n++) {
    const before = await limits.postRate();
    const rate = await work();
    rates.push(rate);
    shares.push((2 * rate) / (before + (await limits.postRate())));
  }
  return { rate: quantile(rates, 0.5), share: quantile(shares, 0.5) };
};

try {
  await rotor.functions.sync({ url: `${stage.appUrl}/api/rotor` });
  await rotor.queues.create("drain", { callbackUrl: `${stage.appUrl}/job`, concurrency: 200 });
  await rotor.queues.pause("drain");
  await rotor.queues.create("idle", {});
  await rotor.queues.create("old", {});
  await rotor.queues.create("customer", { callbackUrl: `${stage.appUrl}/job` });
  for (let n = 0; n < 1_000; n++) await rotor.runs.start("waiter", { n });
  for (const work of [limits.postRate, ...Object.values(WORK)]) await work();
  let stored = 0;
  const first = new Map();
  for (const size of sizes) {
    await (values.queues ? addQueues : store)(stored, size);
    stored = size;
    if (values.queues) WORK["jobs into all queues in turn, to their endpoint"] = () => spread(5_000, size);
    // As autovacuum and the checkpointer do by themselves, minutes later; else what is measured is a disk that writes what was loaded.
    await client.query("vacuum analyze");
    await client.query("checkpoint");
    if (process.platform === "linux") execFileSync("sync");
    for (const [name, work] of Object.entries(WORK)) {
      const { rate, share } = await measured(work);
      if (!first.has(name)) first.set(name, share);
      figures.add(`${name}, ${size} ${what}`, rate, "/s");
      figures.add(`${name}, ${size} ${what}, against ${sizes[0]}`, share / first.get(name), "×", { least: LEAST });
    }
    console.log(`${size} ${what}`);
  }
} finally {
  await limits.close();
  await stage.close();
}

const told = figures.all();
for (const line of tableOf(told)) console.log(line);
if (values.json)
  writeFileSync(values.json, `${JSON.stringify({ node: process.version, of: what, sizes, figures: told }, null, 2)}\n`);
const missed = told.filter(({ met }) => !met).map(({ name }) => name);
console.log(missed.length === 0 ? "bench:growth: flat" : `bench:growth: falls: ${missed.join("; ")}`);
process.exit(missed.length === 0 ? 0 : 1);
