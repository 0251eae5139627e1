import { describe, expect, test } from "vitest";
import type { Report } from "./protocol.js";
import type { Step } from "./step.js";
import { gate, keysOf, peerFor } from "./testing-kit/peer-for.js";

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
    const isBad = (report: Report) =>
      report.key === "send" || (report.kind === "run" && report.key === "bad" && report.outcome === "completed");
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
