import { describe, expect, test } from "vitest";
import { SignalTimeoutError } from "./errors.js";
import type { RotorFunction } from "./function.js";
import { createFunction } from "./function.js";
import { gate, keysOf, peerFor, reportsOf } from "./testing-kit/peer-for.js";

describe("waits", () => {
  test("for an event give its data, or null at the timeout", async () => {
    const peer = await peerFor(async ({ step }) => {
      const opened = await step.waitForEvent("opened", { event: "email.opened", match: { id: 7 }, timeout: "7d" });
      const clicked = await step.waitForEvent("clicked", { event: "email.clicked", timeout: "1d" });
      return [opened, clicked];
    });
    const run = peer.create("f");
    expect(await peer.deliver(run)).toMatchObject({
      reports: [{ kind: "event", event: "email.opened", match: { id: 7 }, timeout_ms: 604_800_000 }],
    });
    run.resume("email.opened", { at: "now" });
    expect(await peer.finish(run)).toMatchObject({ output: [{ at: "now" }, null] });
  });

  test("for an event look back to the end of the step before the step before them, unless `since` says otherwise", async () => {
    const event = { event: "e", timeout: "1d" } as const;
    const peer = await peerFor(async ({ step }) => {
      await Promise.all([step.waitForEvent("at the start", event), step.run("one", () => 1)]);
      await step.waitForEvent("after one", event);
      await step.run("two", () => 2);
      await step.waitForEvent("after two", event);
      await step.waitForEvent("after a wait", event);
      await step.waitForEvent("now", { ...event, since: "now" });
      await step.waitForEvent("run", { ...event, since: "run-start" });
      await step.waitForEvent("hour", { ...event, since: "1h" });
      await step.waitForEvent("step", { ...event, since: "two" });
    });
    const run = peer.create("f");
    await peer.finish(run);
    const reports = [...reportsOf(peer).flat(), ...run.answers.flatMap((one) => ("reports" in one ? one.reports : []))];
    const waits = new Map(
      reports.flatMap((one) => (one.kind === "event" ? [[one.key, [one.after, one.since_ms]] as const] : [])),
    );
    expect(Object.fromEntries(waits)).toEqual({
      "at the start": [undefined, undefined],
      // Both were asked for at the start, and the wait ended last.
      "after one": [undefined, undefined],
      "after two": ["after one", undefined],
      "after a wait": ["two", undefined],
      now: [undefined, 0],
      run: [undefined, undefined],
      hour: [undefined, 3_600_000],
      step: ["two", undefined],
    });
  });

  test("for a signal, a child run or a job give its result or throw the error by its name", async () => {
    const child = createFunction({ id: "child" }, async () => ({ ok: true }));
    const peer = await peerFor(async ({ step }) => {
      const approved = await step.waitForSignal("approve", { timeout: "1d" });
      const { result, runId } = await step.invoke("child", {
        workflow: child as RotorFunction<unknown, { ok: boolean }>,
        data: { n: 1 },
        timeout: "1h",
      });
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
      reports: [
        { kind: "enqueue", queue: "mails", payload: [1], wait: true, options: { delay_ms: 5_000, max_attempts: 3 } },
      ],
    });
    run.finish("job", { output: "sent" });
    expect(await peer.finish(run)).toMatchObject({ output: ["yes", { ok: true }, "r2", "sent", true] });
  });

  test("that nobody catches fail the run for good", async () => {
    const peer = await peerFor(({ step }) => step.waitForSignal("s", { timeout: "1m" }));
    expect(await peer.finish(peer.create("f"))).toMatchObject({
      status: "failed",
      retriable: false,
      error: { name: "SignalTimeoutError" },
    });
  });

  test("that end at once, of events sent and jobs enqueued, go by checkpoint and do not end the delivery", async () => {
    const peer = await peerFor(async ({ step }) => {
      const sent = await step.sendEvent("send", [
        { name: "a", data: 1 },
        { name: "b", data: 2, id: "x" },
      ]);
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
      Promise.all([
        step.run("long", () => slept.opened),
        step.sleep("short", "5ms").then(() => step.run("then", () => slept.open())),
      ]),
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
