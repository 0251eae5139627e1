// Hand-written logs: what the judge must say of each. A judge that finds nothing where there is something judges nothing.
import { expect, test } from "vitest";
import { judge } from "./checker.mjs";

const T = 1_000_000;
const JOB = "job-1";

/** A job `op` of the queue `plain` that was enqueued, answered, delivered by the node 1 and completed; a test breaks it. */
function calm(more = {}) {
  const plan = { t: T, phase: "plan", op: "op", kind: "ok", queue: "plain", ms: 10, waitMs: 0, hash: "h", ...more };
  return {
    client: [
      plan,
      { t: T, phase: "before", op: "op", what: "enqueue", tries: 0 },
      { t: T + 20, phase: "ok", op: "op", what: "enqueue", id: JOB },
    ],
    endpoint: done(1, T + 50),
    nemesis: [],
    shadow: [
      { table: "node", id: "n1", label: "node-1" },
      { table: "node", id: "n2", label: "node-2" },
      change(T + 20, null, "waiting", 0, null),
      change(T + 40, "waiting", "active", 1, "n1"),
      change(T + 80, "active", "completed", 1, null),
    ],
    rows: [{ id: JOB, op: "op", state: "completed", output: '{"op":"op"}' }],
  };
}
const change = (t, before, state, delivery, node) => ({
  table: "job",
  t,
  began: t - 1,
  job: JOB,
  before,
  state,
  delivery,
  attempt: 1,
  node,
});
let made = 0;
const done = (node, t, ms = 20, hash = "h") => {
  const id = ++made;
  return [
    { t, phase: "begin", id, what: "op", node, job: JOB, hash },
    { t: t + ms, phase: "end", id, what: "op" },
  ];
};
const verdictsOf = (logs) => judge(logs).problems.map((each) => each.verdict);
const fault = (kind, begin, end, node) => [
  { t: begin, phase: "begin", id: `${kind} ${begin}`, kind, node },
  { t: end, phase: "end", id: `${kind} ${begin}`, kind, node },
];

test("a day on which nothing went wrong has no problem", () => {
  expect(judge(calm()).problems).toEqual([]);
});

test("lost: it was answered and is not there", () => {
  expect(verdictsOf({ ...calm(), rows: [] })).toContain("lost");
});

test("not lost: it was never answered, and is not there", () => {
  const logs = calm();
  expect(verdictsOf({ client: logs.client.slice(0, 2), endpoint: [], rows: [] })).toEqual([]);
});

test("lost: one job of a batch that was answered", () => {
  const client = [
    { t: T, phase: "plan", op: "op", kind: "batch", queue: "plain", size: 2 },
    { t: T + 20, phase: "ok", op: "op", what: "enqueue" },
  ];
  const rows = [{ id: JOB, op: "op.0", state: "completed", output: '{"op":"op.0"}' }];
  expect(verdictsOf({ client, endpoint: [], rows })).toEqual(["lost"]);
});

test.each([
  ["a job that nobody sent", (logs) => logs.rows.push({ id: "other", op: "stranger", state: "completed" })],
  ["a second job of one id", (logs) => logs.rows.push({ ...logs.rows[0], id: "other" })],
  ["a request without a signature", (logs) => logs.endpoint.push({ phase: "forged", what: "op" })],
  ["work that nobody sent", (logs) => logs.endpoint.push({ t: T, phase: "begin", id: "x", what: "stranger", node: 1 })],
])("ghost: %s", (_, change) => {
  const logs = calm();
  change(logs);
  expect(verdictsOf(logs)).toContain("ghost");
});

test("doubled without a cause: done twice, and no fault met the first", () => {
  const logs = calm();
  logs.endpoint.push(...done(1, T + 60));
  expect(verdictsOf(logs)).toEqual(["doubled"]);
});

