// The judge of a fault run: four logs, written by the client, the endpoint, the nemesis and the database's triggers, and the rows
// that are left. Pure, and imports nothing of Rotor, so that it cannot share a mistake with it.
import {
  APP_FAULTS,
  calmMs,
  causeOf,
  causesOf,
  executionsOf,
  faultsOf,
  leasesOf,
  outagesOf,
  plansOf,
  push,
  resultsOf,
} from "./evidence.mjs";
import { endsOf, jobsOf, restOf, resultOf, timesOf } from "./plans.mjs";

/** What a run is judged by. Every problem is of one of these; `doubled` with a cause is counted, and no problem. */
export const VERDICT = ["lost", "ghost", "doubled", "early", "late", "overlap", "stuck", "wrong", "leaked", "broken"];

/** Two processes write down when something was; a timer may fire this much before its time. */
const EARLY_MS = 5;
/** From the moment that a job is due, or its node has died, without an outage meanwhile. */
const LATE_MS = 20_000;
export const RECOVERY_MS = 15_000;
/** An answer within this time was within its delivery's limit. */
const HEARD_MS = 3_000;
/** Within one transaction, between its first and its last write, on a slow day. */
const WRITING_MS = 1_000;
/** What was on its way to the endpoint when a cancel was answered. */
const ON_ITS_WAY_MS = 1_500;
const FINISHED = new Set(["completed", "failed", "cancelled"]);

/**
 * `rows`: a job each, with `id`, `op`, `state`, `output`, `isReplay`. `violations`: of the invariants. `leaks`: what is held after
 * everything has ended, in words. Answers the problems and the figures.
 */
export function judge({ client, endpoint, nemesis = [], shadow = [], rows, violations = [], leaks = [] }) {
  const problems = [];
  const tell = (verdict, problem, more) => problems.push({ verdict, problem, ...more });
  const faults = faultsOf(nemesis);
  const facts = {
    plans: plansOf(client),
    lines: groupBy(client, (line) => line.op),
    found: groupBy(rows, (row) => row.op),
    executions: executionsOf(endpoint),
    faults,
    causes: causesOf(faults),
    outages: outagesOf(faults),
    jobs: leasesOf(shadow),
    stored: resultsOf(shadow),
  };
  for (const plan of facts.plans.values()) judgeOperation(plan, facts, tell);
  for (const [op, found] of facts.found)
    if (!facts.plans.has(op.replace(/\.child$/, "")))
      tell("ghost", "a job that nobody sent", { op, ids: found.map(({ id }) => id) });
  for (const line of endpoint) if (line.phase === "forged") tell("ghost", "a request without a good signature", line);
  for (const line of client) if (line.phase === "broken") tell("broken", "the client failed", line);
  const doubled = judgeExecutions(facts, tell);
  judgeLeases(facts, tell);
  for (const row of shadow) {
    if (row.table === "over") tell("overlap", "a commit with more active jobs than a limit allows", row);
    if (row.table === "step" && row.isChanged) tell("wrong", "a result that was recorded has changed", row);
  }
  for (const each of violations) tell("stuck", "a broken invariant", each);
  for (const leak of leaks) tell("leaked", leak.what, leak);
  const recoveries = recoveriesOf(facts);
  for (const each of recoveries)
    if (each.calmMs > RECOVERY_MS) tell("late", "a dead node's work began again too late", each);
  return { problems, figures: figuresOf(facts, problems, doubled, recoveries) };
}

/** An operation: whether it is there, once, and ended as planned. */
function judgeOperation(plan, { lines, found, jobs }, tell) {
  const { op, kind } = plan;
  const own = lines.get(plan.batch ?? op);
  const acked = own.filter(({ phase, what }) => phase === "ok" && (what === "enqueue" || what === "start"));
  const rows = found.get(op) ?? [];
  // The last try of a request whose first answer was lost may be refused, and a cancel, a change or a retry may come too late.
  for (const line of own)
    if (line.phase === "refused" && !line.isUnknown && !["cancel", "change", "retry"].includes(line.what))
      tell("wrong", "refused", line);
  if (kind === "fleeting") return judgeFleeting(plan, acked, jobs, tell);
  const asked = own.filter(({ phase, what }) => phase === "before" && what === "replay").length;
  if (acked.length > 0 && rows.length === 0) return tell("lost", "answered, and not there", { op, kind });
  if (rows.length > jobsOf(plan, asked))
    tell("ghost", "more than one job", { op, kind, ids: rows.map((row) => row.id) });
  if (acked.some(({ id }) => id !== undefined && rows.length === 1 && id !== rows[0].id))
    tell("wrong", "answered with another id", { op, kind });
  for (const row of rows) judgeEnd(plan, row, own, tell);
}

