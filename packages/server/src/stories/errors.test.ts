/** What each error does to a step, to a run and to who waits for it: a row of the contract's table a test. */
import {
  createFunction,
  NonRetriableError,
  RetryAfterError,
  RotorApiError,
  RotorInputError,
  type Run,
  StepError,
} from "@rotorsh/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

const HOUR = 3_600_000;

let server: TestServer;
/** How far the clock is ahead: it only goes forward, so that nothing that was due is not due any more. */
let ahead = 0;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const forward = async (ms: number): Promise<void> => {
  ahead += ms;
  await server.shiftClock(ahead);
};

type Body = Parameters<typeof createFunction>[1];

/** Starts a run of a function that an app of its own serves. */
async function begin(id: string, body: Body, retries = 3): Promise<string> {
  const fn = createFunction({ id, retries }, body);
  await faultyApp(server, id, [fn]);
  return (await server.rotor.runs.start(fn, {})).runId;
}

const reached = (runId: string, what: (run: Run) => boolean): Promise<Run> =>
  eventually(`run ${runId}`, async () => {
    const run = await server.rotor.runs.get(runId);
    return what(run) ? run : undefined;
  });
const ended = (runId: string): Promise<Run> => reached(runId, (run) => run.finishedAt !== null);
const backsOff = (runId: string): Promise<Run> => reached(runId, (run) => run.reason === "retrying");
/** Until its next attempt. */
const leftMs = (run: Run): number => Date.parse(run.until!) - (Date.now() + ahead);

describe("an error in a step", () => {
  test("is tried again, as often as the step may, and then thrown into the function with its cause", async () => {
    const attempts: number[] = [];
    const runId = await begin("tries", async ({ step }) => {
      try {
        await step.run(
          "charge",
          ({ attempt }) => {
            attempts.push(attempt);
            throw Object.assign(new TypeError("no card"), { code: "card_declined" });
          },
          { retries: 2, backoff: ["10m"] },
        );
      } catch (error) {
        const { name, stepId, attempts: made, cause } = error as StepError;
        const { name: causeName, message, code } = cause as Error & { code: string };
        return [error instanceof StepError, name, stepId, made, causeName, message, code];
      }
    });
    for (const _ of [1, 2]) {
      await backsOff(runId);
      await forward(HOUR);
    }
    expect((await ended(runId)).output).toEqual([
      true,
      "StepError",
      "charge",
      3,
      "TypeError",
      "no card",
      "card_declined",
    ]);
    expect(attempts).toEqual([1, 2, 3]);
  });

  test("that is not caught fails the run, which names the step, and is no error of a delivery", async () => {
    const runId = await begin("uncaught", ({ step }) =>
      step.run("charge", () => Promise.reject(new Error("no card")), { retries: 0 }),
    );
    const run = await ended(runId);
    expect(run).toMatchObject({
      state: "failed",
      error: { name: "StepError", message: 'Step "charge" failed after 1 attempt: no card', step: "charge" },
      steps: [{ key: "charge", state: "failed", error: { message: "no card" } }],
    });
    expect(run.deliveries).toHaveLength(1);
  });

  test("NonRetriableError: is not tried again", async () => {
    let calls = 0;
    const runId = await begin("final-step", ({ step }) =>
      step
        .run("s", () => {
          calls += 1;
          throw new NonRetriableError("gone");
        })
        .catch((error: StepError) => [error.attempts, (error.cause as Error).name]),
    );
    expect((await ended(runId)).output).toEqual([1, "NonRetriableError"]);
    expect(calls).toBe(1);
  });

  test.each([
    ["a duration", () => "30m" as const],
    ["a date", () => new Date(Date.now() + HOUR / 2)],
  ])("RetryAfterError with %s: is tried again then, not after the back-off", async (form, when) => {
    const runId = await begin(`later-step-${form.replace(" ", "-")}`, ({ step }) =>
      step.run("s", ({ attempt }) => {
        if (attempt === 1) throw new RetryAfterError("busy", when());
        return attempt;
      }),
    );
    const left = leftMs(await backsOff(runId));
    expect(left > HOUR / 2 - 60_000 && left <= HOUR / 2 + 1_000).toBe(true);
    await forward(HOUR);
    expect((await ended(runId)).output).toBe(2);
  });

  test("RotorApiError: tells status, code and details of the API's own", async () => {
    const runId = await begin("api", ({ step }) =>
      step
        .run("s", () => server.rotor.jobs.enqueue("no-such-queue", { payload: 1 }), { retries: 0 })
        .catch(({ cause }: StepError) => [(cause as Error).name, (cause as RotorApiError).code]),
    );
    expect((await ended(runId)).output).toEqual(["RotorApiError", "not_found"]);
    await expect(server.rotor.jobs.enqueue("no-such-queue", { payload: 1 })).rejects.toBeInstanceOf(RotorApiError);
    await expect(server.rotor.jobs.enqueue("no-such-queue", { payload: 1 })).rejects.toMatchObject({
      status: 404,
      code: "not_found",
    });
  });

  test("lets try, catch and finally compensate, each in steps that are done once", async () => {
    const done: string[] = [];
    const note = (what: string) => () => void done.push(what);
    const runId = await begin("saga", async ({ step }) => {
      await step.run("reserve", note("reserve"));
      try {
        await step.run("charge", () => Promise.reject(new Error("no card")), { retries: 0 });
      } catch (error) {
        await step.run("release", note("release"));
        await step.sleep("pause", "10m");
        throw new NonRetriableError("the order was undone", { cause: error });
      } finally {
        await step.run("tell", note("tell"));
      }
    });
    await reached(runId, (run) => run.reason === "sleeping");
    await forward(HOUR);
    expect(await ended(runId)).toMatchObject({
      state: "failed",
      error: { name: "NonRetriableError", message: "the order was undone", step: "charge" },
    });
    expect(done).toEqual(["reserve", "release", "tell"]);
  });
});

