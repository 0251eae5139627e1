import { describe, expect, test } from "vitest";
import { NonRetriableError, RetryAfterError, StepError } from "./errors.js";
import { gate, peerFor } from "./testing-kit/peer-for.js";

describe("a step that fails", () => {
  test("is tried again after its back-off, with the same key, and succeeds", async () => {
    const told: unknown[] = [];
    const peer = await peerFor(({ step }) =>
      step.run("a", ({ key, attempt }) => {
        told.push([key, attempt]);
        if (attempt < 3) throw new Error("not yet");
        return "done";
      }),
    );
    const run = peer.create("f");
    const first = await peer.deliver(run);
    expect(first).toMatchObject({
      status: "waiting",
      reports: [{ kind: "run", outcome: "retry", attempt: 1, error: { message: "not yet" } }],
    });
    const { delay_ms } = (first as unknown as { reports: { delay_ms: number }[] }).reports[0]!;
    expect(delay_ms >= 1_000 && delay_ms <= 2_000).toBe(true);
    expect(await peer.deliver(run)).toMatchObject({ status: "waiting", reports: [] });
    expect(await peer.finish(run)).toMatchObject({ output: "done" });
    expect(told).toEqual([
      ["run1/a", 1],
      ["run1/a", 2],
      ["run1/a", 3],
    ]);
  });

  test("chooses its delay with RetryAfterError, its attempts with `retries`, its curve with `backoff`", async () => {
    const peer = await peerFor(({ step }) =>
      Promise.allSettled([
        step.run("later", ({ attempt }) => {
          if (attempt === 1) throw new RetryAfterError("busy", "90s");
        }),
        step.run("once", () => Promise.reject(new Error("no")), { retries: 0 }),
        step.run("listed", () => Promise.reject(new Error("no")), { backoff: ["7s"] }),
      ]),
    );
    const run = peer.create("f");
    await peer.deliver(run);
    const delays = [...run.steps.values()].map(({ key, state, dueMs }) => [
      key,
      state,
      dueMs && dueMs - peer.clock.nowMs,
    ]);
    expect(delays).toEqual([
      ["later", "waiting", 90_000],
      ["once", "failed", undefined],
      ["listed", "waiting", 7_000],
    ]);
  });

  test("is run again in the same delivery while another step runs", async () => {
    const retried = gate();
    const peer = await peerFor(({ step }) =>
      Promise.all([
        step.run("long", () => retried.opened),
        step.run("flaky", ({ attempt }) => {
          if (attempt === 1) throw new RetryAfterError("busy", "5ms");
          retried.open();
          return attempt;
        }),
      ]),
    );
    const run = peer.create("f");
    expect(await peer.deliver(run)).toMatchObject({ status: "completed", output: [null, 2] });
    expect(run.delivery).toBe(1);
  });

  test("throws a StepError into the function, live and replayed, which it may catch", async () => {
    const caught: unknown[] = [];
    const peer = await peerFor(async ({ step }) => {
      try {
        await step.run("charge", () => Promise.reject(new RangeError("no money")), { retries: 0 });
      } catch (error) {
        const { stepId, attempts, cause } = error as StepError;
        caught.push([error instanceof StepError, stepId, attempts, (cause as Error).name, (cause as Error).message]);
      }
      await step.run("refund", () => 1);
      await step.sleep("nap", "1s");
    });
    expect((await peer.finish(peer.create("f"))).status).toBe("completed");
    const expected = [true, "charge", 1, "RangeError", "no money"];
    expect(caught).toEqual([expected, expected]);
  });

  test("for good, with nobody to catch it, fails the run without another try", async () => {
    const peer = await peerFor(({ step }) => step.run("a", () => Promise.reject(new NonRetriableError("gone"))));
    expect(await peer.deliver(peer.create("f"))).toMatchObject({
      status: "failed",
      retriable: false,
      error: { name: "StepError", cause: { name: "NonRetriableError", message: "gone" } },
    });
  });

  test("is named by the run's failure, also as the cause of another error, and not where it was got by", async () => {
    const failing = (throws: (error: unknown) => unknown) =>
      peerFor(async ({ step }) => {
        await step.run("got by", () => Promise.reject(new Error("no")), { retries: 0 }).catch(() => undefined);
        await step.run("charge", () => "fine");
        await step
          .run("charge", () => Promise.reject(new Error("no card")), { retries: 0 })
          .catch((error: unknown) => {
            throw throws(error);
          });
      });
    const errorOf = async (throws: (error: unknown) => unknown) => {
      const peer = await failing(throws);
      return ((await peer.finish(peer.create("f"))) as unknown as { error: { step?: string } }).error;
    };
    expect(await errorOf((error) => error)).toMatchObject({ name: "StepError", step: "charge#2" });
    const wrapped = (cause: unknown) => new NonRetriableError("no order", { cause });
    expect(await errorOf(wrapped)).toMatchObject({ name: "NonRetriableError", step: "charge#2" });
    expect(
      await errorOf((error) => new NonRetriableError("all", { cause: new AggregateError([error]) })),
    ).toMatchObject({
      step: "charge#2",
    });
    expect((await errorOf(() => new NonRetriableError("something else"))).step).toBeUndefined();
    const circle = new NonRetriableError("round");
    Object.assign(circle, { cause: circle });
    expect((await errorOf(() => circle)).step).toBeUndefined();
  });

  test("when its output has no JSON, or 4 MiB of it, fails at once and says so", async () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const peer = await peerFor(async ({ step }) => {
      const outputs = [10n, cycle, "x".repeat(4 * 1024 * 1024)] as unknown[];
      const settled = await Promise.allSettled(outputs.map((output, i) => step.run(`s${i}`, () => output)));
      return settled.map((one) => (one.status === "rejected" ? (one.reason as Error).message : "?"));
    });
    const answer = await peer.deliver(peer.create("f"));
    expect((answer as unknown as { output: string[] }).output).toEqual([
      expect.stringMatching(/step "s0" cannot be written as JSON: .*BigInt/),
      expect.stringMatching(/step "s1" cannot be written as JSON: .*circular/),
      expect.stringMatching(/step "s2" is larger than 4 MiB/),
    ]);
  });

  test("because it took too long is aborted and tried again", async () => {
    const aborted = gate<string>();
    const peer = await peerFor(({ step }) =>
      step.run(
        "slow",
        ({ signal }) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => {
              aborted.open(signal.reason.name);
              reject(signal.reason);
            });
          }),
        { timeout: "5ms" },
      ),
    );
    const answer = await peer.deliver(peer.create("f"));
    expect(answer).toMatchObject({
      status: "waiting",
      reports: [{ outcome: "retry", error: { name: "TimeoutError" } }],
    });
    expect(await aborted.opened).toBe("TimeoutError");
  });

  test("because of a bad id or duration fails the run with a sentence", async () => {
    for (const bad of ["", "a#2", "a\nb", "x".repeat(257)]) {
      const peer = await peerFor(({ step }) => step.run(bad, () => 1));
      expect(await peer.deliver(peer.create("f"))).toMatchObject({
        status: "failed",
        retriable: false,
        error: { name: "RotorInputError" },
      });
    }
    const peer = await peerFor(({ step }) => step.sleep("nap", "soon" as "1s"));
    expect(await peer.deliver(peer.create("f"))).toMatchObject({ status: "failed", retriable: false });
  });
});

