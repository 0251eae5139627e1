// `npm run bench:held -- --minutes 10`: S12. Somebody's transaction stays open, so that no version of a row that is dead
// since can be removed, while jobs come at 500 a second. What of the rate is left at its end, and whether a backlog grows. Each rate is
// taken by that of bare POSTs around it, since machines drift within such a time, and the clean ones before it began and after it ended.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import pg from "pg";
import { bulk } from "./jobs.mjs";
import { openLimits } from "./limits.mjs";
import { openStage, pause, quantile, timed } from "./stage.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    rate: { type: "string", default: "500" },
    json: { type: "string" },
  },
});
const minutes = Number(values.minutes);
const rate = Number(values.rate);
const LEAST = 0.8;
const PROBE = 5_000;
const PROBES = 5;

const stage = await openStage("held");
const { rotor, client, schema } = stage;
const limits = await openLimits(stage);

/** Jobs a second that a full queue drains. The app counts them: to ask the database would pass the dead rows, too. */
const probe = async () => {
  await bulk(stage, "drain", PROBE);
  const calls = async () => (await stage.ask("calls")).calls;
  const before = await calls();
  const seconds = await timed(async () => {
    await rotor.queues.resume("drain");
    for (let n = before; n < before + PROBE; n = await calls()) await pause(10);
  });
  await rotor.queues.pause("drain");
  return PROBE / seconds;
};

/** Rates of some probes in turn, and what each is by that of bare POSTs just before and after it. */
async function probes() {
  const taken = [];
  for (let n = 0; n < PROBES; n++) {
    const before = await limits.postRate();
    const rate = await probe();
    taken.push({ rate, share: (2 * rate) / (before + (await limits.postRate())) });
  }
  return taken;
}

const median = (taken, figure) =>
  quantile(
    taken.map((one) => one[figure]),
    0.5,
  );

/** Enqueues for so many seconds; answers how many jobs were not done when it ended. */
async function steady(seconds) {
  const begun = performance.now();
  let sent = 0;
  while (performance.now() - begun < seconds * 1_000) {
    const due = Math.floor(((performance.now() - begun) / 1_000) * rate) - sent;
    if (due > 0) {
      sent += due;
      await rotor.jobs.enqueueBatch(
        "steady",
        Array.from({ length: due }, (_, n) => ({ payload: { n: sent + n } })),
      );
    }
    await pause(50);
  }
  const { rows } = await client.query(
    `select count(*)::int as open from ${schema}.jobs job join ${schema}.queues queue on queue.id = job.queue_id
      where queue.name = 'steady' and job.due_at is not null`,
  );
  return rows[0].open;
}

const figures = {};
const holder = new pg.Client({ connectionString: stage.databaseUrl });
try {
  await rotor.queues.create("drain", { callbackUrl: `${stage.appUrl}/job`, concurrency: 200 });
  await rotor.queues.pause("drain");
  await rotor.queues.create("steady", { callbackUrl: `${stage.appUrl}/job`, concurrency: 200 });
  for (const warm of [probe, limits.postRate]) await warm();
  const before = await probes();
  await holder.connect();
  await holder.query("begin isolation level repeatable read");
  await holder.query(`select count(*) from ${schema}.workspaces`);
  for (let minute = 1; minute <= minutes; minute++) {
    figures.open = await steady(60);
    console.log(`minute ${minute}: ${figures.open} jobs are not done`);
  }
  const held = await probes();
  await holder.query("commit");
  // As autovacuum does by itself, within a minute; and floors end when they are next read.
  await client.query("vacuum analyze");
  await pause(10_000);
  const after = await probes();
  for (const figure of ["rate", "share"])
    Object.assign(figures, {
      [figure]: { before: median(before, figure), held: median(held, figure), after: median(after, figure) },
    });
  figures.left = figures.share.held / median([...before, ...after], "share");
} finally {
  await holder.end();
  await limits.close();
  await stage.close();
}
// What a quarter of a second brings may be on its way.
const met = figures.left >= LEAST && figures.open <= rate / 4;
const of = (figure, show) => ["before", "held", "after"].map((when) => show(figures[figure][when])).join(", ");
console.log(
  `jobs/s before, held and after: ${of("rate", Math.round)}; of bare POSTs: ${of("share", (share) => share.toFixed(2))}`,
);
console.log(
  `S12: ${figures.left.toFixed(2)} × after ${minutes} minutes of an open transaction (${met ? "met" : "MISSED"}: ≥ ${LEAST}, no backlog)`,
);
if (values.json)
  writeFileSync(values.json, `${JSON.stringify({ node: process.version, minutes, rate, ...figures }, null, 2)}\n`);
process.exit(met ? 0 : 1);
