/**
 * The control flow of JavaScript around steps, each with the death of the app in the middle: what was done stays done,
 * only the step that was in hand runs again, and the function comes to what it would have come to.
 */
import { createFunction, NonRetriableError, type RunOptions } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { currentDelivery, faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

type Step = Parameters<Parameters<typeof createFunction>[1]>[0]["step"];
/** Runs a step that is noted under its name. */
type Do = <T>(name: string, work?: () => T | Promise<T>, options?: RunOptions & { id?: string }) => Promise<T | string>;

let made = 0;

/** Plays a function whose app dies, once, in the middle of the step of this name; answers what it came to and its notes. */
async function play(dies: string, body: (step: Step, run: Do) => Promise<unknown>) {
  const id = `flow-${++made}`;
  const ran: string[] = [];
  let crashed = false;
  const fn = createFunction({ id }, ({ step }) =>
    body(step, (name, work, { id: stepId = name, ...options } = {}) => {
      const code = async () => {
        ran.push(name);
        if (name === dies && !crashed) {
          crashed = true;
          currentDelivery()!.crash();
        }
        return work ? await work() : name;
      };
      return step.run(stepId, code, { backoff: ["5ms"], ...options }) as never;
    }),
  );
  const { deliveries } = await faultyApp(server, id, [fn]);
  const { runId } = await server.rotor.runs.start(id, {});
  const output = await server.rotor.runs.result(runId, { timeout: "20s" });
  expect(crashed).toBe(true);
  expect(deliveries.length).toBeGreaterThan(1);
  const { steps = [] } = await server.rotor.runs.get(runId);
  return { output, steps, times: (name: string) => ran.filter((one) => one === name).length };
}

const never = () => new Promise<string>(() => {});

test("Promise.all: the branches that were done are not done again", async () => {
  const { output, times } = await play("join", async (_, run) => {
    const parts = await Promise.all([run("a"), run("b"), run("c")]);
    return [...parts, await run("join")];
  });
  expect(output).toEqual(["a", "b", "c", "join"]);
  expect([times("a"), times("b"), times("c"), times("join")]).toEqual([1, 1, 1, 2]);
});

test("Promise.all: the first error is the one of the first time", async () => {
  const { output, times } = await play("after", async (step, run) => {
    const fails = (name: string) => run(name, () => Promise.reject(new NonRetriableError(name)));
    const late = step.sleep("nap", "20ms").then(() => fails("late"));
    const first = await Promise.all([late, fails("early")]).catch((error: Error) => error.message);
    return [String(first).includes("early"), await run("after")];
  });
  expect(output).toEqual([true, "after"]);
  expect([times("early"), times("after")]).toEqual([1, 2]);
});

test("Promise.race: the winner stays the winner, and a loser that waits does not keep the run open", async () => {
  const { output, steps, times } = await play("after", async (step, run) => {
    const slow = step.waitForEvent("slow", { event: "never", timeout: "30d" });
    const winner = await Promise.race([slow, run("fast")]);
    return [winner, await run("after")];
  });
  expect(output).toEqual(["fast", "after"]);
  expect([times("fast"), times("after")]).toEqual([1, 2]);
  expect(steps.filter(({ state }) => state === "waiting")).toEqual([]);
});

test("Promise.race: a loser whose code is at work does not keep the run open", async () => {
  const { output } = await play("before", async (_, run) => {
    await run("before");
    return Promise.race([run("stuck", never), run("quick")]);
  });
  expect(output).toBe("quick");
});

test("Promise.any: a branch that failed is left aside, in each replay", async () => {
  const { output, times } = await play("after", async (step, run) => {
    const failing = run("failing", () => Promise.reject(new NonRetriableError("no")));
    const sleeping = step.sleep("nap", "30ms").then(() => run("slept"));
    const first = await Promise.any([failing, sleeping]);
    return [first, await run("after")];
  });
  expect(output).toEqual(["slept", "after"]);
  expect([times("failing"), times("slept"), times("after")]).toEqual([1, 1, 2]);
});

test("Promise.allSettled: each branch's end is what it was", async () => {
  const { output, times } = await play("c", async (_, run) => {
    const ends = await Promise.allSettled([
      run("a"),
      run("b", () => Promise.reject(new NonRetriableError("no"))),
      run("first").then(() => run("c")),
    ]);
    return ends.map((end) => (end.status === "fulfilled" ? end.value : (end.reason as Error).name));
  });
  expect(output).toEqual(["a", "StepError", "c"]);
  expect([times("first"), times("c")]).toEqual([1, 2]);
});

test("a for loop: each turn's step is its own, though all have one id", async () => {
  const { output, times } = await play("turn 3", async (_, run) => {
    const results = [];
    for (let n = 0; n < 6; n++) results.push(await run(`turn ${n}`, () => n * n, { id: "turn" }));
    return results;
  });
  expect(output).toEqual([0, 1, 4, 9, 16, 25]);
  expect([0, 1, 2, 3, 4, 5].map((n) => times(`turn ${n}`))).toEqual([1, 1, 1, 2, 1, 1]);
});

test("nested functions: steps may be anywhere below, and recursion may make them", async () => {
  const { output, times } = await play("leaf 1", async (_, run) => {
    const grow = async (depth: number): Promise<unknown> => {
      const name = await run(`leaf ${depth}`);
      return depth === 0 ? [name] : [name, await grow(depth - 1)];
    };
    return grow(3);
  });
  expect(output).toEqual(["leaf 3", ["leaf 2", ["leaf 1", ["leaf 0"]]]]);
  expect([3, 2, 1, 0].map((n) => times(`leaf ${n}`))).toEqual([1, 1, 2, 1]);
});

test.each(["undo", "tidy"])("try, catch and finally: the app dies in the step %s", async (dies) => {
  const { output, times } = await play(dies, async (_, run) => {
    const story: unknown[] = [];
    try {
      story.push(await run("charge"));
      await run("ship", () => Promise.reject(new NonRetriableError("out of stock")));
      story.push("shipped");
    } catch (error) {
      story.push((error as Error).name, await run("undo"));
    } finally {
      story.push(await run("tidy"));
    }
    return story;
  });
  expect(output).toEqual(["charge", "StepError", "undo", "tidy"]);
  expect([times("charge"), times("ship")]).toEqual([1, 1]);
  expect([times("undo"), times("tidy")]).toEqual(dies === "undo" ? [2, 1] : [1, 2]);
});

test("try and finally: an error that nobody catches passes through the steps of finally", async () => {
  const ran: string[] = [];
  const fn = createFunction({ id: "finally" }, async ({ step }) => {
    try {
      await step.run("fails", () => Promise.reject(new NonRetriableError("no")));
    } finally {
      await step.run("tidy", () => {
        if (ran.push("tidy") === 1) currentDelivery()!.crash();
      });
    }
  });
  await faultyApp(server, "finally", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  const run = await eventually("its end", async () => {
    const found = await server.rotor.runs.get(runId);
    return found.state === "failed" && found;
  });
  expect(run.error?.name).toBe("StepError");
  expect(ran).toEqual(["tidy", "tidy"]);
});

test("steps inside Array.map run side by side, each under the id of its item", async () => {
  const items = ["x", "y", "z"];
  const { output, times } = await play("second y", async (_, run) => {
    const firsts = await Promise.all(items.map((item) => run(`first ${item}`)));
    return Promise.all(firsts.map(async (first, n) => [first, await run(`second ${items[n]}`)]));
  });
  expect(output).toEqual(items.map((item) => [`first ${item}`, `second ${item}`]));
  expect(items.map((item) => times(`first ${item}`))).toEqual([1, 1, 1]);
  expect(times("second y")).toBe(2);
});