test.each([
  ["its node was killed meanwhile", fault("kill", T + 60, T + 900, 1), 0],
  ["its node stood still meanwhile", fault("pause", T + 60, T + 7_000, 1), 0],
  ["its node crashed at a failpoint", fault("crash", T + 60, T + 900, 1), 0],
  ["its answer was lost", fault("lost answers", T + 60, T + 360), 0],
  ["the database was away for longer than a lease", fault("silence", T + 60, T + 8_000), 0],
  ["its node was not run by the machine", fault("stall", T + 60, T + 3_000, 1), 0],
  ["another node was killed", fault("kill", T + 60, T + 900, 2), 1],
  ["its node was killed long before", fault("kill", T - 5_000, T - 4_000, 1), 1],
  ["its node was killed when all was stored", fault("kill", T + 2_000, T + 3_000, 1), 1],
  ["its node was restarted gently", fault("restart", T + 60, T + 900, 1), 1],
  ["its node stood still for less than a lease", fault("hiccup", T + 60, T + 900, 1), 1],
  ["a backend was killed", fault("backend", T + 60, T + 500), 1],
  ["a commit's reply was lost", fault("lost replies", T + 60, T + 900), 1],
])("doubled, where %s", (_, nemesis, unexplained) => {
  const logs = calm();
  const shadow = [
    ...logs.shadow.slice(0, 4),
    change(T + 1_000, "active", "waiting", 1, null),
    change(T + 1_010, "waiting", "active", 2, "n2"),
    change(T + 1_050, "active", "completed", 2, null),
  ];
  const { problems, figures } = judge({
    ...logs,
    nemesis,
    shadow,
    endpoint: [...logs.endpoint, ...done(2, T + 1_020)],
  });
  expect(problems.filter((each) => each.verdict === "doubled")).toHaveLength(unexplained);
  expect(Object.values(figures.doubledWithCause).reduce((sum, each) => sum + each)).toBe(1 - unexplained);
});

test("doubled without a cause: one fault explains one execution more, not two", () => {
  const logs = calm();
  logs.nemesis = fault("kill", T + 60, T + 900, 1);
  logs.endpoint.push(...done(2, T + 1_020), ...done(2, T + 2_020));
  expect(verdictsOf(logs)).toContain("doubled");
});

test.each([
  ["before it was due", { kind: "delayed", waitMs: 1_000 }, [], true],
  ["when it was due", { kind: "delayed", waitMs: 30 }, [], false],
  ["before the pause that it had asked for", { kind: "busy" }, done(1, T + 1_500), true],
  ["after that pause", { kind: "busy" }, done(1, T + 2_100), false],
  ["before its back-off was over", { kind: "flaky", failures: 1 }, done(1, T + 120), true],
  ["after its back-off", { kind: "flaky", failures: 1 }, done(1, T + 400), false],
])("early: %s", (_, plan, again, isEarly) => {
  const logs = calm(plan);
  logs.endpoint.push(...again);
  expect(verdictsOf(logs).includes("early")).toBe(isEarly);
});

/** Asked for two seconds, and tried again so long after the database had written down, in `tookMs`, that the attempt was over. */
const triedAgain = (ms, tookMs = 1) => {
  const logs = calm({ kind: "busy" });
  const [again, first] = [T + 80 + ms, logs.shadow.slice(0, 4)];
  logs.shadow = [
    ...first,
    { ...change(T + 80, "active", "waiting", 1, null), began: T + 80 - tookMs },
    { ...change(again, "waiting", "active", 2, "n2"), attempt: 2 },
    { ...change(again + 40, "active", "completed", 2, null), attempt: 2 },
  ];
  logs.endpoint.push(...done(2, again + 10));
  return logs;
};

test.each([
  [1_980, 1, true],
  [1_999, 1, false],
  // A due time is reckoned from when a statement began; this one stood still before it came to the row.
  [1_200, 800, false],
  [1_100, 800, true],
])("early: by the database's times, %d ms after a statement of %d", (ms, tookMs, isEarly) => {
  expect(verdictsOf(triedAgain(ms, tookMs)).includes("early")).toBe(isEarly);
});

