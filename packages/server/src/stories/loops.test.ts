/** Loops that wait: each event once, whenever it comes; and a race of a wait and a sleep takes the same branch in each replay. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { type TestServer, testServer } from "../testing-kit/server.js";

/** It takes some seconds; on a machine that is busy with other things, more. */
const MOST_MS = 240_000;

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const inMs = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** Sends these, by some senders who know nothing of each other, in bursts and with pauses. */
async function race(name: string, events: readonly { of: number; n: number }[], senders: number): Promise<void> {
  const left = [...events];
  const sender = async () => {
    while (left.length > 0) {
      const some = left.splice(0, 1 + Math.random() * 12);
      await server.rotor.send(some.map((data) => ({ name, data })));
      if (Math.random() < 0.3) await inMs(Math.random() * 40);
    }
  };
  await Promise.all(upTo(senders).map(sender));
}

const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);

test(
  "for (;;) { wait; handle } in ten runs gets each of 300 events, sent by racing senders, once",
  async () => {
    const loop = createFunction({ id: "handling", retries: 50 }, async ({ event, step }) => {
      const { of } = event.data as { of: number };
      const seen: number[] = [];
      for (;;) {
        const got = await step.waitForEvent<{ n: number }>("wait", { event: "work", match: { of }, timeout: "4m" });
        if (got === null || got.n === -1) return seen;
        // Sometimes long enough for more to come; sometimes there is nothing to do.
        if (got.n % 3 !== 0) await step.run("handle", () => inMs(got.n % 7));
        seen.push(got.n);
      }
    });
    let dice = 0;
    await faultyApp(server, "handling", [loop], {
      checkpoint: () => (++dice % 29 === 0 ? "lost" : dice % 31 === 0 ? "both" : "none"),
      delivery: () => (++dice % 37 === 0 ? "answer lost" : "none"),
    });
    const runs = await Promise.all(upTo(10).map((of) => server.rotor.runs.start(loop, { of })));
    // The events of all runs, mixed; the first come before the first wait does.
    await race(
      "work",
      upTo(300).map((n) => ({ of: n % 10, n })),
      4,
    );
    await server.rotor.send(upTo(10).map((of) => ({ name: "work", data: { of, n: -1 } })));
    const seen = await Promise.all(
      runs.map(({ runId }) => server.rotor.runs.result<number[]>(runId, { timeout: "4m" })),
    );
    expect(seen.map(sorted)).toEqual(upTo(10).map((of) => upTo(30).map((n) => n * 10 + of)));
  },
  MOST_MS,
);

/** With a thousand, and kills: `npm run faults -- pairs`. */
test(
  "for (;;) { wait; handle } in one run gets each of 300 events, sent by racing senders, once",
  async () => {
    const loop = createFunction({ id: "endless" }, async ({ step }) => {
      const seen: number[] = [];
      while (seen.length < 300) {
        const got = await step.waitForEvent<{ n: number }>("wait", { event: "endless", timeout: "4m" });
        if (got === null) break;
        seen.push(got.n);
        if (seen.length % 10 === 0) await step.run("handle", () => undefined);
      }
      return seen;
    });
    await faultyApp(server, "endless", [loop]);
    const { runId } = await server.rotor.runs.start(loop, {});
    await race(
      "endless",
      upTo(300).map((n) => ({ of: 0, n })),
      3,
    );
    expect(sorted(await server.rotor.runs.result<number[]>(runId, { timeout: "4m" }))).toEqual(upTo(300));
  },
  MOST_MS,
);

test(
  "a race of a wait and a sleep, in a loop, takes the branches of the first time in each replay",
  async () => {
    /** What each delivery of a run saw, turn by turn. */
    const replays = new Map<string, string[][]>();
    const racing = createFunction({ id: "racing", retries: 100 }, async ({ step, runId }) => {
      const branches: string[] = [];
      replays.set(runId, [...(replays.get(runId) ?? []), branches]);
      for (let n = 0; n < 12; n++) {
        const branch = await Promise.race([
          step.waitForEvent<number>("wait", { event: "maybe", timeout: "1h" }).then((data) => `event ${data}`),
          step.sleep("sleep", "25ms").then(() => "sleep"),
        ]);
        branches.push(branch);
        // What it does depends on the branch: another one would ask for other steps.
        await step.run(branch === "sleep" ? "poll" : "handle", () => branch);
      }
      return branches;
    });
    let dice = 0;
    await faultyApp(server, "racing", [racing], {
      checkpoint: () => (++dice % 7 === 0 ? "lost" : "none"),
      // A delivery that is over at once is a replay at once.
      delivery: () => (++dice % 3 === 0 ? "crash" : "none"),
      afterMs: () => Math.random() * 30,
    });
    const runs = await Promise.all(upTo(10).map(() => server.rotor.runs.start(racing, {})));
    let over = false;
    const sender = (async () => {
      for (let n = 0; !over; n++) {
        await inMs(Math.random() * 40);
        await server.rotor.send({ name: "maybe", data: n });
      }
    })();
    const ends = await Promise.all(
      runs.map(({ runId }) => server.rotor.runs.result<string[]>(runId, { timeout: "4m" })),
    );
    over = true;
    await sender;
    for (const [n, { runId }] of runs.entries()) {
      const seen = replays.get(runId)!;
      expect(seen.length).toBeGreaterThan(12);
      // Each delivery went the way of the run's end as far as it came.
      for (const branches of seen) expect(branches).toEqual(ends[n]!.slice(0, branches.length));
    }
    expect(new Set(ends.flat()).size).toBeGreaterThan(2);
  },
  MOST_MS,
);