/** One that may be gone by now: its end is in the shadow table. */
function judgeFleeting({ op, kind }, acked, jobs, tell) {
  if (jobs.size === 0) return;
  for (const { id } of acked) {
    const last = jobs.get(id)?.changes.at(-1)?.state;
    if (last === undefined) tell("lost", "answered, and never there", { op, kind, id });
    else if (last !== "completed") tell("stuck", "unfinished", { op, kind, id, state: last });
  }
}

function judgeEnd(plan, { id, state, output, outcome, error }, lines, tell) {
  const where = { op: plan.op, kind: plan.kind, id, state, outcome, error };
  const isOk = (name) => lines.some(({ phase, what }) => phase === "ok" && what === name);
  if (!FINISHED.has(state)) {
    // What it waits for was never given: the client gave up asking.
    const missing = { approved: "approve", signalled: "signal", waiter: "poke" }[plan.kind];
    if (missing !== undefined && !isOk(missing)) return;
    return tell("stuck", "unfinished", where);
  }
  if (!endsOf(plan).includes(state)) return tell("wrong", `ended as ${state}`, where);
  if (plan.kind === "cancelled" && isOk("cancel") && state !== "cancelled")
    tell("wrong", "a cancel was forgotten", where);
  const wanted = resultOf(plan);
  if (state !== "completed" || wanted === undefined) return;
  if (JSON.stringify(parsed(output)) !== JSON.stringify(wanted))
    tell("wrong", "another result", { ...where, wanted, output });
}

/** Each piece of work: as often as it should be, once more only where a fault met it, and never before its time. */
function judgeExecutions({ plans, found, lines, executions, causes, outages, jobs, stored }, tell) {
  const doubled = { node: 0, app: 0, database: 0, stall: 0 };
  for (const [what, times] of executions) {
    const [op, step] = what.split("/");
    const plan = plans.get(op.replace(/\.child$/, ""));
    if (plan === undefined) {
      tell("ghost", "work that nobody sent", { what });
      continue;
    }
    const copies = Math.max(1, found.get(op)?.length ?? 1);
    const wanted = timesOf(plan, what) * copies;
    // What met its delivery before it began counts: a node may learn of that later, and its app as late.
    const met = times.slice(0, -1).map((one) => {
      const begin = Math.min(one.begin, leaseOf(one, jobs)?.from ?? one.begin);
      return causeOf(causes, { ...one, begin }, safeAt(one, step, jobs, stored));
    });
    const cut = met.filter((cause) => cause !== undefined);
    // Who stood still may send, when it wakes, what it was about to: behind whoever has done its work meanwhile.
    const late = lateCauseOf(times.at(-1), jobs, causes);
    if (late !== undefined) cut.push(late);
    const extra = Math.max(0, times.length - wanted);
    for (const cause of cut.slice(0, extra)) doubled[classOf(cause)]++;
    if (extra > cut.length)
      tell("doubled", "done again without a fault that met it", { what, kind: plan.kind, wanted, times });
    const hashes = [plan.hash, plan.changedHash].filter((hash) => hash !== undefined);
    for (const { hash } of times)
      if (hash !== undefined && hashes.length > 0 && !hashes.includes(hash))
        tell("wrong", "another body", { what, hash });
    judgeTimes(plan, what, times, met, copies, jobs, tell);
    if (step !== undefined) judgeResults(what, step, times, jobs, stored, tell);
    judgeCancel(lines.get(op), what, times, jobs, tell);
    judgeApproval(plan, lines.get(op), times, tell);
    judgeStart(plan, lines.get(plan.batch ?? op), times, outages, tell);
  }
  // Between two steps of one run.
  for (const plan of plans.values()) {
    const [before] = executions.get(`${plan.op}/before`) ?? [];
    const [after] = executions.get(`${plan.op}/after`) ?? [];
    if (plan.kind === "sleeper" && before && after && after.begin < before.begin + plan.ms + plan.napMs - EARLY_MS)
      tell("early", "a sleep was too short", { op: plan.op, napMs: plan.napMs, before, after });
  }
  return doubled;
}