test("early: a stall excuses nothing, and hides no fault that does", () => {
  const logs = triedAgain(300);
  const stall = fault("stall", T + 45, T + 60, 1);
  logs.nemesis = stall;
  expect(verdictsOf(logs)).toContain("early");
  logs.nemesis = [...stall, ...fault("cut app", T + 55, T + 65)];
  expect(verdictsOf(logs)).not.toContain("early");
});

test("late: begun half a minute after it was due, unless nothing could be delivered meanwhile", () => {
  const logs = { ...calm(), endpoint: done(1, T + 30_000), shadow: [] };
  expect(verdictsOf(logs)).toEqual(["late"]);
  expect(verdictsOf({ ...logs, nemesis: fault("silence", T + 1_000, T + 16_000) })).toEqual([]);
});

test("late: a dead node's work begins again after more than fifteen seconds", () => {
  const logs = calm();
  logs.endpoint = [...done(1, T + 50, 5_000), ...done(2, T + 17_000)];
  logs.nemesis = fault("kill", T + 100, T + 900, 1);
  logs.shadow = [];
  expect(verdictsOf(logs)).toEqual(["late"]);
  logs.endpoint = [...done(1, T + 50, 5_000), ...done(2, T + 7_000)];
  const { problems, figures } = judge(logs);
  expect(problems).toEqual([]);
  expect(figures).toMatchObject({ recovered: 1, recoveryMaxMs: 7_000 - 50 });
});

test.each([
  ["given back when its node had died", T + 6_000, 0, ["late"]],
  ["failed by itself, its attempt used: what follows is its back-off", T + 300, 1, []],
])("late: work that was %s", (_, ended, left, verdicts) => {
  const logs = calm();
  logs.endpoint = [...done(1, T + 50, 5_000), ...done(2, T + 20_000)];
  logs.nemesis = fault("kill", T + 100, T + 900, 1);
  logs.shadow.splice(
    -1,
    1,
    { ...change(ended, "active", "waiting", 1, null), attempt: left },
    { ...change(T + 19_990, "waiting", "active", 2, "n2"), attempt: left + 1 },
    { ...change(T + 20_100, "active", "completed", 2, null), attempt: left + 1 },
  );
  expect(verdictsOf(logs)).toEqual(verdicts);
});

test("overlap: a commit above a limit, or a gap in the numbers of deliveries", () => {
  const logs = calm();
  logs.shadow.push({ table: "over", t: T, what: "queue", name: "1", now: 3, most: 2 });
  expect(verdictsOf(logs)).toEqual(["overlap"]);
  const gap = calm();
  gap.shadow = gap.shadow.map((row) => (row.delivery === 1 ? { ...row, delivery: 2 } : row));
  expect(verdictsOf(gap)).toEqual(["overlap"]);
});

test("stuck: it has not ended, or an invariant is broken", () => {
  const logs = calm();
  logs.rows[0].state = "waiting";
  expect(verdictsOf(logs)).toContain("stuck");
  expect(verdictsOf({ ...calm(), violations: [{ number: 2, name: "late" }] })).toEqual(["stuck"]);
});

test.each([
  ["it failed", (logs) => Object.assign(logs.rows[0], { state: "failed" })],
  ["its result is another's", (logs) => Object.assign(logs.rows[0], { output: '{"op":"other"}' })],
  ["its id is another's", (logs) => Object.assign(logs.rows[0], { id: "other" })],
  ["its body is another", (logs) => Object.assign(logs.endpoint[0], { hash: "other" })],
  ["it was refused", (logs) => logs.client.push({ t: T, phase: "refused", op: "op", what: "enqueue", status: 400 })],
  ["a result that was stored has changed", (logs) => logs.shadow.push({ table: "step", isChanged: true })],
  ["it was cancelled after its end", (logs) => logs.shadow.push(change(T + 99, "completed", "cancelled", 1, null))],
  [
    "a late answer completed another's delivery",
    (logs) => logs.shadow.splice(3, 1, change(T + 40, "waiting", "active", 1, "n2")),
  ],
])("wrong: %s", (_, change) => {
  const logs = calm();
  change(logs);
  expect(verdictsOf(logs)).toContain("wrong");
});

