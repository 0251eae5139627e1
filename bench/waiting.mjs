// `npm run bench:waiting -- --runs 1000000`: what it costs that many runs wait. They are loaded by SQL as the server would
// have stored them, then some are woken for real. Prints a table with the bars of S10 and S11; exit code 1 where one is
// missed: an event costs the same, the server's memory and start do not grow, and no statement reads a whole table.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { crowd, openStage, pause, quantile, timed } from "./stage.mjs";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "1000000" },
    wakes: { type: "string", default: "5000" },
    json: { type: "string" },
  },
});
const total = Number(values.runs);
const wakes = Number(values.wakes);
const FEW = 1_000;
/** Events before any is measured: one costs a server that has just started 7 ms of CPU, and 3 after a thousand, whatever is stored. */
const WARM = 1_000;
/** Runs loaded by one transaction. */
const PART = 20_000;
/** Half of them sleep, and come due one by one a year from now, but for those that are woken here. */
const EVENTS_A_SECOND = 200;

const stage = await openStage("waiting");
const { client, schema } = stage;
const { eventKey } = await import("../packages/server/dist/core/wait-key.js");
const { newId } = await import("../packages/server/dist/core/ids.js");
const figures = [];
function report(name, value, unit, most) {
  figures.push({ name, value: Math.round(value * 100) / 100, unit, most, met: most === undefined || value <= most });
}

const queueId = async (name) =>
  (await client.query(`select id from ${schema}.queues where name = $1`, [name])).rows[0].id;

/** Runs of `waiter` that wait for the event `wake` with their own number, stored as after their first delivery. */
async function loadWaiters(from, count) {
  const numbers = Array.from({ length: count }, (_, i) => from + i);
  await client.query(
    `with item as (
       select * from unnest($1::uuid[], $2::int[], $3::uuid[]) as item (id, n, wait_key)),
     payload as (
       insert into ${schema}.payloads (job_id, queue_id, body, content_type, created_at, run_at)
       select id, $4, convert_to('{"id":"' || id || '","name":"rotor/run.started","data":{"n":' || n || '},"ts":0}', 'UTF8'), 'application/json', clock_timestamp(), clock_timestamp() from item),
     step as (
       insert into ${schema}.steps (job_id, key, kind, state, due_at, wait_key, wait, asked_at, asked)
       select id, 'wake', 'event', 'waiting', clock_timestamp() + interval '30 days', wait_key,
              jsonb_build_object('event', 'wake', 'equals', jsonb_build_object('n', n)), clock_timestamp(), 1 from item),
     log as (
       insert into ${schema}.deliveries (job_id, delivery, attempt, outcome, status, ended_at, duration_ms)
       select id, 1, 1, 'waiting', 200, clock_timestamp(), 3 from item)
     insert into ${schema}.jobs (id, queue_id, state, due_at, delivery)
     select id, $4, 'waiting', clock_timestamp() + interval '30 days', 1 from item`,
    [
      numbers.map(() => newId()),
      numbers,
      numbers.map((n) => eventKey("default", "wake", { path: "n", value: n })),
      waiterId,
    ],
  );
}

/** Runs of `sleeper` that sleep until a time; all but a few of them for a year. */
async function loadSleepers(count, dueInMs) {
  const dueAt = Array.from({ length: count }, (_, i) => Date.now() + dueInMs(i));
  await client.query(
    `with item as (select * from unnest($1::uuid[], $2::float8[]) as item (id, due_ms)),
     payload as (
       insert into ${schema}.payloads (job_id, queue_id, body, content_type, created_at, run_at)
       select id, $3, convert_to('{"id":"' || id || '","name":"rotor/run.started","data":{"dueAt":' || due_ms || '},"ts":0}', 'UTF8'), 'application/json', clock_timestamp(), clock_timestamp() from item),
     step as (
       insert into ${schema}.steps (job_id, key, kind, state, due_at, asked_at, asked)
       select id, 'until', 'sleep', 'waiting', to_timestamp(due_ms / 1000), clock_timestamp(), 1 from item)
     insert into ${schema}.jobs (id, queue_id, state, due_at, delivery)
     select id, $3, 'waiting', to_timestamp(due_ms / 1000), 1 from item`,
    [dueAt.map(() => newId()), dueAt, sleeperId],
  );
}

/** Milliseconds of one `send`, one at a time: of events that somebody waits for, or nobody. */
async function publishing(count, numberOf) {
  const times = [];
  for (let i = 0; i < count; i++) {
    const data = { n: numberOf(i), sentAt: Date.now() };
    times.push((await timed(() => stage.rotor.send({ name: "wake", data }))) * 1_000);
  }
  return times;
}

