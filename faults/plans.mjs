// What each kind of operation must come to: its end, its result, how often its pieces are done. Imports nothing of Rotor.

const steps = (op, ...names) => names.map((name) => `${op}/${name}`);

/** The result of a run. */
const RUNS = {
  sequence: ({ op }) => steps(op, "step-0", "step-1", "step-2", "step-3", "step-4", "step-5"),
  trek: ({ op }) => steps(op, "step-0", "step-1", "step-2"),
  march: ({ op }) => steps(op, "step-0", "step-1", "step-2", "step-3", "step-4", "step-5"),
  parallel: ({ op }) => steps(op, "a", "b", "c", "d", "join"),
  sleeper: ({ op }) => steps(op, "before", "after"),
  waiter: ({ op, word }) => [`${op}/before`, word, `${op}/after`],
  retrier: ({ op }) => steps(op, "flaky", "after"),
  parent: ({ op }) => [`${op}/before`, [`${op}.child/only`]],
  signalled: ({ op, word }) => [word, `${op}/after`],
  replayed: ({ op }) => steps(op, "only"),
  gathered: ({ op }) => steps(op, "only"),
};

/** States in which a job of this kind may end; of all others, `completed` alone. */
const ENDS = {
  doomed: ["failed"],
  deadlined: ["failed"],
  cancelled: ["cancelled", "completed"],
  aborted: ["cancelled"],
  retried: ["completed", "failed"],
};

export const endsOf = ({ kind }) => ENDS[kind] ?? ["completed"];

/** Undefined: anything goes, since what the endpoint said is cut, or no JSON. */
export function resultOf(plan) {
  if (plan.kind in RUNS) return RUNS[plan.kind](plan);
  return plan.kind === "endless" || plan.kind === "bomb" ? undefined : { op: plan.op };
}

/** How often a piece of work is done where nothing goes wrong, in each of its jobs. */
export function timesOf(plan, what) {
  if (plan.kind === "doomed") return 2;
  // Again and again, until it is cancelled.
  if (plan.kind === "aborted") return Number.POSITIVE_INFINITY;
  if (["flaky", "stubborn", "retried"].includes(plan.kind)) return plan.failures + 1;
  if (["hanging", "dripping", "torn", "flooding", "busy", "expired"].includes(plan.kind)) return 2;
  return plan.kind === "retrier" && what.endsWith("/flaky") ? 3 : 1;
}

/** Jobs that an operation may have; a replay and a second event may start another. */
export const jobsOf = ({ kind }, asked) => (kind === "replayed" ? 1 + asked : kind === "gathered" ? 2 : 1);

/** Between the end of an execution that failed and the next, in milliseconds, where nothing else goes wrong. */
export function restOf(plan, what) {
  if (plan.kind === "busy") return 2_000;
  // Half of it may be taken off, so that not all come at once.
  if (["flaky", "stubborn", "doomed"].includes(plan.kind)) return 150;
  return plan.kind === "retrier" && what.endsWith("/flaky") ? 200 : undefined;
}
