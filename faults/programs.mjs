// `npm run faults -- programs --count 20000 --seed 7`: random workflow programs, carried out in an app of its own process,
// while servers, the app and connections die. Each must end as a plain interpreter says; what its code has once seen never
// changes; and no step's code runs again once its result was durable, or without a fault that met it.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { root, run } from "../scripts/install.mjs";
import { makeApp } from "./app-process.mjs";
import { askerOf } from "./ask.mjs";
import { causeOf, windowsOf } from "./causes.mjs";
import { SCHEMA } from "./cluster.mjs";
import { readLog, sleep } from "./log.mjs";
import { startNemesis } from "./nemesis.mjs";
import { shortBackoff, watchResults } from "./watch.mjs";

export const nodes = 3;
export const options = {
  count: { type: "string", default: "20000" },
  /** Programs that run at the same time. */
  beside: { type: "string", default: "60" },
  /** What has not ended by then has failed. */
  minutes: { type: "string", default: "90" },
  calm: { type: "boolean", default: false },
};
/** Milliseconds between two faults: short enough that most programs meet one. */
const PACE = [100, 1_000];
const KEPT = join(root, "faults/seeds/regressions.json");

export async function play({ cluster, values }) {
  // The programs and their interpreter are those of `npm test`.
  run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, "faults")]);
  const { program } = await import("./built/program.js");
  const { JOBS } = await import("./built/operations.js");
  const kept = JSON.parse(readFileSync(KEPT, "utf8"));
  const sampled = fc.sample(program, { numRuns: Number(values.count), seed: Number(values.seed) });
  const programs = [...kept.map((one) => one.program), ...sampled].map((tree, n) => ({ token: `p${n}`, tree }));

  const { nodes, database, proxy, file, call } = cluster;
  const ask = askerOf({ nodes: nodes.map((node) => node.url), apiKey: cluster.apiKey });
  const over = new Set();
  const hear = senderOf(ask, over);
  const app = await makeApp({ script: "program-app.mjs", cluster, hear });
  let nemesis;
  try {
    await Promise.all(nodes.map((node) => node.start(1)));
    await app.start();
    const retry = { backoff: "fixed", min: "200ms", max_attempts: 100 };
    await call("POST", "/v1/queues", { name: JOBS, callback_url: `${app.front.url}/job`, concurrency: 50, retry });
    await call("POST", "/v1/functions/sync", { url: `${app.front.url}/api/rotor` });
    await database(shortBackoff(SCHEMA));
    await database(watchResults(SCHEMA));
    if (!values.calm)
      nemesis = startNemesis({ seed: values.seed, nodes, database, proxy, app, path: file("nemesis.log"), pace: PACE });
    const ends = await carryOut({ programs, ask, database, over, values });
    await nemesis?.stop();
    const faults = values.calm ? [] : readLog(file("nemesis.log"));
    const verdict = await judge({ programs, ends, app, faults });
    for (const row of await database(`select * from ${SCHEMA}.changed_results limit 20`))
      verdict.problems.push({ problem: "a recorded result changed", ...row });
    keep(kept, verdict.problems, values.seed);
    return verdict;
  } finally {
    await nemesis?.stop();
    await app.stop();
  }
}

/** Sends what the app asks for, each thing once, from here: the app may be dead by then. */
function senderOf(ask, over) {
  const known = new Set();
  return async ({ what: { kind, id, data }, ms }) => {
    if (known.has(id)) return;
    known.add(id);
    await sleep(ms);
    const isOver = () => over.has(data.token);
    if (kind === "event") return ask("POST", "/v1/events", [{ name: "story", id, data }]);
    // 404: it is not waited for yet, or no more, since the answer before was lost.
    const again = (status) => status >= 500 || status === 404;
    return ask("POST", `/v1/signals/${encodeURIComponent(id)}/complete`, { data }, { isOver, again });
  };
}