/** What reads whole tables, by table: scans that were begun, of those tables that grow. */
async function scans() {
  await client.query("select pg_stat_force_next_flush()");
  await pause(1_100);
  const { rows } = await client.query(
    `select relname as name, seq_scan::int as scans from pg_stat_user_tables
      where schemaname = $1 and relname in ('jobs', 'payloads', 'steps', 'deliveries', 'events', 'watches')`,
    [schema],
  );
  return new Map(rows.map((row) => [row.name, row.scans]));
}

/** Waits until so many have been woken; answers how late each was. */
async function lateness(count) {
  const late = [];
  for (const until = Date.now() + 120_000; late.length < count && Date.now() < until; await pause(50))
    late.push(...(await stage.ask("woken")).woken);
  if (late.length !== count) throw new Error(`${late.length} runs were woken, not ${count}`);
  return late;
}

let waiterId;
let sleeperId;
try {
  await stage.rotor.functions.sync({ url: `${stage.appUrl}/api/rotor` });
  waiterId = await queueId("waiter");
  sleeperId = await queueId("sleeper");

  await loadWaiters(0, FEW);
  await client.query("analyze");
  await publishing(WARM, () => -1);
  const few = await publishing(200, (i) => i);
  const fewNobody = await publishing(200, () => -1);
  await lateness(200);
  report(`publish an event, ${FEW} waits of its name stored`, quantile(few, 0.5), "ms");

  const half = Math.floor(total / 2);
  const seconds = await timed(async () => {
    for (let n = 0; n < half; n += PART) {
      await loadWaiters(FEW + n, Math.min(PART, half - n));
      await loadSleepers(Math.min(PART, half - n), (i) => 31_536_000_000 + i);
    }
  });
  console.log(`${total} waiting runs loaded in ${Math.round(seconds)} s`);
  // As autovacuum does by itself, a minute later.
  await client.query("vacuum analyze");

  await stage.stopServer();
  const begun = performance.now();
  await stage.startServer();
  await stage.rotor.runs.result((await stage.rotor.runs.start("sequence", { steps: 1 })).runId, { timeout: "60s" });
  report("start of the server to its first finished run", (performance.now() - begun) / 1_000, "s", 10);

  const before = await scans();
  await publishing(WARM, () => -1);
  const many = await publishing(200, (i) => FEW + i);
  const manyNobody = await publishing(200, () => -1);
  await lateness(200);
  report(`publish an event, ${half + FEW} waits of its name stored`, quantile(many, 0.5), "ms");
  report("against the few", quantile(many, 0.5) / quantile(few, 0.5), "×", 1.5);
  report("the same, of events that nobody waits for", quantile(manyNobody, 0.5) / quantile(fewNobody, 0.5), "×", 1.5);

  const span = (wakes / EVENTS_A_SECOND) * 1_000;
  await loadSleepers(wakes, (i) => 3_000 + (i / wakes) * span);
  const slept = await lateness(wakes);
  report(`${wakes} sleeps that end over ${span / 1_000} s: late, median`, quantile(slept, 0.5), "ms");
  report("late, p99", quantile(slept, 0.99), "ms", 1_000);

  const first = performance.now();
  await crowd(wakes, 20, async (i) => {
    const wait = (i / EVENTS_A_SECOND) * 1_000 - (performance.now() - first);
    if (wait > 0) await pause(wait);
    await stage.rotor.send({ name: "wake", data: { n: FEW + 200 + i, sentAt: Date.now() } });
  });
  const late = await lateness(wakes);
  report(`${wakes} events at ${EVENTS_A_SECOND} a second, sent to resumed: median`, quantile(late, 0.5), "ms");
  report("sent to resumed, p99", quantile(late, 0.99), "ms", 1_000);

  const after = await scans();
  for (const [name, count] of after) report(`scans of all of ${name}`, count - (before.get(name) ?? 0), "", 0);
  report("memory of the server", stage.memoryMb(), "MB", 300);
} finally {
  await stage.close();
}

for (const { name, value, unit, most, met } of figures)
  console.log(
    `${name.padEnd(64)} ${String(value).padStart(10)} ${unit}${most === undefined ? "" : `  (${met ? "met" : "MISSED"}: ≤ ${most})`}`,
  );
if (values.json)
  writeFileSync(values.json, `${JSON.stringify({ node: process.version, runs: total, figures }, null, 2)}\n`);
const missed = figures.filter(({ met }) => !met).map(({ name }) => name);
console.log(missed.length === 0 ? "bench:waiting: every bar is met" : `bench:waiting: missed: ${missed.join("; ")}`);
process.exit(missed.length === 0 ? 0 : 1);
