import { expect, test, vi } from "vitest";
import { check } from "./check.js";
import { createFunction } from "./function.js";
import type { DeliveryRequest, WireStep } from "./protocol.js";
import type { Step } from "./step.js";

const finished = (key: string, seq: number, more: Partial<WireStep> = {}): WireStep => ({
  key,
  kind: "run",
  state: "completed",
  seq,
  attempt: 1,
  output: key,
  ...more,
});
const open = (key: string, more: Partial<WireStep> = {}): WireStep => ({
  key,
  kind: "event",
  state: "waiting",
  attempt: 1,
  due_in_ms: 1_000,
  ...more,
});

const request: DeliveryRequest = {
  version: 1,
  app: "default",
  function: "f",
  run: "r",
  delivery: 0,
  attempt: 1,
  max_attempts: 4,
  event: { id: "e", name: "n", data: 1, ts: 0 },
  check: true,
  steps: [],
  more: null,
  checkpoint: { url: "http://nobody.test/", token: "t" },
};

/** What a check of this code says; fails where any step's code is run. */
const checked = (steps: readonly WireStep[], code: (step: Step) => Promise<unknown>, graceMs = 20) => {
  const { handler } = createFunction({ id: "f" }, ({ step }) => code(step));
  return check({ request, steps, handler, graceMs });
};
const never = () => {
  throw new Error("a step was run");
};
const waits = (step: Step, id: string) => step.waitForEvent(id, { event: "e", timeout: "1d" });

test("code that fits goes on with the steps that it has not got, and none of them is run", async () => {
  const steps = [finished("a", 1), open("w")];
  const both = checked(steps, async (step) => {
    await step.run("a", never);
    await Promise.all([waits(step, "w"), step.run("new", never)]);
  });
  expect(await both).toEqual({ status: "checked", next: ["w", "new"] });
});

test("what the code gets comes in the order in which it came", async () => {
  const order: string[] = [];
  const steps = [finished("a", 2), finished("b", 1), finished("c#2", 4), finished("c", 3)];
  const result = checked(steps, async (step) => {
    const all = ["a", "b", "c", "c"].map((id) => step.run(id, never).then((got) => order.push(String(got))));
    return [await Promise.race(all), await Promise.all(all)].length;
  });
  expect(await result).toEqual({ status: "completed", output: 2 });
  expect(order).toEqual(["b", "a", "c", "c#2"]);
});

test("another kind under a stored key, and a wait that is not reached, diverge", async () => {
  expect(await checked([open("w")], (step) => step.sleep("w", "1h"))).toEqual({
    status: "diverged",
    step: "w",
    recorded: "event",
    asked: "sleep",
  });
  const unreached = { status: "diverged", step: "w", recorded: "event", asked: null };
  expect(await checked([open("w")], async () => "ended")).toEqual(unreached);
  expect(await checked([open("w")], (step) => waits(step, "other"))).toEqual(unreached);
});

test("a wait behind a step that would be run, or sent, may be reached yet", async () => {
  const run = checked([open("w")], (step) => step.run("new", never).then(() => waits(step, "w")));
  expect(await run).toEqual({ status: "checked", next: ["new"] });
  const sent = checked([open("w")], (step) =>
    step.sendEvent("new", { name: "n", data: 1 }).then(() => waits(step, "w")),
  );
  expect(await sent).toEqual({ status: "checked", next: ["new"] });
});

test("an error that a stored step threw is thrown again, and can be caught", async () => {
  const steps = [finished("a", 1, { state: "failed", output: undefined, error: { name: "TypeError", message: "no" } })];
  const caught = checked(steps, (step) => step.run("a", never).catch((error: Error) => error.name));
  expect(await caught).toEqual({ status: "completed", output: "StepError" });
  expect(await checked(steps, (step) => step.run("a", never))).toMatchObject({ status: "failed", retriable: false });
});

test("code that is busy between its steps is waited for; code that never comes back is not", async () => {
  const steps = [finished("a", 1), open("w")];
  const busy = (ms: number) => async (step: Step) => {
    await step.run("a", never);
    await new Promise((resolve) => setTimeout(resolve, ms));
    await waits(step, "w");
  };
  expect(await checked(steps, busy(10), 1_000)).toEqual({ status: "checked", next: ["w"] });
  const hangs = checked([finished("a", 1)], async (step) => {
    await step.run("a", never);
    await new Promise(() => {});
  });
  expect(await hangs).toMatchObject({ status: "failed", error: { name: "CheckTimeoutError" } });
});

test("the code is silent, and learns when the check is over", async () => {
  const log = vi.spyOn(console, "info").mockImplementation(() => {});
  let signal: AbortSignal | undefined;
  const { handler } = createFunction({ id: "f" }, async ({ step, logger, signal: given }) => {
    signal = given;
    logger.info("begun");
    await waits(step, "w");
  });
  await check({ request, steps: [], handler });
  expect([log.mock.calls.length, signal!.aborted]).toEqual([0, true]);
});
