// The work of `npm run bench:peers`. It is the code that measures Rotor, run over each contestant: a peer answers as a
// stage does (`bench/stage.mjs`), its `rotor` doing by the peer's own API what the client of the SDK does.
import { bulk, drain, latency, single, singleBySdk } from "../jobs.mjs";
import { warmUp } from "../stage.mjs";
import { inFlight, lone, parallel, sequences, sleeps } from "../workflows.mjs";

export const sizes = {
  full: { warmMs: 12_000, runs: 2_000, lone: 50, fans: 20, sleeps: 1_000, jobs: 20_000, single: 10_000, timed: 2_000 },
  quick: { warmMs: 3_000, runs: 300, lone: 20, fans: 10, sleeps: 1_000, jobs: 5_000, single: 2_000, timed: 400 },
};

/** The function that four processes have, and what its steps answer. */
const ofFour = { app: "sequence-of-four", bytes: 1_000 };

/** `add` is told each figure by its key in `figures`. `kinds`: what this contestant can do. */
export async function measure(stage, kinds, size, add) {
  if (kinds.includes("runs")) {
    await warmUp(size.warmMs, async () => {
      await inFlight(stage, 200);
      await sequences(stage, 200);
      if (kinds.includes("four")) await inFlight(stage, 200, ofFour);
    });
    await lone(stage, 20);
    await parallel(stage, 5);
    await sleeps(stage, 300, { atOnce: false });
    add("inFlight", await inFlight(stage, size.runs));
    add("backlog", await sequences(stage, size.runs));
    if (kinds.includes("four")) add("four", await inFlight(stage, size.runs, ofFour));
    add("lone", await lone(stage, size.lone));
    add("parallel", await parallel(stage, size.fans));
    const late = await sleeps(stage, size.sleeps, { atOnce: false });
    add("sleepMedian", late.median);
    add("sleepP99", late.p99);
  }
  if (kinds.includes("jobs")) {
    // A peer has a call of its library where Rotor has a request.
    const one = stage.baseUrl === undefined ? singleBySdk : single;
    await warmUp(size.warmMs, async () => {
      await bulk(stage, "drain", 2_000);
      await drain(stage, "drain", 2_000);
      await one(stage, "idle", 500);
      await stage.empty?.("idle");
    });
    add("bulk", await bulk(stage, "drain", size.jobs));
    add("drain", await drain(stage, "drain", size.jobs));
    await stage.rotor.queues.resume("timed");
    await latency(stage, "timed", 300);
    const took = await latency(stage, "timed", size.timed);
    await stage.rotor.queues.pause("timed");
    add("startMedian", took.median);
    add("startP99", took.p99);
    add("single", await one(stage, "idle", size.single));
    await stage.empty?.("idle");
  }
}

/** What is measured, in the order of the table. `least` and `most` bound Rotor's ratio to a peer, which is called `short` (its scenario). */
export const figures = [
  {
    key: "inFlight",
    name: "S1 10 steps in sequence, 50 runs in flight",
    unit: "steps/s",
    bars: [
      { peer: "Restate", least: 4 },
      { peer: "DBOS", least: 8 },
    ],
  },
  { key: "backlog", name: "S1 the same, all runs started at once", unit: "steps/s" },
  {
    key: "four",
    name: "S1 50 runs in flight, four app processes, 1 KB results",
    short: "S1 by four processes:",
    unit: "steps/s",
    bars: [{ peer: "Restate", least: 2 }],
  },
  {
    key: "lone",
    name: "S2 one run of 10 steps alone",
    unit: "ms",
    bars: [
      { peer: "Restate", most: 0.6 },
      { peer: "DBOS", most: 0.6 },
    ],
  },
  { key: "parallel", name: "S4 100 parallel steps alone", unit: "ms", bars: [{ peer: "Restate", most: 0.6 }] },
  { key: "sleepMedian", name: "S5 1,000 sleeps of 5 s: late, median", unit: "ms" },
  { key: "sleepP99", name: "S5 late, p99", unit: "ms" },
  {
    key: "drain",
    name: "S6 drain with a signed POST a job",
    unit: "jobs/s",
    bars: [{ peer: "Graphile Worker", least: 1 }],
  },
  {
    key: "single",
    name: "S7 enqueue one by one, 50 in flight",
    unit: "jobs/s",
    bars: [
      { peer: "Graphile Worker", least: 5 },
      { peer: "pg-boss", least: 5 },
    ],
  },
  { key: "bulk", name: "S8 enqueue in batches of 1,000", unit: "jobs/s", bars: [{ peer: "pg-boss", least: 1 }] },
  { key: "startMedian", name: "S9 enqueue to start at 200/s, median", unit: "ms" },
  { key: "startP99", name: "S9 enqueue to start at 200/s, p99", unit: "ms" },
];