describe("the code between steps", () => {
  test("that throws is tried again, later if it says so, unless it says never", async () => {
    const errors = [new TypeError("x"), new RetryAfterError("busy", "1m"), new NonRetriableError("no")];
    const answers = [];
    for (const error of errors) {
      const peer = await peerFor(() => {
        throw error;
      });
      answers.push(await peer.deliver(peer.create("f")));
    }
    expect(answers).toMatchObject([
      { retriable: true, error: { name: "TypeError" } },
      { retriable: true, retry_after_ms: 60_000 },
      { retriable: false },
    ]);
    expect(answers[0]).not.toHaveProperty("retry_after_ms");
  });

  test("that throws does not lose the results which are on their way", async () => {
    const peer = await peerFor(async ({ step }) => {
      void step.run("a", () => 1);
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      throw new Error("oops");
    });
    const run = peer.create("f");
    expect(await peer.deliver(run)).toMatchObject({ status: "failed", retriable: true });
    expect(run.finished).toEqual(["a"]);
  });

  test("may return nothing, but not what has no JSON", async () => {
    const nothing = await peerFor(() => {});
    expect(await nothing.deliver(nothing.create("f"))).toMatchObject({ status: "completed", output: null });
    const big = await peerFor(() => 1n);
    expect(await big.deliver(big.create("f"))).toMatchObject({ status: "failed", retriable: false });
  });
});
