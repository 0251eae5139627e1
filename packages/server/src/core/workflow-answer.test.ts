/** The server reads what the SDK's fixtures say an app may send, and refuses what it may not. */
import { readFileSync } from "node:fs";
import type { CheckpointRequest, DeliveryRequest, WireStep } from "@rotorsh/sdk/protocol";
import { describe, expect, test } from "vitest";
import { parseAnswer, parseCheckpoint } from "./workflow-answer.js";
import { type BodyStep, workflowBody } from "./workflow-body.js";

type Named<T> = { readonly name: string } & T;
const fixture = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../../../sdk/fixtures/${name}.json`, import.meta.url), "utf8")) as T;

const answers = fixture<{
  valid: Named<{ body: unknown }>[];
  invalid: Named<{ body?: unknown; text?: string }>[];
}>("answers");

describe("answers", () => {
  test.each(answers.valid)("$name is read as it is", ({ body }) => {
    expect(parseAnswer(JSON.stringify(body))).toEqual({ ok: true, value: body });
  });

  test.each(answers.invalid)("$name is refused with a reason", ({ body, text }) => {
    const parsed = parseAnswer(text ?? JSON.stringify(body));
    expect(parsed).toMatchObject({ ok: false, message: expect.stringMatching(/./) });
  });
});

test.each(fixture<Named<{ request: CheckpointRequest }>[]>("checkpoints"))(
  "the checkpoint $name is read as it is",
  ({ request }) => {
    expect(parseCheckpoint(request)).toEqual({ ok: true, value: request });
  },
);

const stored = (step: WireStep): BodyStep => ({
  key: step.key,
  kind: step.kind,
  state: step.state,
  attempt: step.attempt,
  seq: step.seq === undefined ? null : String(step.seq),
  dueInMs: step.due_in_ms ?? null,
  output: step.state === "completed" ? JSON.stringify(step.output ?? null) : null,
  error: step.error === undefined ? null : JSON.stringify(step.error),
});

test.each(fixture<Named<{ body: DeliveryRequest }>[]>("deliveries").filter(({ body }) => body.more === null))(
  "the delivery $name is what the server builds of its rows",
  ({ body }) => {
    const { function: name, max_attempts: maxAttempts, event, app, run, delivery, attempt, checkpoint, check } = body;
    const text = workflowBody(
      {
        app,
        function: name,
        run,
        delivery,
        attempt,
        maxAttempts,
        event: JSON.stringify(event),
        checkpoint,
        ...(check && { check }),
      },
      { steps: body.steps.map(stored), more: null },
      1_000_000,
    );
    const built = JSON.parse(text) as DeliveryRequest;
    const withOutputs = body.steps.map((step) =>
      step.state === "completed" ? { ...step, output: step.output ?? null } : step,
    );
    expect(built).toEqual({ ...body, steps: withOutputs });
  },
);
