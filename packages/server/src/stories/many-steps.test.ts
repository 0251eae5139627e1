/** Runs of many steps: each costs what the first did, and there is an end to how many there may be. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestServer, testServer } from "../testing-kit/server.js";
import { type ProxiedApp, proxiedApp } from "./testing-kit/strict-proxy.js";

let server: TestServer;
let proxy: ProxiedApp;

const padded = (n: number): string => `s${String(n).padStart(5, "0")}`;
const loop = (id: string, config: { readonly maxSteps?: number } = {}) =>
  createFunction({ id, retries: 3, ...config }, async ({ event, step }) => {
    const { steps, atOnce } = event.data;
    const one = (_: unknown, n: number) => step.run(padded(n), () => 1);
    if (atOnce) return (await Promise.all(Array.from({ length: steps }, one))).length;
    let sum = 0;
    for (let n = 0; n < steps; n++) sum += await one(undefined, n);
    return sum;
  });
const loops = [loop("plain"), loop("few", { maxSteps: 10 }), loop("many", { maxSteps: 1_200 })];

beforeAll(async () => {
  server = await testServer();
  proxy = await proxiedApp(server, "loops", loops, Number.POSITIVE_INFINITY);
});
afterAll(async () => {
  await proxy.close();
  await server.close();
});

const run = async (fn: string, steps: number, atOnce = true) => {
  const { runId } = await server.rotor.runs.start(fn, { steps, atOnce });
  return server.rotor.runs.result(runId, { timeout: "55s" });
};

test("a checkpoint of step 1,000 is as long as that of step 1, and so is its reply; none is needed between", async () => {
  expect(await run("plain", 1_000, false)).toBe(1_000);
  const sizes = (what: string): number[] =>
    proxy.passages.filter((each) => each.what === what && each.path.endsWith("/checkpoints")).map(({ bytes }) => bytes);
  const [reports, replies] = [sizes("report"), sizes("reply")];
  // A sign of life may come between.
  expect(reports.length).toBeGreaterThanOrEqual(1_000);
  expect(reports.length).toBeLessThan(1_050);
  // What may differ is the digits of a duration or a place in the order.
  expect(Math.max(...reports) - reports[0]!).toBeLessThan(20);
  expect(Math.max(...replies) - replies[0]!).toBeLessThan(20);
  expect(proxy.passages.filter(({ what, method }) => what === "delivery" && method === "POST")).toHaveLength(1);
}, 60_000);

test("a run that asks for more steps than its function allows fails, and says what to do", async () => {
  await expect(run("few", 11)).rejects.toMatchObject({
    cause: { message: expect.stringContaining("more than 10 steps: give part of the work to a run of its own") },
  });
  await expect(run("plain", 1_001)).rejects.toMatchObject({
    cause: { message: expect.stringContaining("or let its function have more by maxSteps (at most 10000)") },
  });
});

test("with maxSteps a run may have more than a thousand", async () => {
  expect(await run("few", 10)).toBe(10);
  expect(await run("many", 1_100)).toBe(1_100);
});
