// `npm run faults -- cron --minutes 20 --seed 7`: three servers and a schedule that ticks each second, while they are killed and
// cut off. Each second must have exactly one job, and each job is delivered.
import { createServer } from "node:http";
import { SCHEMA } from "./cluster.mjs";
import { appender, readLog, sleep } from "./log.mjs";
import { startWeather } from "./weather.mjs";

export const nodes = 3;
export const options = {
  minutes: { type: "string" },
  seconds: { type: "string", default: "60" },
  calm: { type: "boolean", default: false },
};

/** Faults of this scenario: the death of nodes, of backends, and of replies. */
const ONLY = ["kill", "kill all", "pause", "backend", "lost replies", "cut"];
const QUIESCE_MS = 30_000;
/** A tick may be made as late as the longest of the faults lasts, and a lease besides. */
const LATE_MS = 20_000;

export async function play({ cluster, values }) {
  const { nodes, database, call, file } = cluster;
  const seconds = values.minutes === undefined ? Number(values.seconds) : Number(values.minutes) * 60;
  const log = appender(file("app.log"));
  const endpoint = createServer((request, response) => {
    log({ job: request.headers["x-rotor-job-id"], tick: Date.parse(request.headers["x-rotor-scheduled-at"]) });
    request.resume();
    request.on("end", () => response.end("ok"));
  });
  await new Promise((resolve) => endpoint.listen(0, "127.0.0.1", resolve));
  const problems = [];
  const tell = (verdict, problem, more) => problems.push({ verdict, problem, ...more });
  const elder = nodes.at(-1);
  try {
    await Promise.all(nodes.map((node) => node.start()));
    await call(
      "PUT",
      "/v1/queues/ticks",
      { callback_url: `http://127.0.0.1:${endpoint.address().port}/`, concurrency: 100 },
      elder,
    );
    const made = await call(
      "POST",
      "/v1/schedules",
      {
        name: "each-second",
        queue: "ticks",
        cron: "* * * * * *",
        timezone: "UTC",
        catch_up: "all",
        payload: { tick: true },
      },
      elder,
    );
    const weather = values.calm
      ? undefined
      : startWeather({ seed: values.seed, seconds, cluster, path: file("nemesis.log"), call, only: ONLY });
    await sleep(seconds * 1_000);
    await weather?.stop();
    // One second in peace: what was due while the last fault lasted is made.
    await sleep(2_000);
    await call("POST", "/v1/schedules/each-second/pause", undefined, elder);
    const peaceAt = Date.now();
    const unfinished = async () =>
      Number((await database(`select count(*) from ${SCHEMA}.jobs where due_at is not null`))[0].count);
    while ((await unfinished()) > 0 && Date.now() - peaceAt < QUIESCE_MS) await sleep(100);
    if ((await unfinished()) > 0) tell("stuck", "jobs that have not ended", { count: await unfinished() });
    const rows = await database(
      `select payload.job_id as id, job.state, (extract(epoch from payload.run_at) * 1000)::float8 as tick, (extract(epoch from payload.created_at) * 1000)::float8 as made
         from ${SCHEMA}.payloads payload join ${SCHEMA}.jobs job on job.id = payload.job_id order by payload.run_at`,
    );
    judgeTicks({ rows, delivered: readLog(file("app.log")), first: Date.parse(made.next_fires[0]), seconds, tell });
    const lateness = rows.map((row) => row.made - row.tick).sort((a, b) => a - b);
    return {
      problems,
      figures: {
        ticks: rows.length,
        latenessMedianMs: lateness[lateness.length >> 1],
        latenessMaxMs: lateness.at(-1),
        counts: weather?.counts ?? {},
      },
    };
  } finally {
    endpoint.closeAllConnections();
    endpoint.close();
  }
}

/** From the first to the last, each second once; each delivered. Exported for its test. */
export function judgeTicks({ rows, delivered, first, seconds, tell }) {
  const byTick = new Map();
  for (const row of rows) byTick.set(row.tick, [...(byTick.get(row.tick) ?? []), row]);
  const heard = new Set(delivered.map(({ job }) => job));
  const last = Math.max(first, ...byTick.keys());
  for (let tick = first; tick <= last; tick += 1_000) {
    const jobs = byTick.get(tick) ?? [];
    if (jobs.length === 0) tell("lost", "a tick without a job", { tick });
    if (jobs.length > 1) tell("doubled", "a tick with more than one job", { tick, ids: jobs.map(({ id }) => id) });
    for (const { id, state, made } of jobs) {
      if (!heard.has(id)) tell("lost", "a tick that was never delivered", { tick, id, state });
      if (made < tick - 5) tell("early", "a tick before its time", { tick, made });
      if (made > tick + LATE_MS) tell("late", "a tick that was made too late", { tick, made });
    }
  }
  for (const tick of byTick.keys())
    if (tick % 1_000 !== 0 || tick < first) tell("ghost", "a tick that is none", { tick });
  if (byTick.size < seconds) tell("broken", "too few ticks", { ticks: byTick.size, floor: seconds });
}