describe("an error in the function's own code", () => {
  test("is another attempt of the run, and then its failure; finished steps are not run again", async () => {
    let [steps, calls] = [0, 0];
    const runId = await begin(
      "own-code",
      async ({ step }) => {
        await step.run("s", () => ++steps);
        calls += 1;
        throw new TypeError("a bug");
      },
      1,
    );
    const run = await ended(runId);
    expect(run).toMatchObject({ state: "failed", attempt: 2, error: { name: "TypeError", message: "a bug" } });
    expect(run.error?.step).toBeUndefined();
    expect([steps, calls]).toEqual([1, 2]);
  });

  test("NonRetriableError: fails the run at once", async () => {
    const runId = await begin("final-code", async () => {
      throw new NonRetriableError("gone");
    });
    expect(await ended(runId)).toMatchObject({ state: "failed", attempt: 1, error: { name: "NonRetriableError" } });
  });

  test("RetryAfterError: the next attempt is made then", async () => {
    let calls = 0;
    const runId = await begin("later-code", async () => {
      calls += 1;
      if (calls === 1) throw new RetryAfterError("busy", "30m");
      return calls;
    });
    const left = leftMs(await backsOff(runId));
    expect(left > HOUR / 2 - 60_000 && left <= HOUR / 2 + 1_000).toBe(true);
    await forward(HOUR);
    expect((await ended(runId)).output).toBe(2);
  });

  test("RetryAfterError takes no bare number, and says what to write", () => {
    expect(() => new RetryAfterError("busy", 30 as never)).toThrow(RotorInputError);
    expect(() => new RetryAfterError("busy", 30 as never)).toThrow(/"30s"/);
  });
});

describe("an error of a wait", () => {
  test("SignalTimeoutError: is thrown where no signal came, and names the step where it fails the run", async () => {
    const runId = await begin("no-signal", ({ step }) => step.waitForSignal("approval", { timeout: "10m" }));
    await reached(runId, (run) => run.reason === "signal");
    await forward(HOUR);
    expect(await ended(runId)).toMatchObject({
      state: "failed",
      error: { name: "SignalTimeoutError", step: "approval" },
    });
  });

  test("WorkflowFailedError: is thrown where a child failed, with the child's error as its cause", async () => {
    const child = createFunction({ id: "broken-child", retries: 0 }, async () => {
      throw new NonRetriableError("broken");
    });
    await faultyApp(server, "broken-child", [child]);
    const runId = await begin("of-broken", ({ step }) =>
      step.invoke("child", { workflow: child, data: {}, timeout: "1h" }),
    );
    expect(await ended(runId)).toMatchObject({
      error: { name: "WorkflowFailedError", step: "child", cause: { name: "NonRetriableError", message: "broken" } },
    });
  });
});

