import { describe, expect, test } from "vitest";
import { NonRetriableError, type StepError } from "./errors.js";
import type { Step } from "./step.js";
import { gate, keysOf, peerFor, reportsOf } from "./testing-kit/peer-for.js";

describe("steps one after another", () => {
  test("cost one checkpoint each, and a step starts only when the one before it is stored", async () => {
    const order: string[] = [];
    const peer = await peerFor(async ({ step }) => {
      const a = await step.run("a", () => order.push("a runs"));
      const b = await step.run("b", () => a + order.push("b runs"));
      return b + 1;
    });
    peer.recorded = (reports) => void order.push(`${reports[0]!.key} stored`);
    expect(await peer.deliver(peer.create("f"))).toMatchObject({ status: "completed", output: 5 });
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
    expect(await peer.deliver(run)).toMatchObject({
      status: "waiting",
      reports: [{ kind: "sleep", key: "nap", delay_ms: 3_600_000 }],
    });
    expect(await peer.finish(run)).toMatchObject({
      status: "completed",
      output: { n: 1, at: "1970-01-01T00:00:00.000Z" },
    });
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
