/** Events before, during and after the wait for them: none is missed, none counts twice. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const inMs = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test("of 200 pairs of a wait and its event, at random offsets, none is missed or doubled", async () => {
  const begun = new Map<number, () => void>();
  const pair = createFunction({ id: "pair" }, async ({ event, step }) => {
    const { n } = event.data as { n: number };
    await step.run("send", () => begun.get(n)!());
    const first = await step.waitForEvent<{ n: number; at: number }>("w", {
      event: "ping",
      match: { n },
      timeout: "1m",
    });
    const second = await step.waitForEvent("again", { event: "ping", match: { n }, timeout: "50ms" });
    return [first?.n, second];
  });
  await faultyApp(server, "pairs", [pair]);
  const ends = Array.from({ length: 200 }, async (_, n) => {
    const started = new Promise<void>((resolve) => begun.set(n, resolve));
    const { runId } = await server.rotor.runs.start(pair, { n });
    await started;
    await inMs(Math.random() * 300);
    await server.rotor.send({ name: "ping", data: { n, at: n } });
    return server.rotor.runs.result(runId, { timeout: "25s" });
  });
  expect(await Promise.all(ends)).toEqual(Array.from({ length: 200 }, (_, n) => [n, null]));
});

test("a loop that waits and handles gets 200 events, sent at every moment, each once", async () => {
  const loop = createFunction({ id: "loop", retries: 50 }, async ({ step }) => {
    const seen: number[] = [];
    while (seen.length < 200) {
      const got = await step.waitForEvent<{ n: number }>("w", { event: "tick", timeout: "20s" });
      if (got === null) break;
      seen.push(got.n);
      if (seen.length % 3 !== 0) await step.run("handle", () => got.n);
    }
    return seen;
  });
  let fault = 0;
  await faultyApp(server, "loops", [loop], {
    checkpoint: () => (++fault % 17 === 0 ? "lost" : fault % 11 === 0 ? "both" : "none"),
    delivery: () => (++fault % 13 === 0 ? "answer lost" : "none"),
  });
  const { runId } = await server.rotor.runs.start(loop, {});
  await eventually("the wait", async () => (await server.rotor.runs.get(runId)).reason === "event");
  for (let n = 0; n < 200; n++) {
    await server.rotor.send({ name: "tick", data: { n } });
    if (n % 5 === 0) await inMs(Math.random() * 30);
  }
  const seen = (await server.rotor.runs.result(runId, { timeout: "25s" })) as number[];
  expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, n) => n));
});

test("two waits of one run never share an event", async () => {
  const both = createFunction({ id: "both" }, async ({ event, step }) => {
    const { of } = event.data as { of: string };
    const waits = ["a", "b", "c"].map((id) =>
      step.waitForEvent<{ n: number }>(id, { event: "shared", match: { of }, timeout: "20s" }),
    );
    return (await Promise.all(waits)).map((got) => got?.n ?? null).sort();
  });
  await faultyApp(server, "shared", [both]);
  const ends = Array.from({ length: 20 }, async (_, run) => {
    const of = `run ${run}`;
    const { runId } = await server.rotor.runs.start(both, { of });
    for (const n of [1, 2, 3]) {
      await inMs(Math.random() * 40);
      await server.rotor.send({ name: "shared", data: { of, n } });
    }
    return server.rotor.runs.result(runId, { timeout: "25s" });
  });
  expect(await Promise.all(ends)).toEqual(Array.from({ length: 20 }, () => [1, 2, 3]));
});

test("a race of a wait and a sleep, in a loop, takes the branches of the first time in each replay", async () => {
  const taken = new Map<string, string>();
  const changed: string[] = [];
  const race = createFunction({ id: "race", retries: 100 }, async ({ step, runId }) => {
    const branches: string[] = [];
    for (let n = 0; n < 8; n++) {
      const branch = await Promise.race([
        step.waitForEvent("w", { event: "maybe", timeout: "1m" }).then(() => "event"),
        step.sleep("z", "25ms").then(() => "sleep"),
      ]);
      const place = `${runId}/${n}`;
      if ((taken.get(place) ?? branch) !== branch) changed.push(place);
      taken.set(place, branch);
      branches.push(branch);
      await step.run("handle", () => branch);
    }
    return branches;
  });
  let fault = 0;
  await faultyApp(server, "races", [race], {
    checkpoint: () => (++fault % 7 === 0 ? "lost" : "none"),
    delivery: () => (++fault % 5 === 0 ? "crash" : "none"),
    afterMs: () => Math.random() * 30,
  });
  const runs = await Promise.all(Array.from({ length: 10 }, () => server.rotor.runs.start(race, {})));
  let over = false;
  const sender = (async () => {
    while (!over) {
      await inMs(Math.random() * 40);
      await server.rotor.send({ name: "maybe", data: {} });
    }
  })();
  const ends = await Promise.all(
    runs.map(({ runId }) => server.rotor.runs.result<string[]>(runId, { timeout: "25s" })),
  );
  over = true;
  await sender;
  expect(changed).toEqual([]);
  for (const [n, { runId }] of runs.entries())
    expect(ends[n]).toEqual(ends[n]!.map((_, i) => taken.get(`${runId}/${i}`)));
});
