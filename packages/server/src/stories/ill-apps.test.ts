/** Steps that end their app's process, or never end: each costs its own run its attempts, and the app's other runs go on. */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

const program = fileURLToPath(new URL("./testing-kit/ill-app.mjs", import.meta.url));

let server: TestServer;
let app: ChildProcess;
let starts = 0;
let over = false;

/** Starts the app, and again whenever it has ended, as whoever looks after processes does. */
function keep(port: number): Promise<void> {
  starts++;
  app = spawn(process.execPath, [program, String(port)], { stdio: ["ignore", "pipe", "ignore"] });
  app.once("exit", () => {
    if (!over) void keep(port);
  });
  return new Promise((resolve) => app.stdout!.once("data", () => resolve()));
}

beforeAll(async () => {
  server = await testServer();
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as AddressInfo;
  await new Promise((resolve) => taken.close(resolve));
  await keep(port);
  await server.rotor.functions.sync({ url: `http://127.0.0.1:${port}/api/rotor` });
  const backoff = JSON.stringify({ kind: "fixed", factor: 1, minMs: 10, maxMs: 10, jitter: "none", listMs: [] });
  await server.db.script(`update rotor.queues set backoff = '${backoff}' where kind = 'function'`);
});
afterAll(async () => {
  over = true;
  app.kill("SIGKILL");
  await server.close();
});

test("a step that never ends is ended by its time limit", async () => {
  const { runId } = await server.rotor.runs.start("never");
  await expect(server.rotor.runs.result(runId, { timeout: "20s" })).rejects.toThrow(/300ms|300 ms|time/i);
});

test.each(["exits", "rejects"])("a step that %s takes its process along, fails its run, and no other", async (id) => {
  const before = starts;
  const { runId } = await server.rotor.runs.start(id);
  const run = await eventually(
    "its end",
    async () => {
      const found = await server.rotor.runs.get(runId);
      return found.finishedAt !== null && found;
    },
    25_000,
  );
  expect([run.state, run.error?.name]).toEqual(["failed", "ConnectionLostError"]);
  // Once for each attempt, and no more.
  expect(starts - before).toBe(2);
  const good = await server.rotor.runs.start("good");
  expect(await server.rotor.runs.result(good.runId, { timeout: "20s" })).toBe("well");
});
