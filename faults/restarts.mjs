// `npm run faults -- restarts --terms 50 --kills 10 --seed 7`: the app is restarted under load, over and over. Asked to stop
// (SIGTERM), it costs nothing: no step's code runs twice, and no run loses an attempt. Killed, only what was in flight runs
// again: what began, and had no durable result yet, in the process that was killed.
import { makeApp } from "./app-process.mjs";
import { askerOf } from "./ask.mjs";
import { SCHEMA } from "./cluster.mjs";
import { diceOf, sleep } from "./log.mjs";
import { shortBackoff } from "./watch.mjs";

export const nodes = 1;
export const options = {
  terms: { type: "string", default: "50" },
  kills: { type: "string", default: "10" },
  /** Runs in hand at one time. */
  beside: { type: "string", default: "20" },
};
const RESULT = ["first", "a", "b", "c", "loop-0", "loop-1", "loop-2"];
const QUIESCE_MS = 60_000;

export async function play({ cluster, values }) {
  const { nodes, database, call } = cluster;
  const ask = askerOf({ nodes: nodes.map((node) => node.url), apiKey: cluster.apiKey });
  const dice = diceOf(values.seed, "restarts");
  const app = await makeApp({ script: "restart-app.mjs", cluster });
  const runs = new Set();
  let loading = true;
  const unfinished = async () =>
    Number((await database(`select count(*) from ${SCHEMA}.jobs where due_at is not null`))[0].count);

  async function load() {
    while (loading) {
      const missing = Number(values.beside) - (await unfinished());
      for (let n = 0; n < missing; n++) {
        const data = { ms: dice.between(10, 120) };
        runs.add((await ask("POST", "/v1/functions/work/runs", { id: `run-${runs.size}`, data })).run_id);
      }
      await sleep(50);
    }
  }

  try {
    await nodes[0].start(1);
    await app.start();
    await call("POST", "/v1/functions/sync", { url: `${app.front.url}/api/rotor` });
    await database(shortBackoff(SCHEMA));
    const loaded = load();
    // Most of them as a deployment does it; some with a gap in which nobody serves.
    for (let n = 0; n < Number(values.terms); n++) {
      await sleep(dice.between(100, 700));
      await (n % 10 === 9 ? app.stopAndStart() : app.replace());
    }
    const gentleUntil = Date.now();
    for (let n = 0; n < Number(values.kills); n++) {
      await sleep(dice.between(200, 1_200));
      await app.kill();
      await app.start();
    }
    loading = false;
    await loaded;
    const peaceAt = Date.now();
    while ((await unfinished()) > 0 && Date.now() - peaceAt < QUIESCE_MS) await sleep(200);
    const ends = await database(
      `select job.id::text, job.state, last.output from ${SCHEMA}.jobs job
         left join ${SCHEMA}.deliveries last on last.job_id = job.id and last.delivery = job.delivery`,
    );
    const failed = await database(
      `select job_id::text as run, delivery, attempt, outcome, error, ended_at from ${SCHEMA}.deliveries
        where outcome in ('retry', 'failed', 'expired') and ended_at < to_timestamp($1 / 1000.0) order by ended_at`,
      [gentleUntil],
    );
    return judge({ runs, ends, failed, app, values });
  } finally {
    loading = false;
    await app.stop();
  }
}

function judge({ runs, ends, failed, app, values }) {
  const problems = [...app.problems];
  for (const attempt of failed) problems.push({ problem: "a gentle stop cost a run an attempt", ...attempt });
  const found = new Map(ends.map((end) => [end.id, end]));
  for (const run of runs) {
    const end = found.get(run);
    if (end?.state !== "completed" || JSON.stringify(JSON.parse(end.output)) !== JSON.stringify(RESULT))
      problems.push({ problem: "a run did not end as it should", run, ...end });
  }
  /** Step → its lines, in the order of time. */
  const steps = new Map();
  for (const line of app.lines()) steps.set(line.what, [...(steps.get(line.what) ?? []), line]);
  const again = [];
  for (const [what, lines] of steps) {
    const begins = lines.filter(({ phase }) => phase === "begin");
    const durable = lines.find(({ phase }) => phase === "durable");
    for (let n = 1; n < begins.length; n++) {
      const [first, second] = [begins[n - 1], begins[n]];
      const killedAt = app.killed.get(first.pid);
      // Lines of two processes may bear the same millisecond.
      if (durable !== undefined && second.t > durable.t)
        problems.push({ problem: "ran again after its result was durable", what, lines });
      else if (killedAt === undefined || killedAt < first.t || killedAt > second.t)
        problems.push({ problem: "ran again though its process was not killed", what, lines });
      else again.push({ what, pid: first.pid, killedAt });
    }
  }
  const figures = {
    runs: runs.size,
    steps: steps.size,
    terms: Number(values.terms),
    kills: app.killed.size,
    /** Each of these was in flight in a process that was killed. */
    again: again.length,
  };
  return { problems, figures };
}
