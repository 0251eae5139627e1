/** Waits of one run for one kind of event, side by side. Pairs of event and wait: event-pairs.test.ts; loops: loops.test.ts. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const inMs = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

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