const classOf = ({ kind, node }) =>
  kind === "stall" ? kind : node !== undefined ? "node" : APP_FAULTS.has(kind) ? "app" : "database";

/** When the result of an execution was stored: of a step, when it was written; of a callback, when its lease ended. */
function safeAt({ job, node, begin }, step, jobs, stored) {
  if (step !== undefined) return stored.get(`${job}/${step}`) ?? Number.POSITIVE_INFINITY;
  return leaseOf({ job, node, begin }, jobs)?.to ?? Number.POSITIVE_INFINITY;
}

/** The delivery that an execution is of. */
const leaseOf = ({ job, node, begin }, jobs) =>
  jobs.get(job)?.leases.findLast((each) => each.node === node && each.from <= begin + EARLY_MS);

/** Of an execution whose delivery was over before it began: the fault that met it in between. */
function lateCauseOf(one, jobs, causes) {
  const lease = leaseOf(one, jobs);
  if (lease?.to === undefined || lease.to >= one.begin) return undefined;
  const fault = causeOf(causes, { ...one, begin: lease.from }, lease.to);
  return fault?.node === undefined ? undefined : fault;
}

/** It ended with its attempt used, or with those set back by a step and one of them used. */
const isFailed = ({ to, end, left, attempt }) =>
  to !== undefined && end === "waiting" && left >= 1 && left !== attempt - 1;

function judgeTimes(plan, what, times, met, copies, jobs, tell) {
  if (plan.waitMs > 0 && plan.kind === "delayed" && times[0].begin < plan.t + plan.waitMs - EARLY_MS)
    tell("early", "before it was due", { what, plan, times });
  const rest = restOf(plan, what);
  if (rest === undefined || copies > 1) return;
  for (const [n, one] of times.slice(0, -1).entries()) {
    // Where a fault met it, its own back-off is not the one that counts. A stall makes nothing earlier.
    if (met[n] !== undefined && met[n].kind !== "stall") continue;
    const [lease, next] = [leaseOf(one, jobs), leaseOf(times[n + 1], jobs)];
    const isStored = lease !== undefined && next !== undefined && lease !== next;
    // From when the statement that ended it began: it may have stood still before it came to the row, or the database did.
    const [ended, began] = isStored ? [lease.ending, next.from] : [one.end, times[n + 1].begin];
    // It was given back, and not tried again.
    if (isStored && next.attempt <= lease.attempt) continue;
    // A request for time that came too late was not heard.
    if (lease !== undefined && plan.kind === "busy" && lease.to - lease.from > HEARD_MS) continue;
    if (began < ended + rest - EARLY_MS)
      tell("early", "tried again before its back-off was over", { what, rest, times, lease, next });
  }
}

/** The result of a step is of an execution by whoever held the run when it was stored: what comes later is not taken. */
function judgeResults(what, step, times, jobs, stored, tell) {
  for (const job of new Set(times.map((one) => one.job))) {
    const at = stored.get(`${job}/${step}`);
    const leases = jobs.get(job)?.leases;
    if (at === undefined || leases === undefined) continue;
    const holders = leases.filter(({ from, to = at }) => from <= at + EARLY_MS && to >= at - WRITING_MS);
    const own = times.filter((one) => one.job === job);
    const isTheirs = own.some(({ node, end }) => end <= at + EARLY_MS && holders.some((each) => each.node === node));
    if (!isTheirs) tell("wrong", "stored by a delivery that was over", { what, job, at, leases, times: own });
  }
}

function judgeCancel(lines, what, times, jobs, tell) {
  const cancelled = lines?.find(({ phase, what }) => phase === "ok" && (what === "cancel" || what === "abort"));
  if (cancelled === undefined) return;
  for (const one of times) {
    // What was claimed before it may be on its way for a while; nothing is claimed after it.
    const begun = leaseOf(one, jobs)?.from ?? one.begin - ON_ITS_WAY_MS;
    if (begun > cancelled.t) tell("wrong", "begun after a cancel was answered", { what, cancelled: cancelled.t, one });
  }
}

function judgeApproval({ op, kind }, lines, [first], tell) {
  if (kind !== "approved") return;
  const asked = lines.find(({ phase, what }) => phase === "before" && what === "approve");
  if (asked === undefined || first.begin < asked.t)
    tell("early", "begun before anybody approved", { op, asked, first });
}

