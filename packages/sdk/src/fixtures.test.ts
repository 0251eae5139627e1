/** The example bodies of `docs/protocol.md`, read here as the server's tests read them. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { check } from "./check.js";
import { createFunction } from "./function.js";
import { createLane } from "./lane.js";
import type { Answer, CheckpointReply, CheckpointRequest, DeliveryRequest, Report, StepsPage } from "./protocol.js";
import { replay } from "./replay.js";
import type { Step } from "./step.js";

type Delivery = { name: string; body: DeliveryRequest; pages?: { cursor: string; body: StepsPage }[] };
type Answers = { valid: { name: string; body: Answer }[]; invalid: { name: string; body?: unknown; text?: string }[] };
type Checkpoint = { name: string; request: CheckpointRequest; reply: CheckpointReply };

const read = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), "utf8"));
const deliveries = read<Delivery[]>("deliveries");
const answers = read<Answers>("answers");
const checkpoints = read<Checkpoint[]>("checkpoints");

/** Asks for each step of the delivery, by its kind, in the order in which they are stored, and tells how each ended. */
const askAll = (request: DeliveryRequest, asked: (key: string, ended: unknown) => void) => async (step: Step) => {
  const ask = (id: string, kind: string): Promise<unknown> => {
    if (kind === "run") return step.run(id, () => "ran");
    if (kind === "sleep") return step.sleep(id, "1d");
    if (kind === "event") return step.waitForEvent(id, { event: "e", timeout: "1d" });
    if (kind === "signal") return step.waitForSignal(id, { timeout: "1d" });
    if (kind === "invoke") return step.invoke(id, { workflow: "enrich", timeout: "1d" });
    return kind === "send" ? step.sendEvent(id, []) : step.enqueue(id, "mails", { payload: 1 });
  };
  await Promise.allSettled(
    request.steps.map(({ key, kind }) =>
      ask(key.replace(/#\d+$/, ""), kind).then(
        (value) => asked(key, value),
        (error: Error) => asked(key, error.name),
      ),
    ),
  );
};

test.each(deliveries.slice(0, 4))("the delivery is replayed to what is stored: $name", async ({ body }) => {
  const ended = new Map<string, unknown>();
  const code = askAll(body, (key, value) => ended.set(key, value));
  const { handler } = createFunction({ id: body.function }, ({ step }) => code(step));
  const lane = createLane(body.checkpoint.url, { post: async () => ({ kind: "unreachable" }) });
  const answer = await replay({ request: body, steps: body.steps, handler, lane });
  for (const { key, kind, state, output, error } of body.steps) {
    if (state === "completed") expect(ended.get(key)).toEqual(kind === "sleep" ? undefined : (output ?? null));
    if (state === "failed") expect(ended.get(key)).toBe(kind === "run" ? "StepError" : error?.name);
    expect(ended.has(key)).toBe(state !== "waiting");
  }
  const due = body.steps.filter(({ kind, due_in_ms = 1 }) => kind === "run" && due_in_ms <= 0);
  if (body.steps.every(({ state }) => state !== "waiting")) expect(answer.status).toBe("completed");
  else expect(answer).toMatchObject({ status: "waiting", reports: due.map(({ key }) => ({ key, attempt: 2 })) });
});

test("the check is answered with where the code goes on", async () => {
  const { body } = deliveries.find((each) => each.body.check)!;
  const code = askAll(body, () => {});
  const { handler } = createFunction({ id: body.function }, ({ step }) => code(step));
  expect(await check({ request: body, steps: body.steps, handler })).toEqual({
    status: "checked",
    next: ["wait-open"],
  });
});

test("answers and checkpoints show every status, report kind, outcome and verdict", () => {
  const reports = answers.valid.flatMap(({ body }) => ("reports" in body ? body.reports : []));
  const kinds = new Set(reports.map((report: Report) => (report.kind === "run" ? report.outcome : report.kind)));
  const all = "completed enqueue event failed invoke retry send signal sleep".split(" ");
  expect([...kinds].sort()).toEqual(all);
  const statuses = new Set(answers.valid.map(({ body }) => body.status));
  expect([...statuses].sort()).toEqual("checked completed diverged failed stale waiting yield".split(" "));
  const verdicts = new Set(checkpoints.flatMap(({ reply }) => reply.runs.map(({ verdict }) => verdict)));
  expect([...verdicts].sort()).toEqual("cancelled go invalid retry stale yield".split(" "));
  for (const { request, reply } of checkpoints) expect(reply.runs).toHaveLength(request.runs.length);
});
