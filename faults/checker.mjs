// The judge of a fault run: the logs of client, app and nemesis, and the rows that are left. Imports nothing of Rotor, so
// that it cannot share a mistake with it.
import { existsSync } from "node:fs";
import { readLog } from "./log.mjs";

/** What a node had in hand may be in the balance this long after its death or around its pause. */
const SLACK_MS = 1_500;
/** Clocks are the same machine's; a delivery this early is none. */
const EARLY_MS = 5;

const steps = (op, ...names) => names.map((name) => `${op}/${name}`);

/** What a run of this plan must answer, and the steps that it must have done. */
const RUNS = {
  sequence: ({ op }) => steps(op, "step-0", "step-1", "step-2", "step-3", "step-4", "step-5"),
  parallel: ({ op }) => steps(op, "a", "b", "c", "d", "join"),
  sleeper: ({ op }) => steps(op, "before", "after"),
  waiter: ({ op, word }) => [`${op}/before`, word, `${op}/after`],
  retrier: ({ op }) => steps(op, "flaky", "after"),
  parent: ({ op }) => [`${op}/before`, [`${op}.child/only`]],
  signalled: ({ op, word }) => [word, `${op}/after`],
};

export async function check({ file, database, schema, mostActive, quiesceMs, repliesLost }) {
  const client = readLog(file("client.log"));
  const app = readLog(file("app.log"));
  const faults = windowsOf(existsSync(file("nemesis.log")) ? readLog(file("nemesis.log")) : []);
  const rows = await database(
    `select payload.job_id as id, payload.key, convert_from(payload.body, 'UTF8') as body, job.state, last.output, last.outcome, last.error,
            queue.kind, queue.name as queue
       from ${schema}.payloads payload join ${schema}.jobs job on job.id = payload.job_id join ${schema}.queues queue on queue.id = job.queue_id
       left join ${schema}.deliveries last on last.job_id = job.id and last.delivery = job.delivery`,
  );
  const problems = [];
  const tell = (problem, more) => problems.push({ problem, ...more });
  const plans = new Map(client.filter((line) => line.phase === "plan").map((line) => [line.op, line]));
  const jobsOf = groupBy(rows, (row) => opOf(row));
  const executions = executionsOf(app);
  const doubled = { explained: 0, byDatabase: 0 };
  let passed = 0;

  for (const [op, plan] of plans) {
    const before = problems.length;
    const lines = client.filter((line) => line.op === op);
    const acked = lines.filter((line) => line.phase === "ok" && (line.what === "enqueue" || line.what === "start"));
    const found = jobsOf.get(op) ?? [];
    if (found.length > 1) tell("more than one job", { op, kind: plan.kind, ids: found.map((row) => row.id) });
    if (acked.length > 0 && found.length === 0) tell("lost", { op, kind: plan.kind });
    // A cancel that comes too late is refused, and rightly.
    for (const line of lines.filter(({ phase, what }) => phase === "refused" && what !== "cancel"))
      tell("refused", line);
    if (acked.some((line) => line.id !== undefined && found.length === 1 && line.id !== found[0].id))
      tell("answered with another id", { op, kind: plan.kind });
    const [row] = found;
    if (row !== undefined) judge(plan, row, lines, tell);
    if (problems.length === before) passed++;
  }
  for (const [op, found] of jobsOf)
    if (!plans.has(op.replace(/\.child$/, ""))) tell("ghost", { op, ids: found.map((row) => row.id) });
  for (const line of app.filter((each) => each.phase === "forged")) tell("a request without a good signature", line);

  // Each piece of work: as often as it should be, and once more only where a fault met it.
  for (const [what, times] of executions) {
    const op = what.split("/")[0].replace(/\.child$/, "");
    const plan = plans.get(op);
    if (plan === undefined) continue;
    const wanted = wantedTimes(plan, what);
    for (const again of times.slice(0, Math.max(0, times.length - wanted)).map((_, index) => index)) {
      const cut = explain(times, faults, again);
      if (cut === "node") doubled.explained++;
      else if (cut === "database") doubled.byDatabase++;
      else tell("done again without a fault", { what, kind: plan.kind, wanted, times });
    }
    if (plan.kind === "delayed" && times[0].begin < plan.t + plan.waitMs - EARLY_MS)
      tell("early", { what, plan, times });
  }
  if (mostActive > 2) tell("more active than the queue allows", { mostActive });

  const recoveries = recoveriesOf(executions, faults).sort((a, b) => a - b);
  return {
    problems,
    figures: {
      passed,
      operations: plans.size,
      lost: problems.filter((each) => each.problem === "lost" || each.problem === "unfinished").length,
      faults: Object.fromEntries(
        [...groupBy(faults, (fault) => fault.kind)].map(([kind, list]) => [kind, list.length]),
      ),
      executions: app.filter((line) => line.phase === "begin").length,
      repliesLost,
      doubled: doubled.explained,
      doubledByDatabase: doubled.byDatabase,
      recovered: recoveries.length,
      recoveryMedianMs: recoveries[recoveries.length >> 1] ?? null,
      recoveryMaxMs: recoveries.at(-1) ?? null,
      quiesceMs,
    },
  };
}

