import { expect, expectTypeOf, test } from "vitest";
import { defineEvent } from "./events.js";
import { createFunction, type FunctionContext, manifestOf, type RotorFunction } from "./function.js";
import { withFailures } from "./function-failure.js";
import type { FunctionOptions } from "./function-options.js";
import type { Step } from "./step.js";

const trigger = { event: "go" };
const manifest = (options: FunctionOptions, given: object = { trigger }) =>
  manifestOf(createFunction({ id: "f", ...given, ...options }, () => 1) as RotorFunction);
const options = (given: FunctionOptions) => {
  const { id: _, triggers: __, max_attempts: ___, ...rest } = manifest(given);
  return rest;
};
const refusal = (given: object, more: object = { trigger }) => {
  try {
    manifest(given as FunctionOptions, more);
  } catch (error) {
    return (error as Error).message;
  }
  return undefined;
};

test("every option has its place in the manifest", () => {
  expect(
    options({
      concurrency: [{ limit: 10 }, { limit: 1, key: "data.account" }],
      singleton: { key: "data.user", mode: "wait" },
      rateLimit: { limit: 5, period: "1m", key: "data.account" },
      priority: "data.urgent ? 50 : 0",
      idempotencyKey: "data.order",
      timeout: "2h",
      cancelOn: [
        { event: defineEvent("order.cancelled"), match: { id: 7 }, timeout: "1d" },
        { event: "stop", match: "data.id == trigger.data.id" },
      ],
    }),
  ).toEqual({
    concurrency: 10,
    keys: [{ key: "data.account", limit: 1 }],
    singleton: { key: "data.user", mode: "wait" },
    rate_limit: { limit: 5, period_ms: 60_000, key: "data.account" },
    priority: "data.urgent ? 50 : 0",
    idempotency_key: "data.order",
    timeout_ms: 7_200_000,
    cancel_on: [
      { event: "order.cancelled", match: { id: 7 }, timeout_ms: 86_400_000 },
      { event: "stop", match: "data.id == trigger.data.id" },
    ],
  });
  expect(options({ debounce: { period: "5s", key: "data.id", maxWait: "1m" } })).toEqual({
    concurrency: 100,
    debounce: { period_ms: 5_000, key: "data.id", max_wait_ms: 60_000 },
  });
  expect(options({ batch: { size: 50, timeout: "10s" }, maxSteps: 10_000 })).toEqual({
    concurrency: 100,
    batch: { size: 50, timeout_ms: 10_000 },
  });
  expect(options({})).toEqual({ concurrency: 100 });
});

test("concurrency takes one limit for all and two for keys, of which a singleton is one", () => {
  expect(options({ concurrency: 7 })).toEqual({ concurrency: 7 });
  const keys = [
    { limit: 1, key: "data.a" },
    { limit: 2, key: "data.b" },
  ];
  expect(options({ concurrency: keys })).toEqual({
    concurrency: 100,
    keys: [
      { key: "data.a", limit: 1 },
      { key: "data.b", limit: 2 },
    ],
  });
  expect(refusal({ concurrency: [...keys, { limit: 1, key: "data.c" }] })).toContain("at most 2 keys");
  expect(refusal({ concurrency: keys, singleton: { mode: "wait" } })).toContain("a singleton's counted in");
});

