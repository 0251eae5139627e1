// `npm run bench`: what the engine costs and does, over HTTP, whole path, on the embedded Postgres or DATABASE_URL.
// Server and app are processes of their own. Prints a table; `--json FILE` keeps the figures; exit code 1 where a gated
// bar is missed, or a job was lost or doubled. `--quick` runs small sizes. Compare ratios within one run only.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { crowd, openStage, pause, quantile, timed } from "./stage.mjs";

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false }, json: { type: "string" } } });
const size = values.quick
  ? { runs: 300, jobs: 3_000, single: 1_500, chain: 400 }
  : { runs: 2_000, jobs: 20_000, single: 10_000, chain: 1_000 };

const stage = await openStage("bench");
const { rotor, appUrl, client, schema } = stage;
const rows = [];
const missed = [];
/** A figure; with a bar (`least` or `most`) it is gated. */
function report(name, value, unit, bar = {}) {
  const bad = (bar.least !== undefined && value < bar.least) || (bar.most !== undefined && value > bar.most);
  if (bad) missed.push(name);
  rows.push({ name, value: Math.round(value * 100) / 100, unit, ...bar, met: !bad });
}

/** Queries of ours, which are no cost of the server's. */
let own = 0;
const ask = (text, values) => {
  own++;
  return client.query(text, values);
};
const commits = async () => {
  await ask("select pg_stat_force_next_flush()").catch(() => undefined);
  // Backends tell the statistics what they did at most once a second.
  await pause(1_100);
  const { rows: found } = await ask("select xact_commit from pg_stat_database where datname = current_database()");
  return Number(found[0].xact_commit) - own;
};
const wal = async () => (await ask("select pg_current_wal_lsn() - '0/0' as at")).rows[0].at;
const left = async (queue) =>
  Number(
    (
      await ask(
        `select count(*) from ${schema}.jobs j join ${schema}.queues q on q.id = j.queue_id where q.name = $1 and j.due_at is not null`,
        [queue],
      )
    ).rows[0].count,
  );
const untilDone = async (queue) => {
  while ((await left(queue)) > 0) await pause(20);
};
const median = (list) => quantile(list, 0.5);

try {
  await rotor.functions.sync({ url: `${appUrl}/api/rotor` });
  report("idle memory of the server", stage.memoryMb(), "MB", process.platform === "linux" ? { most: 150 } : {});

  // One run alone, from start to end, and the gap between late steps against early ones.
  const alone = [];
  for (let n = 0; n < 20; n++)
    alone.push(
      await timed(async () =>
        rotor.runs.result((await rotor.runs.start("sequence", { steps: 10 })).runId, { timeout: "30s" }),
      ),
    );
  report("one run of 10 steps alone", median(alone) * 1000, "ms");
  const times = await rotor.runs.result((await rotor.runs.start("gaps", { steps: size.chain })).runId, {
    timeout: "60s",
  });
  const gap = (from, to) => median(times.slice(from + 1, to).map((time, index) => time - times[from + index]));
  report(
    `gap of the last 100 of ${size.chain} steps to the first 100`,
    gap(size.chain - 100, size.chain) / gap(0, 100),
    "×",
    { most: 1.2 * 1.15 },
  );
  const fan = [];
  for (let n = 0; n < 10; n++)
    fan.push(
      await timed(async () =>
        rotor.runs.result((await rotor.runs.start("parallel", { steps: 100 })).runId, { timeout: "30s" }),
      ),
    );
  report("100 parallel steps alone", median(fan) * 1000, "ms");

  // Many runs: steps a second, and what a step costs.
  let before = await commits();
  await rotor.queues.create("idle", {});
  const stepSeconds = await timed(async () => {
    await crowd(size.runs, 50, () => rotor.runs.start("sequence", { steps: 10 }));
    await untilDone("sequence");
  });
  report("10 steps in sequence, 50 runs in flight", (size.runs * 10) / stepSeconds, "steps/s");
  report("commits a step, all of it", ((await commits()) - before) / (size.runs * 10), "", { most: 1 });

  // Jobs: enqueued in bulk and one by one, then drained.
  await rotor.queues.create("drain", { callbackUrl: `${appUrl}/job`, concurrency: 200 });
  await rotor.queues.pause("drain");
  const bulkSeconds = await timed(async () => {
    for (let n = 0; n < size.jobs; n += 1_000)
      await rotor.jobs.enqueueBatch(
        "drain",
        Array.from({ length: 1_000 }, (_, i) => ({ payload: { n: n + i, text: "x".repeat(200) } })),
      );
  });
  report("enqueue in batches of 1,000", size.jobs / bulkSeconds, "jobs/s");
  before = await commits();
  const walBefore = await wal();
  const drainSeconds = await timed(async () => {
    await rotor.queues.resume("drain");
    await untilDone("drain");
  });
  report("drain with a signed POST a job", size.jobs / drainSeconds, "jobs/s");
  report("commits a drained job", ((await commits()) - before) / size.jobs, "", { most: 0.1 * 1.15 });
  report("WAL a drained job", ((await wal()) - walBefore) / size.jobs / 1024, "KB");
  const singleSeconds = await timed(() =>
    crowd(size.single, 50, (n) => rotor.jobs.enqueue("idle", { payload: { n } })),
  );
  report("enqueue one by one, 50 in flight", size.single / singleSeconds, "jobs/s");

  // Nothing lost, nothing doubled.
  const { calls } = await stage.ask("calls");
  report("deliveries beyond one a job", calls - size.jobs, "", { most: 0, least: 0 });
  const failed = Number(
    (await client.query(`select count(*) from ${schema}.jobs where state = 'failed'`)).rows[0].count,
  );
  report("jobs and runs that failed", failed, "", { most: 0 });
  report("memory of the server after it", stage.memoryMb(), "MB");
} finally {
  await stage.close();
}

for (const { name, value, unit, least, most, met } of rows) {
  const bar =
    least !== undefined || most !== undefined
      ? `  (${met ? "met" : "MISSED"}: ${least !== undefined ? `≥ ${least}` : ""}${most !== undefined ? ` ≤ ${Math.round(most * 100) / 100}` : ""})`
      : "";
  console.log(`${name.padEnd(58)} ${String(value).padStart(12)} ${unit}${bar}`);
}
console.log(
  `Node ${process.version}, ${process.env.DATABASE_URL ? "DATABASE_URL" : "embedded Postgres"}, ${values.quick ? "quick" : "full"} sizes`,
);
if (values.json)
  writeFileSync(
    values.json,
    `${JSON.stringify({ node: process.version, quick: values.quick, figures: rows }, null, 2)}\n`,
  );
console.log(missed.length === 0 ? "bench: every gated bar is met" : `bench: missed: ${missed.join("; ")}`);
process.exit(missed.length === 0 ? 0 : 1);
