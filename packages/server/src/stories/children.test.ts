/** Runs that start others: how each end of a child reaches its parent. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const nameOf = (error: Error): string => error.name;

/** The id of the run of this function that waits. */
const waitingRun = (fn: string): Promise<string> =>
  eventually(`a waiting run of ${fn}`, async () => {
    const { data } = await server.rotor.runs.list({ function: fn }).page();
    return data.find((run) => run.state === "waiting" && run.reason === "event")?.id;
  });

test("a parent learns that its child failed, and why", async () => {
  const child = createFunction({ id: "failing-child", retries: 0 }, async ({ step }) =>
    step.run("s", () => Promise.reject(new TypeError("broken")), { retries: 0 }),
  );
  const parent = createFunction({ id: "parent-of-failing" }, async ({ step }) =>
    step
      .invoke("c", { workflow: child, data: {}, timeout: "1m" })
      .catch((error: Error) => [error.name, (error.cause as Error).name, error.message]),
  );
  await faultyApp(server, "failing", [child, parent]);
  const { runId } = await server.rotor.runs.start(parent, {});
  const told = await server.rotor.runs.result<string[]>(runId, { timeout: "20s" });
  expect(told.slice(0, 2)).toEqual(["WorkflowFailedError", "StepError"]);
  expect(told[2]).toMatch(/broken/);
});

test("a parent learns that its child was cancelled", async () => {
  const child = createFunction({ id: "cancelled-child" }, async ({ step }) =>
    step.waitForEvent("w", { event: "never", timeout: "1h" }),
  );
  const parent = createFunction({ id: "parent-of-cancelled" }, async ({ step }) =>
    step.invoke("c", { workflow: child, data: {}, timeout: "1m" }).catch(nameOf),
  );
  await faultyApp(server, "cancelling", [child, parent]);
  const { runId } = await server.rotor.runs.start(parent, {});
  await server.rotor.runs.cancel(await waitingRun(child.id));
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toBe("WorkflowCancelledError");
});

test("at the timeout the parent goes on, and so does the child", async () => {
  const child = createFunction({ id: "slow-child" }, async ({ step }) =>
    step.waitForEvent("w", { event: "finish", timeout: "1h" }),
  );
  const parent = createFunction({ id: "impatient" }, async ({ step }) =>
    step.invoke("c", { workflow: child, data: {}, timeout: "50ms" }).catch(nameOf),
  );
  await faultyApp(server, "impatience", [child, parent]);
  const { runId } = await server.rotor.runs.start(parent, {});
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toBe("WorkflowTimeoutError");
  const childId = await waitingRun(child.id);
  await server.rotor.send({ name: "finish", data: "well" });
  expect(await server.rotor.runs.result(childId, { timeout: "20s" })).toBe("well");
});

test("a child whose parent was cancelled goes on", async () => {
  const child = createFunction({ id: "orphan" }, async ({ step }) =>
    step.waitForEvent("w", { event: "grown-up", timeout: "1h" }),
  );
  const parent = createFunction({ id: "gone" }, async ({ step }) =>
    step.invoke("c", { workflow: child, data: {}, timeout: "1h" }),
  );
  await faultyApp(server, "orphans", [child, parent]);
  const { runId } = await server.rotor.runs.start(parent, {});
  const childId = await waitingRun(child.id);
  await server.rotor.runs.cancel(runId);
  await server.rotor.send({ name: "grown-up", data: 18 });
  expect(await server.rotor.runs.result(childId, { timeout: "20s" })).toBe(18);
  expect((await server.rotor.runs.get(runId)).state).toBe("cancelled");
});

test("a callback job that a step enqueues may take turns with others", async () => {
  await server.rotor.queues.create("turns", {});
  const fn = createFunction({ id: "taking-turns" }, async ({ step }) =>
    step.enqueue("e", "turns", { payload: 1, concurrencyKey: "account 1", keyOrder: "strict" }),
  );
  await faultyApp(server, "taking-turns", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  const { id } = await server.rotor.runs.result<{ id: string }>(runId, { timeout: "20s" });
  expect((await server.rotor.jobs.get("turns", id)).concurrencyKey).toBe("account 1");
});

test("a callback job that is waited for and fails is thrown", async () => {
  const url = await server.serve((_, response) => response.writeHead(410).end());
  await server.rotor.queues.create("refuses", { callbackUrl: url });
  const fn = createFunction({ id: "delegating" }, async ({ step }) =>
    step.enqueue("e", "refuses", { payload: 1 }, { wait: true }).catch(nameOf),
  );
  await faultyApp(server, "delegating", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toBe("WorkflowFailedError");
});

test("invokes may nest, within one function of which only one runs at a time", async () => {
  const nested = createFunction({ id: "nested", concurrency: 1 }, async ({ event, step }): Promise<number> => {
    const depth = event.data.depth as number;
    if (depth === 0) return 1;
    const inner = await step.invoke<number>("inner", {
      workflow: "nested",
      data: { depth: depth - 1 },
      timeout: "1m",
    });
    return inner.result + 1;
  });
  await faultyApp(server, "nesting", [nested]);
  const { runId } = await server.rotor.runs.start(nested, { depth: 5 });
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toBe(6);
});

test("a hundred children at once all answer, each once", async () => {
  const runs: number[] = [];
  const square = createFunction({ id: "squares" }, async ({ event, step }) =>
    step.run("s", () => {
      runs.push(event.data.n);
      return event.data.n ** 2;
    }),
  );
  const fan = createFunction({ id: "fan" }, async ({ step }) => {
    const parts = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        step.invoke<number>("c", { workflow: "squares", data: { n }, timeout: "1m" }),
      ),
    );
    return parts.reduce((sum, { result }) => sum + result, 0);
  });
  await faultyApp(server, "fans", [square, fan]);
  const { runId } = await server.rotor.runs.start(fan, {});
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toBe(328_350);
  expect(runs).toHaveLength(100);
});
