// `npm run faults -- pairs --count 10000 --kills 20 --seed 7`: events before, during and after the waits for them, while
// servers, the app and connections die; and one run that waits in a loop for a thousand. No event is missed, none counts
// twice, no two waits of a run share one, and no wait ends by its timeout whose event had come.
import { makeApp } from "./app-process.mjs";
import { askerOf } from "./ask.mjs";
import { windowsOf } from "./causes.mjs";
import { SCHEMA } from "./cluster.mjs";
import { diceOf, readLog, sleep } from "./log.mjs";
import { startNemesis } from "./nemesis.mjs";
import { shortBackoff, watchResults } from "./watch.mjs";

export const nodes = 3;
export const options = {
  count: { type: "string", default: "10000" },
  /** At least so many faults; fewer prove nothing. */
  kills: { type: "string", default: "10" },
  /** Runs in hand at one time. */
  beside: { type: "string", default: "200" },
  minutes: { type: "string", default: "10" },
  /** Events for the run that waits in a loop. */
  looped: { type: "string", default: "1000" },
};
const PAIRS_OF_A_RUN = 4;
/** Of events: each for some of the runs, which meet at its lock. */
const NAMES = 40;
const PACE = [1_000, 4_000];
const LOOP = "loop";
const MOMENTS = ["before", "during", "after"];

export async function play({ cluster, values }) {
  const { nodes, database, proxy, file, call } = cluster;
  const ask = askerOf({ nodes: nodes.map((node) => node.url), apiKey: cluster.apiKey });
  const dice = diceOf(values.seed, "pairs");
  const send = senderOf(ask);
  const hear = ({ ms, ...event }) => sleep(ms).then(() => send(event));
  const app = await makeApp({ script: "pair-app.mjs", cluster, hear });
  const runs = Array.from({ length: Math.ceil(Number(values.count) / PAIRS_OF_A_RUN) }, (_, n) => ({
    of: `pair-${n}`,
    when: MOMENTS[n % MOMENTS.length],
    name: `pairs.${n % NAMES}`,
    ms: dice.between(0, 40),
  }));
  let nemesis;
  try {
    await Promise.all(nodes.map((node) => node.start(1)));
    await app.start();
    await call("POST", "/v1/functions/sync", { url: `${app.front.url}/api/rotor` });
    await database(shortBackoff(SCHEMA));
    await database(watchResults(SCHEMA));
    nemesis = startNemesis({ seed: values.seed, nodes, database, proxy, app, path: file("nemesis.log"), pace: PACE });
    const looped = sendLooped({ ask, dice: diceOf(values.seed, "loop"), count: Number(values.looped) });
    await Promise.all([carryOut({ runs, ask, send, database, values, looped }), looped]);
    await nemesis.stop();
    const faults = windowsOf(readLog(file("nemesis.log")));
    return await judge({ runs, database, faults, app, values });
  } finally {
    await nemesis?.stop();
    await app.stop();
  }
}

/** Sends events, those of a moment together; repeated until it is acknowledged. */
function senderOf(ask) {
  let next = [];
  let sending = Promise.resolve();
  return ({ name, of, n }) => {
    if (next.push({ name, id: `${of}/${n}`, data: { of, n } }) === 1)
      sending = sending.then(() => {
        const events = next;
        next = [];
        return ask("POST", "/v1/events", events);
      });
    return sending;
  };
}

/** Starts the run that waits in a loop and sends what it waits for, some at a time, faster and slower than it can take them. */
async function sendLooped({ ask, dice, count }) {
  if (count === 0) return;
  await ask("POST", "/v1/events", [{ name: "pairs.loop", id: "loop", data: { of: LOOP, count } }]);
  for (let n = 0; n < count; ) {
    const size = Math.min(count - n, dice.between(1, 25));
    const events = Array.from({ length: size }, () => ({ name: "pairs.looped", id: `loop/${n}`, data: { n: n++ } }));
    await ask("POST", "/v1/events", events);
    await sleep(dice.between(0, 600));
  }
}

