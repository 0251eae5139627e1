/** A server whose machine's clock is an hour off: what it signs is taken, and it takes what apps sign. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { createFunction, Rotor, serveWorkflow } from "@rotorsh/sdk";
import { Hono } from "hono";
import { expect, test } from "vitest";
import { testDatabase } from "../testing-kit/database.js";
import { eventually } from "../testing-kit/server.js";
import { apiKey, signingKey, Victim } from "../testing-kit/victim.js";

/** For `--import`: the process's time of day is so much later. */
const shifted = (ms: number): string =>
  `--import=data:text/javascript,${encodeURIComponent(`const now=Date.now;Date.now=()=>now()+(${ms})`)}`;

test.each([3_600_000, -3_600_000])("a node %d ms off runs functions, and each step once", async (ms) => {
  const database = await testDatabase();
  const victim = new Victim(database.url, database.schema, { NODE_OPTIONS: shifted(ms) });
  const ran: string[] = [];
  const steady = createFunction({ id: "steady", trigger: { event: "steady" } }, async ({ step }) => {
    const one = await step.run("one", () => ran.push("one"));
    await step.sleep("nap", "100ms");
    return [one, await step.run("two", () => ran.push("two"))];
  });
  const child = createFunction({ id: "child" }, async ({ event }) => event.ts);
  const parent = createFunction({ id: "parent" }, async ({ step }) => {
    const { result } = await step.invoke("begun", { workflow: child, data: {}, timeout: "1m" });
    return result;
  });
  const app = new Hono();
  serveWorkflow(app, { functions: [steady, child, parent], signingKey });
  const server = createServer(getRequestListener(app.fetch));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/rotor`;
  try {
    await victim.start();
    const rotor = new Rotor({ apiKey, baseUrl: victim.baseUrl });
    await rotor.functions.sync({ url });
    const { runId } = await rotor.runs.start(steady, {});
    const run = await eventually("the run's end", async () => {
      const found = await rotor.runs.get(runId);
      return found.state === "completed" && found;
    });
    expect(run.output).toEqual([1, 2]);
    expect(ran).toEqual(["one", "two"]);
    // No delivery was put off: one to the sleep, one after it.
    expect(run.deliveries?.map(({ outcome }) => outcome)).toEqual(["waiting", "completed"]);
    // The database's clock, and not that of the node which started the child.
    const { result: begunAt } = await rotor.runs.invoke(parent, {});
    expect(Math.abs(Number(begunAt) - Date.now())).toBeLessThan(60_000);
    const { functions } = await rotor.functions.check(url);
    expect(functions.find((each) => each.function === "steady")).toMatchObject({ fits: 1, errors: 0 });
  } finally {
    await victim.kill("SIGTERM");
    server.closeAllConnections();
    server.close();
    await database.close();
  }
});