test.each<[string, object]>([
  ["concurrency is a whole number from 1 to 100000", { concurrency: 1.5 }],
  ['concurrency is a number, or a list such as [{ limit: 1, key: "data.account" }]', { concurrency: [] }],
  ["concurrency has two limits without a key", { concurrency: [{ limit: 1 }, { limit: 2 }] }],
  ["concurrency has two limits for one key", { concurrency: ["a", "a"].map((key) => ({ limit: 1, key })) }],
  ['concurrency[0] has no "keys"', { concurrency: [{ limit: 1, keys: "a" }] }],
  ["concurrency[0].limit is a whole number", { concurrency: [{ key: "a" }] }],
  ["concurrency[0].key is an expression", { concurrency: [{ limit: 1, key: "" }] }],
  ['singleton.mode is "wait", "skip" or "cancel"', { singleton: { mode: "drop" } }],
  ["singleton is an object such as", { singleton: "skip" }],
  ["rateLimit.limit is a whole number", { rateLimit: { limit: 0, period: "1m" } }],
  ['rateLimit.period is at least "100ms"', { rateLimit: { limit: 1, period: "1ms" } }],
  ["is too long, at most 31d", { rateLimit: { limit: 1, period: "40d" } }],
  ["a bare number has no unit", { rateLimit: { limit: 1, period: 60 } }],
  ["debounce.maxWait is not less than its period", { debounce: { period: "5s", maxWait: "1s" } }],
  ["give debounce or batch, not both", { debounce: { period: "5s" }, batch: { size: 2, timeout: "1s" } }],
  ["batch.size is a whole number from 1 to 1000", { batch: { size: 0, timeout: "1s" } }],
  ["batch.timeout: got undefined", { batch: { size: 3 } }],
  ['with batch, singleton.mode is "wait"', { batch: { size: 3, timeout: "1s" }, singleton: { mode: "skip" } }],
  ["idempotencyKey is of one event", { batch: { size: 3, timeout: "1s" }, idempotencyKey: "data.id" }],
  ["priority is for runs that are due at once", { debounce: { period: "1s" }, priority: "1" }],
  ["priority is an expression", { priority: 5 }],
  ["idempotencyKey has more than 2000 characters", { idempotencyKey: "a".repeat(2_001) }],
  ["timeout: got", { timeout: "soon" }],
  ['timeout is at least "1ms"', { timeout: "0s" }],
  ["cancelOn is a list of up to 10", { cancelOn: { event: "stop" } }],
  ["cancelOn[0].event is an event's name", { cancelOn: [{ match: "true" }] }],
  ["cancelOn[0].match is an expression, or an object", { cancelOn: [{ event: "stop", match: { a: {} } }] }],
  ["maxSteps is a whole number from 1 to 10000", { maxSteps: 10_001 }],
  ["onFailure is the code", { onFailure: "handler" }],
])("refused: %s", (message, given) => {
  expect(refusal(given)).toContain('Function "f"');
  expect(refusal(given)).toContain(message);
});

test("events are gathered only for a function that events start", () => {
  expect(refusal({ batch: { size: 3, timeout: "1s" } }, {})).toContain("batch gathers events");
  expect(refusal({ debounce: { period: "1s" } }, { trigger: { cron: "@daily", timezone: "UTC" } })).toContain(
    "debounce gathers events",
  );
});

test("a function with onFailure brings a second one, which is given the failed run", async () => {
  const seen: unknown[] = [];
  const added = defineEvent<{ id: string }>("added");
  const one = createFunction(
    {
      id: "f",
      trigger: { event: added },
      onFailure: ({ error, event, runId, failedStep, ownRunId, step }) => {
        expectTypeOf(event.data).toEqualTypeOf<{ id: string }>();
        expectTypeOf(step).toEqualTypeOf<Step>();
        seen.push([error.name, error.message, event.data.id, runId, failedStep, ownRunId]);
      },
    },
    ({ events }) => {
      expectTypeOf(events[0]!.data).toEqualTypeOf<{ id: string }>();
    },
  );
  expect(manifestOf(one).on_failure).toBe("f.on-failure");
  const [, handler] = withFailures([one]);
  expect(manifestOf(handler!)).toEqual({ id: "f.on-failure", triggers: [], max_attempts: 4, concurrency: 100 });
  const data = {
    error: { name: "TypeError", message: "no" },
    event: { id: "e", name: "added", data: { id: "a" }, ts: 1 },
    run_id: "run 1",
    function: "f",
    failed_step: "charge",
  };
  const event = { id: "x", name: "rotor/run.failed", data, ts: 2 };
  await handler!.handler({ event, events: [event], runId: "run 2" } as unknown as FunctionContext<never>);
  expect(seen).toEqual([["TypeError", "no", "a", "run 1", "charge", "run 2"]]);
  expect(refusal({ onFailure: () => {} }, { id: "f".repeat(118) })).toContain("up to 117 characters");
});
