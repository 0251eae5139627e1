import type { FunctionManifest } from "@rotorsh/sdk/protocol";
import { expect, test } from "vitest";
import { z } from "zod";
import { checkStartOptions, startOptions } from "./start-options.js";

const schema = z.object(startOptions);
const batch = { size: 2, timeout_ms: 1_000 };
const check = (options: object, triggers: FunctionManifest["triggers"] = [{ event: "go" }]) =>
  checkStartOptions({ id: "f", triggers, max_attempts: 4, concurrency: 1, ...options }, new Set(["f", "f.on-failure"]));

test.each<[object, boolean]>([
  [{}, true],
  [{ keys: [{ key: "a", limit: 1 }], cancel_on: [{ event: "x", match: { a: 1 }, timeout_ms: 5 }] }, true],
  [{ keys: [1, 2, 3].map((limit) => ({ key: "a", limit })) }, false],
  [{ keys: [{ key: "", limit: 1 }] }, false],
  [{ singleton: { mode: "drop" } }, false],
  [{ rate_limit: { limit: 1, period_ms: 1 } }, false],
  [{ batch: { size: 1_001, timeout_ms: 1 } }, false],
  [{ timeout_ms: 0 }, false],
  [{ cancel_on: [{ event: "x", match: { a: [] } }] }, false],
  [{ priority: 5 }, false],
])("the shape of %j is right: %s", (options, right) => expect(schema.safeParse(options).success).toBe(right));

test.each<[object, string | undefined]>([
  [{}, undefined],
  [{ batch, singleton: { mode: "wait" }, on_failure: "f.on-failure" }, undefined],
  [{ on_failure: "other" }, "no function other"],
  [{ batch, debounce: { period_ms: 5 } }, "exclude each other"],
  [{ debounce: { period_ms: 5, max_wait_ms: 4 } }, "less than its period"],
  [{ batch, singleton: { mode: "cancel" } }, 'can only be "wait"'],
  [{ batch, idempotency_key: "data.id" }, "no idempotency_key"],
  [{ batch, priority: "1" }, "a priority does nothing"],
  [{ keys: ["a", "b"].map((key) => ({ key: `data.${key}`, limit: 1 })), singleton: { mode: "skip" } }, "at most 2"],
  [{ keys: [1, 2].map((limit) => ({ key: "data.a", limit })) }, "have one key"],
  [{ rate_limit: { limit: 1, period_ms: 1_000, key: "payload.a" } }, "rate_limit"],
  [{ debounce: { period_ms: 1, key: "((" } }, "debounce"],
  [{ cancel_on: [{ event: "x", match: "data.id == " }] }, "cancel_on"],
  [{ cancel_on: [{ event: "x", match: "data.id == trigger.data.id" }] }, undefined],
])("%j: %s", (options, message) => {
  if (message === undefined) expect(check(options)).toBeUndefined();
  else expect(check(options)).toContain(message);
});

test("only events are gathered", () => {
  expect(check({ batch }, [])).toContain("no event trigger");
  expect(check({ batch }, [{ cron: "@daily", timezone: "UTC" }])).toContain("no event trigger");
});
