/** Apps and servers that stop in the middle of runs: nothing is lost, and no step runs twice. */
import { createFunction, Rotor, type RotorFunction } from "@rotorsh/sdk";
import { expect, test } from "vitest";
import { startRotor } from "../main.js";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, testConfig, testServer } from "../testing-kit/server.js";

/** A function of five steps of some milliseconds each, and how often each step of each run was carried out. */
function counted(id: string, retries = 0) {
  const counts = new Map<string, number>();
  const fn = createFunction({ id, retries }, async ({ step, runId }) => {
    for (let n = 0; n < 5; n++) {
      await step.run(`s${n}`, async () => {
        const place = `${runId}/${n}`;
        counts.set(place, (counts.get(place) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 20));
      });
    }
    return "done";
  });
  return { fn: fn as RotorFunction, counts };
}

test("apps that shut down in the middle of 50 runs cost no run an attempt, and no step runs twice", async () => {
  const server = await testServer();
  const { fn, counts } = counted("drained");
  let app = await faultyApp(server, "drained", [fn]);
  const runs = await Promise.all(Array.from({ length: 50 }, () => server.rotor.runs.start("drained", {})));
  for (const some of [10, 80, 150]) {
    await eventually(`${some} steps`, () => counts.size >= some);
    await app.handler.drain();
    app = await faultyApp(server, "drained", [fn], {}, true);
    // Those who came to the app that was leaving wait for it for two seconds, which are over.
    await server.db.script(
      `update rotor.queues set open_at = '-infinity';
       update rotor.jobs set due_at = rotor.clock() where state = 'waiting' and due_at < rotor.clock() + interval '5 seconds'`,
    );
    await app.sync();
  }
  const ends = await Promise.all(runs.map(({ runId }) => server.rotor.runs.result(runId, { timeout: "20s" })));
  expect(new Set(ends)).toEqual(new Set(["done"]));
  expect([...counts.values()].filter((count) => count !== 1)).toEqual([]);
  expect(counts.size).toBe(250);
  await server.close();
});

test("a server that stops in the middle of runs lets the running steps end, and the next one goes on", async () => {
  const server = await testServer();
  const { fn, counts } = counted("handed-over");
  // The app speaks with whichever server delivered: its checkpoints go to the address in the delivery.
  await faultyApp(server, "handed-over", [fn], { direct: true });
  const runs = await Promise.all(Array.from({ length: 50 }, () => server.rotor.runs.start("handed-over", {})));
  await eventually("some steps", () => counts.size >= 60);
  await server.stop();
  const { rows } = await server.db.script("select 1 from rotor.deliveries where outcome = 'yield'");
  expect(rows.length).toBeGreaterThan(0);
  const next = await startRotor(testConfig(server));
  const rotor = new Rotor({ baseUrl: next.url });
  const ends = await Promise.all(runs.map(({ runId }) => rotor.runs.result(runId, { timeout: "20s" })));
  expect(new Set(ends)).toEqual(new Set(["done"]));
  expect([...counts.values()].filter((count) => count !== 1)).toEqual([]);
  expect(counts.size).toBe(250);
  await next.stop();
  await server.close();
});
