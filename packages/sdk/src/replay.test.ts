import { afterEach, describe, expect, test } from "vitest";
import { NonRetriableError, RetryAfterError, SignalTimeoutError, StepError } from "./errors.js";
import type { FunctionContext, RotorFunction } from "./function.js";
import { createFunction } from "./function.js";
import type { Untyped } from "./json.js";
import type { Report } from "./protocol.js";
import type { Step } from "./step.js";
import { type Peer, type PeerOptions, startPeer } from "./testing-kit/peer.js";

const peers: Peer[] = [];
afterEach(async () => {
  for (const peer of peers.splice(0)) await peer.close();
});

type Code = (context: FunctionContext<Untyped>) => unknown;

async function peerFor(code: Code, options?: PeerOptions & { retries?: number }): Promise<Peer> {
  const fn = createFunction({ id: "f", trigger: { event: "test" } }, code) as RotorFunction;
  const peer = await startPeer([fn], options);
  peers.push(peer);
  return peer;
}

const reportsOf = (peer: Peer): readonly Report[][] =>
  peer.checkpoints.flatMap(({ runs }) => runs.map(({ reports }) => [...reports]));
const keysOf = (peer: Peer): string[] => reportsOf(peer).flatMap((reports) => reports.map(({ key }) => key));

/** A promise with its handle. */
function gate<T = void>() {
  let open!: (value: T) => void;
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

describe("steps one after another", () => {
  test("cost one checkpoint each, and a step starts only when the one before it is stored", async () => {
    const order: string[] = [];
    const peer = await peerFor(async ({ step }) => {
      const a = await step.run("a", () => (order.push("a runs"), 1));
      const b = await step.run("b", () => (order.push("b runs"), a + 1));
      return b + 1;
    });
    peer.recorded = (reports) => void order.push(`${reports[0]!.key} stored`);
    expect(await peer.deliver(peer.create("f"))).toMatchObject({ status: "completed", output: 3 });
    expect(order).toEqual(["a runs", "a stored", "b runs", "b stored"]);
    expect(peer.checkpoints).toHaveLength(2);
    expect(peer.checkpoints[1]!.runs[0]!.known_seq).toBe(13);
  });

  test("are answered from memory in a replay, whose code is not called again", async () => {
    let calls = 0;
    const peer = await peerFor(async ({ step }) => {
      const a = await step.run("a", () => ({ n: ++calls, at: new Date(0), nothing: undefined }));
      await step.sleep("nap", "1h");
      return a;
    });
    const run = peer.create("f");
    expect(await peer.deliver(run)).toMatchObject({ status: "waiting", reports: [{ kind: "sleep", key: "nap", delay_ms: 3_600_000 }] });
    expect(await peer.finish(run)).toMatchObject({ status: "completed", output: { n: 1, at: "1970-01-01T00:00:00.000Z" } });
    expect(calls).toBe(1);
  });

  test("give the code the same value live and replayed: undefined is null, a date is a string", async () => {
    const seen: unknown[] = [];
    const peer = await peerFor(async ({ step }) => {
      seen.push(await step.run("nothing", () => {}), await step.run("date", () => new Date(0)));
      await step.sleep("nap", "1s");
      seen.push(await step.sleep("nap", "1s"));
    });
    await peer.finish(peer.create("f"));
    const both = [null, "1970-01-01T00:00:00.000Z"];
    expect(seen).toEqual([...both, ...both, ...both, undefined]);
  });

  test("whose ids repeat in a loop are steps of their own", async () => {
    const peer = await peerFor(async ({ step }) => {
      const all: number[] = [];
      for (let i = 0; i < 3; i++) all.push(await step.run("page", () => i));
      await step.sleep("nap", "1s");
      return all;
    });
    const run = peer.create("f");
    expect(await peer.finish(run)).toMatchObject({ output: [0, 1, 2] });
    expect(run.finished).toEqual(["page", "page#2", "page#3", "nap"]);
  });

  test("may live in nested functions", async () => {
    const pay = async (step: Step, n: number): Promise<number> => {
      const paid = await step.run("pay", () => n);
      return (await step.run("note", () => paid)) + 1;
    };
    const peer = await peerFor(async ({ step }) => (await pay(step, 1)) + (await pay(step, 2)));
    expect(await peer.deliver(peer.create("f"))).toMatchObject({ output: 5 });
    expect(keysOf(peer)).toEqual(["pay", "note", "pay#2", "note#2"]);
  });

  test("are told their key, attempt and signal, and work between steps is waited for", async () => {
    const peer = await peerFor(async ({ step, runId, attempt }) => {
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      const told = await step.run("a", ({ key, attempt: own, signal }) => [key, own, signal.aborted]);
      return [runId, attempt, told];
    });
    expect(await peer.deliver(peer.create("f"))).toMatchObject({ output: ["run1", 1, ["run1/a", 1, false]] });
  });

  test("that did not fit into the delivery are read in pages before the replay", async () => {
    const peer = await peerFor(
      async ({ step }) => {
        let sum = 0;
        for (let i = 0; i < 7; i++) sum += await step.run("n", () => i);
        await step.sleep("nap", "1s");
        return sum;
      },
      { pageSize: 3 },
    );
    expect(await peer.finish(peer.create("f"))).toMatchObject({ output: 21 });
    expect(peer.pagesRead).toBe(2);
  });
});

describe("steps at the same time", () => {
  test("run together, and results that end together share a POST", async () => {
    const peer = await peerFor(async ({ step }) => Promise.all([1, 2, 3].map((n) => step.run(`s${n}`, () => n))));
    expect(await peer.deliver(peer.create("f"))).toMatchObject({ output: [1, 2, 3] });
    expect(reportsOf(peer).map((reports) => reports.length)).toEqual([3]);
  });

  test("that end while a POST is on its way share the next one, over all runs of the process", async () => {
    const gates = [gate(), gate(), gate(), gate()];
    const peer = await peerFor(async ({ step, event }) => {
      const [a, b] = event.data as number[];
      await Promise.all([step.run("a", () => gates[a!]!.opened), step.run("b", () => gates[b!]!.opened)]);
    });
    const held = gate();
    let arrived = gate();
    peer.recorded = async () => {
      arrived.open();
      await held.opened;
    };
    const first = peer.deliver(peer.create("f", [0, 1]));
    const second = peer.deliver(peer.create("f", [2, 3]));
    gates[0]!.open();
    await arrived.opened;
    arrived = gate();
    for (const { open } of gates) open();
    held.open();
    expect([(await first).status, (await second).status]).toEqual(["completed", "completed"]);
    expect(peer.checkpoints.map(({ runs }) => runs.map(({ reports }) => reports.length))).toEqual([[1], [2, 1]]);
  });

  test("never more than a hundred", async () => {
    let running = 0;
    let most = 0;
    const full = gate();
    const peer = await peerFor(async ({ step }) =>
      Promise.all(
        Array.from({ length: 250 }, (_, i) =>
          step.run(`s${i}`, async () => {
            running += 1;
            most = Math.max(most, running);
            if (running === 100) full.open();
            await full.opened;
            running -= 1;
          }),
        ),
      ),
    );
    expect((await peer.deliver(peer.create("f"))).status).toBe("completed");
    expect(most).toBe(100);
  });

  test("settle all, any and race as they would without Rotor", async () => {
    const peer = await peerFor(async ({ step }) => {
      const fail = (id: string) => step.run(id, () => Promise.reject(new NonRetriableError(id)));
      const settled = await Promise.allSettled([step.run("a", () => 1), fail("b")]);
      const any = await Promise.any([fail("c"), step.run("d", () => 4)]);
      const all = await Promise.all([step.run("e", () => 5), fail("f")]).catch((error) => (error as StepError).stepId);
      await step.sleep("nap", "1s");
      return [settled.map(({ status }) => status), any, all];
    });
    expect(await peer.finish(peer.create("f"))).toMatchObject({ output: [["fulfilled", "rejected"], 4, "f"] });
  });

  test("race to the same branch in a replay as live, whatever order they are asked in", async () => {
    const slow = gate();
    const winners: string[] = [];
    const peer = await peerFor(async ({ step }) => {
      const winner = await Promise.race([
        step.run("slow", () => slow.opened).then(() => "slow"),
        step.run("fast", () => 1).then(() => "fast"),
      ]);
      winners.push(winner);
      await step.run(`after-${winner}`, () => slow.open());
      await step.sleep("nap", "1s");
      return winner;
    });
    const run = peer.create("f");
    expect(await peer.finish(run)).toMatchObject({ output: "fast" });
    expect(run.finished.slice(0, 2)).toEqual(["fast", "after-fast"]);
    expect(winners).toEqual(winners.map(() => "fast"));
  });

  test("that lose do not keep the run open: their signal aborts and their result is ignored", async () => {
    const aborted = gate<string>();
    const peer = await peerFor(({ step }) =>
      Promise.race([
        step.run("fast", () => 1),
        step.run("slow", ({ signal }) => {
          signal.addEventListener("abort", () => aborted.open(signal.reason.name));
          return new Promise(() => {});
        }),
      ]),
    );
    const run = peer.create("f");
    expect(await peer.deliver(run)).toMatchObject({ status: "completed", output: 1 });
    expect(await aborted.opened).toBe("AbortError");
    expect(run.finished).toEqual(["fast"]);
  });
});

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
    expect(first).toMatchObject({ status: "waiting", reports: [{ kind: "run", outcome: "retry", attempt: 1, error: { message: "not yet" } }] });
    const { delay_ms } = (first as { reports: { delay_ms: number }[] }).reports[0]!;
    expect(delay_ms >= 1_000 && delay_ms <= 2_000).toBe(true);
    expect(await peer.deliver(run)).toMatchObject({ status: "waiting", reports: [] });
    expect(await peer.finish(run)).toMatchObject({ output: "done" });
    expect(told).toEqual([["run1/a", 1], ["run1/a", 2], ["run1/a", 3]]);
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
    const delays = [...run.steps.values()].map(({ key, state, dueMs }) => [key, state, dueMs && dueMs - peer.clock.nowMs]);
    expect(delays).toEqual([["later", "waiting", 90_000], ["once", "failed", undefined], ["listed", "waiting", 7_000]]);
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

  test("when its output has no JSON, or 4 MiB of it, fails at once and says so", async () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const peer = await peerFor(async ({ step }) => {
      const outputs = [10n, cycle, "x".repeat(4 * 1024 * 1024)] as unknown[];
      const settled = await Promise.allSettled(outputs.map((output, i) => step.run(`s${i}`, () => output)));
      return settled.map((one) => (one.status === "rejected" ? (one.reason as Error).message : "?"));
    });
    const answer = await peer.deliver(peer.create("f"));
    expect((answer as { output: string[] }).output).toEqual([
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
    expect(answer).toMatchObject({ status: "waiting", reports: [{ outcome: "retry", error: { name: "TimeoutError" } }] });
    expect(await aborted.opened).toBe("TimeoutError");
  });

  test("because of a bad id or duration fails the run with a sentence", async () => {
    for (const bad of ["", "a#2", "a\nb", "x".repeat(257)]) {
      const peer = await peerFor(({ step }) => step.run(bad, () => 1));
      expect(await peer.deliver(peer.create("f"))).toMatchObject({ status: "failed", retriable: false, error: { name: "RotorInputError" } });
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

describe("waits", () => {
  test("for an event give its data, or null at the timeout; `after` names the result received last", async () => {
    const peer = await peerFor(async ({ step }) => {
      await step.run("mail", () => 1);
      const opened = await step.waitForEvent("opened", { event: "email.opened", match: { id: 7 }, timeout: "7d" });
      const clicked = await step.waitForEvent("clicked", { event: "email.clicked", timeout: "1d", since: "now" });
      return [opened, clicked];
    });
    const run = peer.create("f");
    expect(await peer.deliver(run)).toMatchObject({
      reports: [{ kind: "event", event: "email.opened", match: { id: 7 }, timeout_ms: 604_800_000, after: "mail" }],
    });
    run.resume("email.opened", { at: "now" });
    const second = await peer.deliver(run);
    expect(second).toMatchObject({ reports: [{ key: "clicked", since_ms: 0 }] });
    expect((second as { reports: object[] }).reports[0]).not.toHaveProperty("after");
    expect(await peer.finish(run)).toMatchObject({ output: [{ at: "now" }, null] });
  });

  test("for a signal, a child run or a job give its result or throw the error by its name", async () => {
    const child = createFunction({ id: "child" }, async () => ({ ok: true }));
    const peer = await peerFor(async ({ step }) => {
      const approved = await step.waitForSignal("approve", { timeout: "1d" });
      const { result, runId } = await step.invoke("child", { workflow: child as RotorFunction<unknown, { ok: boolean }>, data: { n: 1 }, timeout: "1h" });
      const output = await step.enqueue("job", "mails", { payload: [1], delay: 5, retries: 2 }, { wait: true });
      const late = await step.waitForSignal("late", { signal: "mine", timeout: "1m" }).catch((error) => error);
      return [approved, result, runId, output, late instanceof SignalTimeoutError];
    });
    const run = peer.create("f");
    expect(await peer.deliver(run)).toMatchObject({ reports: [{ kind: "signal", signal: "run1/approve" }] });
    run.resume("run1/approve", "yes");
    expect(await peer.deliver(run)).toMatchObject({ reports: [{ kind: "invoke", function: "child", data: { n: 1 } }] });
    run.finish("child", { output: { result: { ok: true }, runId: "r2" } });
    expect(await peer.deliver(run)).toMatchObject({
      reports: [{ kind: "enqueue", queue: "mails", payload: [1], wait: true, options: { delay_ms: 5_000, max_attempts: 3 } }],
    });
    run.finish("job", { output: "sent" });
    expect(await peer.finish(run)).toMatchObject({ output: ["yes", { ok: true }, "r2", "sent", true] });
  });

  test("that nobody catches fail the run for good", async () => {
    const peer = await peerFor(({ step }) => step.waitForSignal("s", { timeout: "1m" }));
    expect(await peer.finish(peer.create("f"))).toMatchObject({ status: "failed", retriable: false, error: { name: "SignalTimeoutError" } });
  });

  test("that end at once, of events sent and jobs enqueued, go by checkpoint and do not end the delivery", async () => {
    const peer = await peerFor(async ({ step }) => {
      const sent = await step.sendEvent("send", [{ name: "a", data: 1 }, { name: "b", data: 2, id: "x" }]);
      const job = await step.enqueue("job", "mails", { payload: {} });
      return [sent.events.length, job.id];
    });
    expect(await peer.deliver(peer.create("f"))).toMatchObject({ status: "completed", output: [2, "job-job"] });
    expect(keysOf(peer)).toEqual(["send", "job"]);
  });

  test("race with a sleep and take the same branch in each replay", async () => {
    const peer = await peerFor(async ({ step }) => {
      const winner = await Promise.race([
        step.waitForEvent("paid", { event: "paid", timeout: "2d" }).then((data) => ["paid", data]),
        step.sleep("patience", "1d").then(() => ["slept"]),
      ]);
      await step.sleep("nap", "3d");
      return winner;
    });
    const run = peer.create("f");
    await peer.deliver(run);
    peer.clock.nowMs += 86_400_000;
    await peer.deliver(run);
    run.resume("paid", 5);
    expect(await peer.finish(run)).toMatchObject({ output: ["slept"] });
  });

  test("leave at once while a step runs, so that an event ends them before the step does", async () => {
    const paid = gate<unknown>();
    const peer = await peerFor(({ step }) =>
      Promise.all([
        step.run("long", () => paid.opened),
        step.waitForEvent("paid", { event: "paid", timeout: "1d" }).then(async (data) => {
          await step.run("thank", () => paid.open(data));
        }),
        step.run("other", () => 1),
      ]),
    );
    const run = peer.create("f");
    peer.recorded = (reports) => {
      if (reports.some(({ key }) => key === "paid")) run.resume("paid", 5);
    };
    expect((await peer.deliver(run)).status).toBe("completed");
    expect(run.delivery).toBe(1);
  });

  test("that are short end while a step runs: the server is asked when they are due", async () => {
    const slept = gate();
    const peer = await peerFor(({ step }) =>
      Promise.all([step.run("long", () => slept.opened), step.sleep("short", "5ms").then(() => step.run("then", () => slept.open()))]),
    );
    const run = peer.create("f");
    peer.intervene = (_, reports) => {
      if (reports.length === 0) peer.clock.nowMs += 5;
      return undefined;
    };
    expect((await peer.deliver(run)).status).toBe("completed");
    expect(run.finished).toEqual(["short", "then", "long"]);
  });
});

describe("the server's verdict", () => {
  test("`stale` and `cancelled` abort what runs and are answered `stale`", async () => {
    for (const verdict of ["stale", "cancelled"] as const) {
      const aborted = gate();
      let after = false;
      const peer = await peerFor(async ({ step, signal }) => {
        signal.addEventListener("abort", () => aborted.open());
        await Promise.race([step.run("a", () => 1), step.run("b", () => new Promise(() => {}))]);
        after = true;
      });
      peer.intervene = () => verdict;
      expect(await peer.deliver(peer.create("f"))).toMatchObject({ status: "stale" });
      await aborted.opened;
      expect(after).toBe(false);
    }
  });

  test("`yield` lets what runs end, is answered at the next step border, and the run goes on in another delivery", async () => {
    const started: string[] = [];
    const peer = await peerFor(async ({ step }) => {
      for (const id of ["a", "b", "c"]) await step.run(id, () => started.push(id));
      return "done";
    });
    peer.intervene = (_, reports) => (reports[0]?.key === "b" ? "yield" : undefined);
    const run = peer.create("f");
    expect(await peer.deliver(run)).toMatchObject({ status: "yield", reports: [] });
    expect(started).toEqual(["a", "b"]);
    expect(await peer.deliver(run)).toMatchObject({ status: "completed", output: "done" });
    expect(started).toEqual(["a", "b", "c"]);
  });

  test("`retry` sends the same reports again", async () => {
    let refused = 0;
    const peer = await peerFor(({ step }) => step.run("a", () => 1));
    peer.intervene = () => (refused++ === 0 ? "retry" : undefined);
    expect(await peer.deliver(peer.create("f"))).toMatchObject({ status: "completed", output: 1 });
    expect(keysOf(peer)).toEqual(["a", "a"]);
  });

  test("`invalid` fails the one step that is meant, and the others stand", async () => {
    const peer = await peerFor(async ({ step }) => {
      const settled = await Promise.allSettled([
        step.run("good", () => 1),
        step.run("bad", () => 2),
        step.sendEvent("send", { name: "a", data: 1 }),
      ]);
      return settled.map((one) => (one.status === "rejected" ? one.reason.name : one.status));
    });
    const isBad = (report: Report) => report.key === "send" || (report.kind === "run" && report.key === "bad" && report.outcome === "completed");
    peer.intervene = (_, reports) => (reports.some(isBad) ? "invalid" : undefined);
    expect(await peer.deliver(peer.create("f"))).toMatchObject({ output: ["fulfilled", "StepError", "RefusedError"] });
  });

  test("that never comes makes the app answer with what it has, and the next delivery goes on from there", async () => {
    const calls: string[] = [];
    const peer = await peerFor(async ({ step }) => {
      const both = await Promise.all([step.run("a", () => calls.push("a")), step.run("b", () => calls.push("b"))]);
      return [both.length, await step.run("c", () => calls.push("c"))];
    });
    peer.intervene = () => "lost";
    const run = peer.create("f");
    expect(await peer.deliver(run)).toMatchObject({ status: "waiting", reports: [{ key: "a" }, { key: "b" }] });
    // For a minute the lane is not tried again.
    expect(await peer.deliver(run)).toMatchObject({ status: "waiting", reports: [{ key: "c", output: 3 }] });
    expect(await peer.deliver(run)).toMatchObject({ status: "completed", output: [2, 3] });
    expect(calls).toEqual(["a", "b", "c"]);
    expect(peer.checkpoints).toHaveLength(1);
  });
});

describe("code that has changed", () => {
  test("and asks for another kind of step under a stored key has diverged", async () => {
    let version = 1;
    const peer = await peerFor(({ step }) => (version === 1 ? step.sleep("x", "1d") : step.run("x", () => 1)));
    const run = peer.create("f");
    await peer.deliver(run);
    version = 2;
    expect(await peer.deliver(run)).toMatchObject({ status: "diverged", step: "x", recorded: "sleep", asked: "run" });
  });

  test("and no longer reaches an unfinished wait has diverged, whether it ends or waits for something else", async () => {
    for (const other of [() => 1, (step: Step) => step.sleep("y", "1d")]) {
      let version = 1;
      const peer = await peerFor(({ step }) => (version === 1 ? step.sleep("x", "1d") : other(step)));
      const run = peer.create("f");
      await peer.deliver(run);
      version = 2;
      expect(await peer.deliver(run)).toMatchObject({ status: "diverged", step: "x", recorded: "sleep", asked: null });
    }
  });

  test("by new, fewer or reordered steps goes on, since ids say which is which", async () => {
    let version = 1;
    const peer = await peerFor(async ({ step }) => {
      const [a, b] = version === 1 ? [await step.run("a", () => 1), await step.run("b", () => 2)] : [];
      if (version === 1) return step.sleep("x", "1d");
      const late = await step.run("b", () => 20);
      const fresh = await step.run("new", () => 3);
      await step.sleep("x", "1d");
      return [a, b, late, fresh];
    });
    const run = peer.create("f");
    await peer.deliver(run);
    version = 2;
    expect(await peer.finish(run)).toMatchObject({ output: [null, null, 2, 3] });
  });

  test("may leave the wait of a losing branch behind", async () => {
    const peer = await peerFor(async ({ step }) => {
      await Promise.race([step.sleep("short", "1s"), step.sleep("long", "1d")]);
      return "done";
    });
    const run = peer.create("f");
    await peer.deliver(run);
    peer.clock.nowMs += 1_000;
    expect(await peer.deliver(run)).toMatchObject({ status: "completed", output: "done" });
  });
});
