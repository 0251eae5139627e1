import { expect, test } from "vitest";
import { type BodyRun, type BodyStep, stepText, workflowBody } from "./workflow-body.js";

const run: BodyRun = {
  app: 'a"pp',
  function: "fn",
  run: "0190",
  delivery: 2,
  attempt: 1,
  maxAttempts: 4,
  event: '{"n":9007199254740993}',
  checkpoint: { url: "http://x/", token: "t" },
};
const finished = (seq: number, output = "1"): BodyStep => ({
  key: `step:${seq}`,
  kind: "run",
  state: "completed",
  attempt: 1,
  seq: `${seq}`,
  dueInMs: null,
  output,
  error: null,
});
const open = (key: string): BodyStep => ({
  key,
  kind: "event",
  state: "waiting",
  attempt: 1,
  seq: null,
  dueInMs: 10.2,
  output: null,
  error: null,
});

type Body = { steps: { key: string; seq?: number }[]; more: string | null };
const body = (steps: readonly BodyStep[], bytes: number): Body =>
  JSON.parse(workflowBody(run, { steps, more: null }, bytes));

test("a run without steps", () => {
  expect(workflowBody(run, { steps: [], more: null }, 1_000_000)).toBe(
    '{"version":1,"app":"a\\"pp","function":"fn","run":"0190","delivery":2,"attempt":1,"max_attempts":4,"event":{"n":9007199254740993},' +
      '"steps":[],"more":null,"checkpoint":{"url":"http://x/","token":"t"}}',
  );
});

test.each<[string, BodyStep, string]>([
  [
    "finished",
    finished(7, '{"a": 1}'),
    '{"key":"step:7","kind":"run","state":"completed","attempt":1,"seq":7,"output":{"a": 1}}',
  ],
  [
    "finished with nothing",
    { ...finished(7), output: null },
    '{"key":"step:7","kind":"run","state":"completed","attempt":1,"seq":7,"output":null}',
  ],
  [
    "failed",
    { ...finished(7), state: "failed", output: null, error: '{"name":"E"}' },
    '{"key":"step:7","kind":"run","state":"failed","attempt":1,"seq":7,"error":{"name":"E"}}',
  ],
  ["waiting", open("w"), '{"key":"w","kind":"event","state":"waiting","attempt":1,"due_in_ms":11}'],
  [
    "waiting after a failure",
    { ...open('"'), kind: "run", error: '{"name":"E"}' },
    '{"key":"\\"","kind":"run","state":"waiting","attempt":1,"due_in_ms":11}',
  ],
])("a step that is %s", (_, step, expected) => {
  expect(stepText(step)).toBe(expected);
});

test("all steps are there where there is room, in their order, the unfinished last", () => {
  const { steps, more } = body([finished(1), finished(2), open("w")], 1_000_000);
  expect(steps.map((step) => step.key)).toEqual(["step:1", "step:2", "w"]);
  expect(more).toBeNull();
});

test("where there is none, the newest are there, and a cursor that begins after the last that is not", () => {
  const all = [
    ...Array.from({ length: 100 }, (_, index) => finished(index + 1, JSON.stringify("x".repeat(1_000)))),
    open("w"),
  ];
  const { steps, more } = body(all, 21_000);
  expect(steps.at(-1)?.key).toBe("w");
  expect(steps[0]?.seq).toBe(Number(more));
  expect(steps.length).toBeGreaterThan(10);
  expect(workflowBody(run, { steps: all, more: null }, 21_000).length).toBeLessThan(21_000);
  // The pages before it, `seq < more`, and these: each step once.
  const before = all.filter((step) => step.seq !== null && Number(step.seq) < Number(more));
  expect(before.length + steps.length).toBe(all.length);
});

test("what does not fit is measured in bytes, not in characters", () => {
  const all = Array.from({ length: 100 }, (_, index) => finished(index + 1, JSON.stringify("\u6f22".repeat(1_000))));
  expect(Buffer.byteLength(workflowBody(run, { steps: all, more: null }, 21_000))).toBeLessThan(21_000);
});

test("an unfinished step is there whatever its size, a finished one only where there is room", () => {
  expect(body([finished(1), open("a"), open("b")], 0).steps.map((step) => step.key)).toEqual(["a", "b"]);
  expect(body([finished(1), finished(2, JSON.stringify("x".repeat(5_000)))], 2_000)).toMatchObject({
    steps: [],
    more: "3",
  });
});

test("steps that were not even read are behind the same cursor", () => {
  const history = { steps: [finished(5), open("w")], more: "4" };
  expect(JSON.parse(workflowBody(run, history, 1_000_000))).toMatchObject({
    more: "4",
    steps: [{ seq: 5 }, { key: "w" }],
  });
  expect(JSON.parse(workflowBody(run, history, 0))).toMatchObject({ more: "6", steps: [{ key: "w" }] });
});

test("a check says so", () => {
  const text = workflowBody({ ...run, check: true }, { steps: [], more: null }, 1_000_000);
  expect(JSON.parse(text)).toMatchObject({ check: true, steps: [] });
});