function judgeStart(plan, lines, [first], outages, tell) {
  if (plan.queue !== "plain" || ["keyed", "changed", "cancelled"].includes(plan.kind)) return;
  const acked = lines.find(({ phase, what }) => phase === "ok" && what === "enqueue");
  if (acked === undefined) return;
  const due = acked.t + (plan.waitMs ?? 0);
  const late = calmMs(outages, due, first.begin);
  if (late > LATE_MS)
    tell("late", "begun too late", { op: plan.op, kind: plan.kind, due, begin: first.begin, calmMs: late });
}

/** The states and the leases of each job, as the database has seen them. */
function judgeLeases({ jobs, executions, plans }, tell) {
  const byJob = new Map();
  for (const times of executions.values())
    for (const one of times) if (one.job !== undefined && one.hash !== undefined) push(byJob, one.job, one);
  for (const [job, { leases, changes }] of jobs) {
    for (const [n, lease] of leases.entries())
      if (lease.delivery !== n + 1) tell("overlap", "numbers of deliveries with a gap", { job, leases });
    for (const row of changes)
      if (FINISHED.has(row.before) && row.before !== row.state && !(row.before === "failed" && row.state === "waiting"))
        tell("wrong", "it had ended before", { job, row });
    const last = leases.at(-1);
    const own = byJob.get(job) ?? [];
    const plan = plans.get(own[0]?.what);
    // A completed callback was answered by the very delivery that completed it. What was accepted is reported by anybody.
    if (last?.end !== "completed" || own.length === 0 || plan === undefined || plan.kind === "async") continue;
    // A body that never ends is taken as it is.
    if (plan.kind === "endless" || plan.kind === "bomb") continue;
    const isAnswered = own.some(
      (one) =>
        one.node === last.node &&
        one.begin >= last.from - EARLY_MS &&
        one.end !== undefined &&
        one.end <= last.to + EARLY_MS,
    );
    if (!isAnswered)
      tell("wrong", "completed by a delivery that is not the last one's", { job, op: plan.op, last, own });
  }
}

/** From the death or the stop of a node to the moment that what it had in hand began again. */
function recoveriesOf({ plans, executions, causes, outages, jobs, stored }) {
  const found = [];
  for (const [what, times] of executions) {
    // Those stand in line once more, behind others who want what few may have.
    if (["keyed", "crowded"].includes(plans.get(what)?.kind)) continue;
    for (const [n, one] of times.slice(0, -1).entries()) {
      const next = times[n + 1].begin;
      const fault = causeOf(causes, one, Math.min(safeAt(one, what.split("/")[1], jobs, stored), next));
      // Where it was answered before, what follows is its own back-off.
      if (fault?.node === undefined || fault.kind === "kill all" || one.end < fault.begin) continue;
      const lease = leaseOf(one, jobs);
      // So it is where the delivery failed by itself, such as by a connection that broke, and the attempt was not given back.
      const to = lease !== undefined && isFailed(lease) ? Math.min(lease.to, next) : next;
      const from = Math.max(fault.begin, one.begin);
      found.push({ what, kind: fault.kind, ms: to - from, calmMs: calmMs(outages, from, to) });
    }
  }
  return found.sort((a, b) => a.calmMs - b.calmMs);
}

function figuresOf({ plans, executions, faults }, problems, doubled, recoveries) {
  const verdict = Object.fromEntries(
    VERDICT.map((name) => [name, problems.filter((each) => each.verdict === name).length]),
  );
  const kinds = {};
  for (const { kind } of faults) kinds[kind] = (kinds[kind] ?? 0) + 1;
  let jobs = 0;
  for (const plan of plans.values()) if (plan.hash !== undefined || plan.batch !== undefined) jobs++;
  const times = [...executions.values()];
  return {
    verdict,
    doubledWithCause: doubled,
    operations: plans.size,
    jobs,
    runs: plans.size - jobs,
    executions: times.reduce((sum, each) => sum + each.length, 0),
    recovered: recoveries.length,
    recoveryMedianMs: recoveries[recoveries.length >> 1]?.calmMs ?? null,
    recoveryMaxMs: recoveries.at(-1)?.calmMs ?? null,
    faults: kinds,
  };
}

function parsed(text) {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return undefined;
  }
}

function groupBy(list, keyOf) {
  const groups = new Map();
  for (const item of list) push(groups, keyOf(item), item);
  return groups;
}
