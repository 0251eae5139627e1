/** One tenant's backlog starves nobody: neither another workspace nor another queue. */
import { Rotor } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { limits } from "../core/limits.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

test("a workspace with a backlog of slow jobs without limit leaves room for another's", async () => {
  const waiting: (() => void)[] = [];
  const slow = await server.serve((request, response) => {
    request.resume();
    waiting.push(() => response.end());
  });
  const quick = await server.serve((request, response) => {
    request.resume().on("end", () => response.end("ok"));
  });
  // More than a node takes in hand, over many queues, none with a limit of its own.
  for (let n = 0; n < 20; n++) {
    await server.rotor.queues.create(`backlog-${n}`, { callbackUrl: slow, concurrency: null, timeout: "5m" });
    await server.rotor.jobs.enqueueBatch(
      `backlog-${n}`,
      Array.from({ length: 60 }, () => ({ payload: {} })),
    );
  }
  const active = async (): Promise<number> =>
    (await server.db.script("select count(*)::int as count from rotor.jobs where state = 'active'")).rows[0].count;
  await eventually("the backlog to take all it may", async () => (await active()) >= limits.inFlightPerWorkspace);
  const { key } = await server.rotor.workspaces.create("quiet");
  const other = new Rotor({ baseUrl: server.baseUrl, apiKey: key });
  await other.queues.create("quick", { callbackUrl: quick });
  const { id } = await other.jobs.enqueue("quick", {});
  const job = await eventually("the other's job to be done", async () => {
    const found = await other.jobs.get("quick", id);
    return found.state === "completed" && found;
  });
  expect(job.attempt).toBe(1);
  expect(waiting.length).toBeGreaterThan(0);
  const { rows } = await server.db.script("select count(*)::int as count from rotor.jobs where state = 'waiting'");
  expect(rows[0].count).toBeGreaterThan(0);
  await server.db.script("update rotor.queues set paused_at = rotor.clock() where name like 'backlog%'");
  const ended = eventually("what is in hand to end", async () => {
    for (const end of waiting.splice(0)) end();
    return (await active()) === 0;
  });
  await ended;
});