test("wrong: a cancel was answered, and it was delivered all the same", () => {
  const logs = calm({ kind: "cancelled" });
  logs.client.push({ t: T + 100, phase: "ok", op: "op", what: "cancel" });
  expect(verdictsOf(logs)).toContain("wrong");
  const later = {
    ...logs,
    endpoint: done(1, T + 9_000),
    rows: [{ ...logs.rows[0], state: "cancelled", output: null }],
  };
  expect(verdictsOf({ ...later, shadow: [] })).toEqual(["wrong"]);
});

test("not wrong: an end that was refused, since its first answer was lost", () => {
  const logs = calm({ kind: "approved" });
  logs.client.push({ t: T + 30, phase: "before", op: "op", what: "approve", tries: 0 });
  logs.client.push({ t: T + 60, phase: "refused", op: "op", what: "approve", status: 409, isUnknown: true });
  expect(verdictsOf(logs)).toEqual([]);
});

test("early: begun before anybody approved", () => {
  const logs = calm({ kind: "approved" });
  logs.client.push({ t: T + 60, phase: "before", op: "op", what: "approve", tries: 0 });
  expect(verdictsOf(logs)).toEqual(["early"]);
});

test("leaked: what is held at the end", () => {
  expect(verdictsOf({ ...calm(), leaks: [{ what: "connections", n: 99 }] })).toEqual(["leaked"]);
});

/** A run that node 1 held until `over`, and node 2 since; node 1 has executed its step, and the result was stored. */
const stepped = ({ over, executed, stored }) => ({
  ...calm({ kind: "sequence", queue: undefined, hash: undefined }),
  endpoint: [
    { t: executed - 20, phase: "begin", id: "step", what: "op/step-1", node: 1, run: JOB },
    { t: executed, phase: "end", id: "step", what: "op/step-1" },
  ],
  shadow: [
    { table: "node", id: "n1", label: "node-1" },
    { table: "node", id: "n2", label: "node-2" },
    change(T + 20, null, "waiting", 0, null),
    change(T + 40, "waiting", "active", 1, "n1"),
    change(over, "active", "waiting", 1, null),
    change(over + 10, "waiting", "active", 2, "n2"),
    { table: "step", t: stored, job: JOB, key: "step-1", before: null, state: "completed" },
    change(T + 90_000, "active", "completed", 2, null),
  ],
});
const stepsOf = (logs) =>
  judge(logs).problems.filter(({ problem }) => problem === "stored by a delivery that was over");

test("wrong: a step's result was stored when another delivery held the run", () => {
  expect(stepsOf(stepped({ over: T + 9_000, executed: T + 100, stored: T + 150 }))).toEqual([]);
  expect(stepsOf(stepped({ over: T + 9_000, executed: T + 100, stored: T + 12_000 }))).toHaveLength(1);
});

test("a delivery that was over and is sent by whoever wakes up has a cause; one that is sent without a pause has none", () => {
  const again = (nemesis) => {
    const logs = calm();
    return {
      ...logs,
      nemesis,
      endpoint: [...done(2, T + 7_000), ...done(1, T + 9_000)],
      shadow: [
        ...logs.shadow.slice(0, 4),
        change(T + 6_000, "active", "waiting", 1, null),
        change(T + 6_990, "waiting", "active", 2, "n2"),
        change(T + 7_030, "active", "completed", 2, null),
      ],
    };
  };
  expect(judge(again(fault("pause", T + 45, T + 8_900, 1))).figures.doubledWithCause.node).toBe(1);
  expect(verdictsOf(again(fault("pause", T + 45, T + 8_900, 1)))).not.toContain("doubled");
  expect(verdictsOf(again([]))).toContain("doubled");
});