/** Starts the runs, so many at a time, sends what is to come after its wait, and resolves when all have ended. */
async function carryOut({ runs, ask, send, database, values, looped }) {
  const until = Date.now() + Number(values.minutes) * 60_000;
  const todo = [...runs];
  const byOf = new Map(runs.map((run) => [run.of, run]));
  /** Run → events sent to its waits. */
  const sent = new Map();
  let told = Date.now();
  let isSending = true;
  const sentAll = () => {
    isSending = false;
  };
  // What it failed of is told to whoever awaits it.
  looped.then(sentAll, sentAll);
  for (let left = 0; (todo.length > 0 || left > 0 || isSending) && Date.now() < until; ) {
    const starting = todo.splice(0, Math.max(0, Number(values.beside) - left));
    if (starting.length > 0)
      await ask(
        "POST",
        "/v1/events",
        starting.map((run) => ({ name: "pairs.start", id: run.of, data: run })),
      );
    // Postgres may be away just now.
    const rows = await database(WAITING).catch(() => undefined);
    const due = (rows ?? []).flatMap(({ of, waits }) => {
      const run = byOf.get(of);
      const count = sent.get(of) ?? 0;
      // Another is the run that waits in a loop, which is sent to by itself.
      if (run?.when !== "after" || (count === 2 && waits < 2)) return [];
      const numbers = count === 2 ? [2, 3] : count < 2 ? [count] : [];
      sent.set(of, count + numbers.length);
      return numbers.map((n) => send({ ...run, n }));
    });
    await Promise.all(due);
    left = await database(`select count(*)::int from ${SCHEMA}.jobs where due_at is not null`).then(
      (found) => found[0].count,
      () => left,
    );
    if (Date.now() - told > 20_000) {
      told = Date.now();
      console.log(`${runs.length - todo.length - left} of ${runs.length} runs`);
    }
    await sleep(50);
  }
}

const RUN = "convert_from(payload.body, 'UTF8')::jsonb -> 'data' ->> 'of'";

const WAITING = `
  select ${RUN} as of, count(*)::int as waits
    from ${SCHEMA}.steps step join ${SCHEMA}.payloads payload on payload.job_id = step.job_id
   where step.kind = 'event' and step.state = 'waiting' and step.due_at > clock_timestamp() + interval '1 minute' group by 1`;

const ENDS = `
  select ${RUN} as of, job.id::text, job.state, last.output, last.error
    from ${SCHEMA}.jobs job join ${SCHEMA}.payloads payload on payload.job_id = job.id
    left join ${SCHEMA}.deliveries last on last.job_id = job.id and last.delivery = job.delivery`;

/** Waits that ended by time although their event had come by then, and by that time they had begun. */
const MISSED = `
  select ${RUN} as of, step.key, event.received_at, step.asked_at, step.ended_at
    from ${SCHEMA}.steps step join ${SCHEMA}.payloads payload on payload.job_id = step.job_id
    join ${SCHEMA}.events event on event.key = (${RUN}) || '/edge'
   where step.key = 'edge' and step.state = 'completed' and step.event_id is null and event.received_at < step.ended_at limit 20`;

async function judge({ runs, database, faults, app, values }) {
  const problems = [...app.problems];
  const ends = await database(ENDS);
  const byRun = new Map();
  for (const end of ends) byRun.set(end.of, [...(byRun.get(end.of) ?? []), end]);
  const edges = { met: 0, timedOut: 0 };
  for (const { of, when } of runs) {
    const found = byRun.get(of) ?? [];
    const tell = (problem, more) => problems.push({ problem, of, when, ...more });
    if (found.length !== 1) tell("not one run", { found });
    else if (found[0].state !== "completed") tell("did not complete", found[0]);
    else {
      const got = JSON.parse(found[0].output);
      const waits = got.slice(0, PAIRS_OF_A_RUN);
      if (waits.includes(null)) tell("an event was missed", { got });
      else if (new Set(waits).size < waits.length || got[PAIRS_OF_A_RUN] !== null)
        tell("an event counted twice", { got });
      if (got.at(-1) === null) edges.timedOut++;
      else edges.met++;
    }
  }
  const loops = byRun.get(LOOP) ?? [];
  if (Number(values.looped) > 0) {
    const seen = loops.length === 1 && loops[0].state === "completed" ? JSON.parse(loops[0].output) : [];
    const missing = Array.from({ length: Number(values.looped) }, (_, n) => n).filter((n) => !seen.includes(n));
    if (missing.length > 0 || new Set(seen).size !== seen.length)
      problems.push({ problem: "the loop did not get each event once", missing: missing.slice(0, 20), loops });
  }
  for (const row of await database(MISSED)) problems.push({ problem: "timed out though its event had come", ...row });
  for (const row of await database(`select * from ${SCHEMA}.changed_results limit 20`))
    problems.push({ problem: "a recorded result changed", ...row });
  if (faults.length < Number(values.kills)) problems.push({ problem: "too few faults", faults: faults.length });
  const count = {};
  for (const { kind } of faults) count[kind] = (count[kind] ?? 0) + 1;
  return {
    problems,
    figures: {
      pairs: runs.length * PAIRS_OF_A_RUN,
      runs: runs.length,
      looped: Number(values.looped),
      edges,
      faults: count,
    },
  };
}