/** Starts them, some side by side, and answers how each ended, by token: `{ state, output, error }`. */
async function carryOut({ programs, ask, database, over, values }) {
  const until = Date.now() + Number(values.minutes) * 60_000;
  const ends = new Map();
  const runs = new Map();
  const todo = [...programs];
  const start = async ({ token, tree }) => {
    const data = { program: tree, path: "p", token };
    const { run_id } = await ask("POST", "/v1/functions/programs/runs", { id: token, data });
    runs.set(run_id, token);
  };
  let starting = 0;
  let told = 0;
  while (ends.size < programs.length && Date.now() < until) {
    while (todo.length > 0 && runs.size + starting < Number(values.beside)) {
      starting++;
      const next = todo.shift();
      void start(next)
        .catch((error) =>
          ends.set(next.token, { state: "never started", error: JSON.stringify({ name: error.message }) }),
        )
        .finally(() => starting--);
    }
    await sleep(100);
    // Postgres may be away just now.
    const rows = await database(
      `select job.id::text, job.state, last.output, last.error from ${SCHEMA}.jobs job
         left join ${SCHEMA}.deliveries last on last.job_id = job.id and last.delivery = job.delivery
        where job.id = any($1::uuid[]) and job.due_at is null`,
      [[...runs.keys()]],
    ).catch(() => []);
    for (const { id, ...end } of rows) {
      const token = runs.get(id);
      runs.delete(id);
      over.add(token);
      ends.set(token, { ...end, run: id });
    }
    if (ends.size - told >= 500) {
      told = ends.size;
      console.log(`${told} of ${programs.length}`);
    }
  }
  return ends;
}

/** Compares ends with the interpreter's, and what the code did with the faults. */
async function judge({ programs, ends, app, faults }) {
  const { add, newNotes } = await import("./built/notes.js");
  const { expected } = await import("./built/reference.js");
  const windows = windowsOf(faults);
  const problems = [...app.problems];
  const notes = new Map(programs.map(({ token }) => [token, newNotes()]));
  /** Token and place → when its code was first given its result, and in which delivery. */
  const durable = new Map();
  for (const line of app.lines()) {
    add(notes.get(line.token), line.what === "ran" ? { ...line, by: { ...line.by, t: line.t } } : line);
    const place = `${line.token} ${line.path}`;
    if (line.what === "saw" && !durable.has(place)) durable.set(place, { t: line.t, ...line.by });
  }
  const again = {};
  let steps = 0;
  for (const { token, tree } of programs) {
    const own = notes.get(token);
    const tell = (problem, more) => problems.push({ problem, token, ...more, program: tree });
    const end = ends.get(token);
    if (end === undefined) tell("did not end");
    else {
      const error = end.error === null ? undefined : JSON.parse(end.error);
      const got = end.state === "completed" ? { value: JSON.parse(end.output) } : { error: error?.name };
      const wanted = await expected(tree, "p", own.winners);
      if (JSON.stringify(got) !== JSON.stringify(wanted)) tell("a wrong end", { got, wanted, end });
    }
    for (const why of own.violations) tell("a violation", { why });
    for (const [path, times] of own.executed) {
      steps++;
      times.sort((a, b) => a.t - b.t);
      const result = durable.get(`${token} ${path}`);
      // One that a newer delivery has overtaken may still be at it: what it says is refused.
      const late = times.find((one) => result !== undefined && one.t > result.t && one.delivery >= result.delivery);
      if (late !== undefined) tell("ran again after its result was durable", { path, late, result });
      for (let n = 1; n < times.length; n++) {
        const cause = causeOf(times[n - 1], times[n], app.killed, windows);
        if (cause === undefined) tell("ran again without a fault", { path, times });
        else again[cause] = (again[cause] ?? 0) + 1;
      }
    }
  }
  const count = {};
  for (const { kind } of windows) count[kind] = (count[kind] ?? 0) + 1;
  const figures = { programs: programs.length, ended: ends.size, steps, again, faults: count, apps: app.count() };
  return { problems, figures };
}

/** A program that failed is played first from now on, here and in `npm test`. */
function keep(kept, problems, seed) {
  const known = new Set(kept.map(({ program }) => JSON.stringify(program)));
  for (const { problem, program } of problems) {
    if (program === undefined || known.has(JSON.stringify(program))) continue;
    known.add(JSON.stringify(program));
    kept.push({ seed, problem, program });
  }
  if (known.size > 0) writeFileSync(KEPT, `${JSON.stringify(kept, null, 2)}\n`);
}