/** The operation that a row belongs to. */
function opOf(row) {
  const body = JSON.parse(row.body);
  return row.kind === "callback" ? body.op : body.data.op;
}

/** Whether a job or run ended as its plan says. */
function judge(plan, row, lines, tell) {
  const where = { op: plan.op, kind: plan.kind, id: row.id, state: row.state, outcome: row.outcome, error: row.error };
  if (!["completed", "failed", "cancelled"].includes(row.state)) return tell("unfinished", where);
  if (plan.kind === "doomed") return row.state === "failed" ? undefined : tell("should have failed", where);
  if (plan.kind === "cancelled") {
    const isAcked = lines.some((line) => line.phase === "ok" && line.what === "cancel");
    return isAcked && row.state !== "cancelled" ? tell("a cancel was forgotten", where) : undefined;
  }
  if (row.state !== "completed") return tell("should have completed", where);
  const wanted = plan.kind in RUNS ? RUNS[plan.kind](plan) : { op: plan.op };
  if (JSON.stringify(JSON.parse(row.output ?? "null")) !== JSON.stringify(wanted))
    tell("a wrong result", { ...where, wanted, output: row.output });
}

/** How often a piece of work is done where nothing goes wrong. */
function wantedTimes(plan, what) {
  if (plan.kind === "doomed") return 2;
  if (plan.kind === "flaky") return plan.failures + 1;
  if (plan.kind === "retrier" && what.endsWith("/flaky")) return 3;
  return 1;
}

/** By piece of work, when it was done and for which node, in the order of time. */
function executionsOf(app) {
  const ends = new Map(app.filter((line) => line.phase === "end").map((line) => [line.id, line.t]));
  return groupBy(
    app
      .filter((line) => line.phase === "begin")
      .map(({ id, what, node, t, delivery }) => ({ what, node, delivery, begin: t, end: ends.get(id) ?? t })),
    (each) => each.what,
  );
}

/** Faults with their begin and end; one that never ended lasts. */
function windowsOf(log) {
  const ends = new Map(log.filter((line) => line.phase === "end").map((line) => [line.id, line.t]));
  return log
    .filter((line) => line.phase === "begin")
    .map(({ id, kind, node, t }) => ({ kind, node, begin: t, end: ends.get(id) ?? Number.POSITIVE_INFINITY }));
}

/** After these a node's work may be done again; a restart that is gentle, or a stop shorter than a lease, explains nothing. */
const NODE_FAULTS = new Set(["kill", "kill all", "pause"]);
/** These may outlast a lease. What is shorter, and a reply that was lost, explains nothing. */
const DATABASE_FAULTS = new Set(["freeze", "silence"]);

/** Which fault met this execution before its result was safe: one of its node, else one of the database, else none. */
function explain(times, faults, index) {
  const met = ({ begin, end }) =>
    times.slice(0, index + 2).some((one) => begin <= one.end + SLACK_MS && end + SLACK_MS >= one.begin);
  const ofNode = faults.filter(
    ({ kind, node }) => NODE_FAULTS.has(kind) && (node === undefined || times.some((one) => one.node === node)),
  );
  if (ofNode.some(met)) return "node";
  return faults.some((fault) => DATABASE_FAULTS.has(fault.kind) && met(fault)) ? "database" : undefined;
}

/** From the death or the stop of a node to the moment that what it had in hand began again elsewhere. */
function recoveriesOf(executions, faults) {
  const found = [];
  for (const times of executions.values()) {
    for (const [index, one] of times.entries()) {
      const next = times[index + 1];
      const fault = faults.find(
        ({ kind, node, begin }) =>
          ["kill", "pause", "kill all"].includes(kind) &&
          (node === undefined || node === one.node) &&
          begin >= one.begin &&
          begin <= one.end,
      );
      if (fault !== undefined && next !== undefined) found.push(next.begin - fault.begin);
    }
  }
  return found;
}

function groupBy(list, keyOf) {
  const groups = new Map();
  for (const item of list) {
    const key = keyOf(item);
    if (groups.has(key)) groups.get(key).push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
