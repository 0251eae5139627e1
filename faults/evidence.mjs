// From logs to facts: plans, executions, leases, faults, and which fault met which execution. Imports nothing of Rotor.

/** Of an operation that is a batch, a plan for each of its jobs. */
export function plansOf(client) {
  const plans = new Map();
  for (const line of client) {
    if (line.phase === "changing") plans.get(line.op).changedHash = line.hash;
    if (line.phase !== "plan") continue;
    if (line.kind !== "batch") plans.set(line.op, line);
    else
      for (let n = 0; n < line.size; n++)
        plans.set(`${line.op}.${n}`, {
          t: line.t,
          op: `${line.op}.${n}`,
          kind: "ok",
          queue: line.queue,
          ms: 0,
          batch: line.op,
        });
  }
  return plans;
}

/** By piece of work (`op` or `op/step`): when it was done and for which node, in the order of time. */
export function executionsOf(endpoint) {
  const byId = new Map();
  const found = new Map();
  for (const line of endpoint) {
    if (line.phase === "begin") {
      const { id, what, node, t, job, run, hash } = line;
      const one = { what, node, job: job ?? run, hash, begin: t, end: undefined };
      byId.set(id, one);
      push(found, what, one);
    } else if (line.phase === "end") {
      const one = byId.get(line.id);
      if (one !== undefined) one.end = line.t;
      byId.delete(line.id);
    }
  }
  for (const times of found.values()) times.sort((a, b) => a.begin - b.begin);
  return found;
}

/** What may become of a delivery whose node died, or stood still. What is gentle, or shorter than a lease, is not among them. */
const DEATHS = new Set(["kill", "kill all", "crash"]);
const NODE_FAULTS = new Set([...DEATHS, "pause"]);
/** One that stood still goes on with what it has in hand, until it renews its lease and learns that it is over. */
const NOTICED_MS = 1_500;
/** These break what is between a node and the app, at all deliveries in hand. */
export const APP_FAULTS = new Set(["cut app", "lost answers", "app away"]);
/** Who speaks to Postgres through these may lose its lease, where they last as long as one: it stops a second before. */
const LEASE_MS = 3_500;
/** Clocks are the same machine's, but who kills and who writes the log are not the same process. */
const SLACK_MS = 300;

/** Faults with their begin and end; one that never ended lasts. */
export function faultsOf(nemesis) {
  const ends = new Map(nemesis.filter((line) => line.phase === "end").map((line) => [line.id, line.t]));
  return nemesis
    .filter((line) => line.phase === "begin")
    .map(({ id, kind, node, whom, t }) => {
      const over = ends.get(id) ?? Number.POSITIVE_INFINITY;
      // A node dies in a moment; what it does once it was started again is another's.
      const end = DEATHS.has(kind) ? t : kind === "pause" ? over + NOTICED_MS : over;
      return { kind, node, whom, begin: t - SLACK_MS, end: end + SLACK_MS, over };
    });
}

/** Faults that explain something, by whom they met: a port, `app`, or `database`; stalls of each apart. */
export function causesOf(faults) {
  const causes = new Map();
  for (const fault of faults) {
    if (fault.kind === "stall") {
      if (fault.node !== undefined) push(causes, `stall ${fault.node}`, fault);
      else
        for (const whom of fault.whom === "app" ? ["app"] : ["app", "database"]) push(causes, `stall ${whom}`, fault);
    } else if (NODE_FAULTS.has(fault.kind)) push(causes, `${fault.node}`, fault);
    else if (APP_FAULTS.has(fault.kind)) push(causes, "app", fault);
    else if (fault.end - fault.begin - 2 * SLACK_MS > LEASE_MS && fault.node === undefined)
      push(causes, "database", fault);
  }
  return new Map([...causes].map(([whom, list]) => [whom, spansOf(list)]));
}

/** The fault that met this execution between its begin and the moment `safe` at which its result was stored; a stall only where none did. */
export function causeOf(causes, { node, begin }, safe) {
  const whom = [`${node}`, "app", "database"];
  for (const name of [...whom, ...whom.map((each) => `stall ${each}`)]) {
    const [met] = causes.get(name)?.meeting(begin, safe) ?? [];
    if (met !== undefined) return met;
  }
  return undefined;
}

/** Spans of time, to be asked which of them meet another: a long run asks a million times about ten thousand. */
function spansOf(list) {
  const spans = [...list].sort((a, b) => a.begin - b.begin);
  // The latest end among this one and all before it: it only grows, so that what is over can be skipped by halves.
  const latest = [];
  for (const { end } of spans) latest.push(Math.max(latest.at(-1) ?? end, end));
  return {
    *meeting(from, to) {
      let [low, high] = [0, spans.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (latest[middle] < from) low = middle + 1;
        else high = middle;
      }
      for (let n = low; n < spans.length && spans[n].begin <= to; n++) if (spans[n].end >= from) yield spans[n];
    },
  };
}

/**
 * Job → its deliveries, in the order of their numbers: by which node, from the claim to whatever ended them, and since when
 * the statement that did (`ending`); and all changes of its state. Without the shadow table, none.
 */
export function leasesOf(shadow) {
  const labels = new Map(shadow.filter((row) => row.table === "node").map((row) => [row.id, row.label]));
  const jobs = new Map();
  for (const row of shadow) {
    if (row.table !== "job") continue;
    const known = jobs.get(row.job) ?? { leases: [], changes: [] };
    jobs.set(row.job, known);
    known.changes.push(row);
    const last = known.leases.at(-1);
    if (last !== undefined && last.to === undefined && (row.state !== "active" || row.delivery !== last.delivery)) {
      last.to = row.t;
      last.ending = row.began;
      last.end = row.state;
      last.left = row.attempt;
    }
    if (row.state === "active" && row.delivery !== last?.delivery) {
      const port = Number(labels.get(row.node)?.replace("node-", ""));
      known.leases.push({ delivery: row.delivery, attempt: row.attempt, node: port, from: row.t, to: undefined });
    }
  }
  return jobs;
}

/** `job/key` → when the step's result was stored. */
export function resultsOf(shadow) {
  const stored = new Map();
  for (const row of shadow)
    if (
      row.table === "step" &&
      row.state !== "waiting" &&
      row.before !== row.state &&
      !stored.has(`${row.job}/${row.key}`)
    )
      stored.set(`${row.job}/${row.key}`, row.t);
  return stored;
}

/** While these are on, nothing can be delivered, or nothing is to be. */
const OUTAGES = new Set([
  "backend",
  "postgres",
  "freeze",
  "silence",
  "disk full",
  "slow",
  "kill all",
  "app away",
  "pause queue",
  "stall",
]);

/** The times at which nothing is to be expected, for `calmMs`. */
export const outagesOf = (faults) =>
  spansOf(faults.filter(({ kind }) => OUTAGES.has(kind)).map((fault) => ({ begin: fault.begin, end: fault.over })));

/** How long of this time none of those was on. */
export function calmMs(outages, from, to) {
  let at = from;
  let calm = 0;
  for (const { begin, end } of outages.meeting(from, to)) {
    calm += Math.max(0, begin - at);
    at = Math.max(at, end);
  }
  return calm + Math.max(0, to - at);
}

export function push(groups, key, item) {
  if (groups.has(key)) groups.get(key).push(item);
  else groups.set(key, [item]);
}