describe("a failed run", () => {
  test("is a dead letter, and its replay goes on from the failed step", async () => {
    let [first, mended] = [0, false];
    const runId = await begin("dead", async ({ step }) => {
      await step.run("first", () => ++first);
      return step.run(
        "second",
        () => {
          if (!mended) throw new Error("not yet");
          return "done";
        },
        { retries: 0 },
      );
    });
    await ended(runId);
    const { data } = await server.rotor.dlq.list({ queue: "dead" }).page();
    expect(data).toMatchObject([{ id: runId, error: { step: "second" } }]);
    mended = true;
    expect(await server.rotor.dlq.replay({ ids: [runId] })).toMatchObject({ replayed: 1 });
    expect((await reached(runId, (run) => run.state === "completed")).output).toBe("done");
    expect(first).toBe(1);
  });

  test("is replayed as a new run from any step, with another input", async () => {
    const seen: unknown[] = [];
    const runId = await begin("again", async ({ step, event }) => {
      const one = await step.run("one", () => seen.push("one"));
      await step.run(
        "two",
        () => {
          seen.push(["two", event.data]);
          if ((event.data as { fine?: boolean }).fine !== true) throw new Error("no");
        },
        { retries: 0 },
      );
      return one;
    });
    await ended(runId);
    const { runId: replayed } = await server.rotor.runs.replay(runId, { fromStep: "two", input: { fine: true } });
    expect(await ended(replayed)).toMatchObject({ state: "completed", output: 1, replayOf: runId });
    expect(seen).toEqual(["one", ["two", {}], ["two", { fine: true }]]);
  });

  test("tells the function that its own names for failures, which shows whose failure it is", async () => {
    const told = createFunction({ id: "orders-failed" }, async ({ event }) => event.data);
    const orders = createFunction({ id: "orders", retries: 0 }, ({ step }) =>
      step.run("charge", () => Promise.reject(new Error("no card")), { retries: 0 }),
    );
    await faultyApp(server, "orders", [orders, told]);
    await server.db.script(
      `update rotor.queues set starting = '{"on_failure":"orders-failed"}' where name = 'orders' and kind = 'function'`,
    );
    const { runId } = await server.rotor.runs.start<unknown>(orders, { order: 7 });
    const { failureRunId } = await reached(runId, (run) => run.state === "failed");
    expect(await ended(failureRunId!)).toMatchObject({
      function: "orders-failed",
      parentId: runId,
      output: { run_id: runId, function: "orders", failed_step: "charge", event: { data: { order: 7 } } },
    });
  });

  test("by its timeout says so, and its steps learn it at their signal", async () => {
    const orders = createFunction({ id: "slow" }, ({ step }) =>
      step.waitForEvent("w", { event: "never", timeout: "30d" }),
    );
    await faultyApp(server, "slow", [orders]);
    const { runId } = await server.rotor.runs.start<unknown>(orders, {});
    await reached(runId, (run) => run.reason === "event");
    await server.db.script(
      `update rotor.jobs set deadline_at = rotor.clock() + interval '1 hour' where id = '${runId}';
       update rotor.payloads set deadline_ms = 3600000 where job_id = '${runId}'`,
    );
    const { sentence } = await server.rotor.jobs.why(runId);
    expect(sentence).toMatch(/timeout ends it in 60m/);
    await forward(2 * HOUR);
    expect(await ended(runId)).toMatchObject({
      state: "failed",
      error: { name: "RunTimeoutError", message: "The run did not end within 1h, the timeout of its function." },
      steps: [{ key: "w", state: "dropped" }],
    });
  });
});
