/** What people do to runs: retry, replay, cancel, and let a held one go on after its code was mended. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const post = async (path: string, body: unknown = {}): Promise<unknown> => {
  const response = await fetch(`${server.baseUrl}/v1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect([response.status, path]).toEqual([response.status < 300 ? response.status : "2xx", path]);
  return response.json();
};

test("a retry of a failed run runs what failed again, and nothing that had finished", async () => {
  const counts = { first: 0, second: 0, third: 0 };
  let mended = false;
  const fn = createFunction({ id: "retried", retries: 0 }, async ({ step }) => {
    const first = await step.run("first", () => ++counts.first);
    await step.run("second", () => {
      counts.second += 1;
      if (!mended) throw new Error("not yet");
    });
    await step.run("third", () => ++counts.third);
    return first;
  });
  await faultyApp(server, "retries", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  await expect(server.rotor.runs.result(runId, { timeout: "20s" })).rejects.toMatchObject({
    name: "WorkflowFailedError",
  });
  mended = true;
  await post(`/runs/${runId}/retry`);
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toBe(1);
  expect(counts).toEqual({ first: 1, second: 2, third: 1 });
});

test("a retry gives a wait that timed out another chance", async () => {
  const fn = createFunction({ id: "waits-again", retries: 0 }, async ({ step }) => {
    await step.run("before", () => 1);
    return step.waitForSignal("s", { signal: "again", timeout: "30ms" });
  });
  await faultyApp(server, "waits-again", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  await expect(server.rotor.runs.result(runId, { timeout: "20s" })).rejects.toMatchObject({
    cause: { name: "SignalTimeoutError" },
  });
  await post(`/runs/${runId}/retry`);
  await expect(server.rotor.runs.result(runId, { timeout: "20s" })).rejects.toMatchObject({
    cause: { name: "SignalTimeoutError" },
  });
});

test("a replay from a step keeps the results before it, with the events that they consumed", async () => {
  const counts = new Map<string, number>();
  const fn = createFunction({ id: "replayed" }, async ({ event, step, runId }) => {
    const count = (id: string) => counts.set(`${runId}/${id}`, (counts.get(`${runId}/${id}`) ?? 0) + 1);
    const first = await step.run("first", () => {
      count("first");
      return "kept";
    });
    const got = await step.waitForEvent<{ n: number }>("w", { event: "for-replay", timeout: "1m" });
    await step.run("second", () => void count("second"));
    return [first, got?.n, event.data.n];
  });
  await faultyApp(server, "replays", [fn]);
  const { runId } = await server.rotor.runs.start(fn, { n: 1 });
  await server.rotor.send({ name: "for-replay", data: { n: 7 } });
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toEqual(["kept", 7, 1]);
  const { run_id: again } = (await post(`/runs/${runId}/replay`, { from_step: "second", input: { n: 2 } })) as {
    run_id: string;
  };
  expect(await server.rotor.runs.result(again, { timeout: "20s" })).toEqual(["kept", 7, 2]);
  expect([counts.get(`${again}/first`), counts.get(`${again}/second`)]).toEqual([undefined, 1]);
});

test("a run whose code has diverged is held, says why, and goes on after the code was mended", async () => {
  const makes = { broken: false };
  const fn = createFunction({ id: "diverging", retries: 0 }, async ({ step }) => {
    await step.run("first", () => 1);
    if (makes.broken) return step.sleep("w", "1h").then(() => null);
    return step.waitForEvent<{ n: number }>("w", { event: "mended", timeout: "1h" });
  });
  await faultyApp(server, "diverging", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  await eventually("the wait", async () => (await server.rotor.runs.get(runId)).reason === "event");
  makes.broken = true;
  await server.rotor.send({ name: "mended", data: { n: 5 } });
  const held = await eventually("the hold", async () => {
    const run = await server.rotor.runs.get(runId);
    return run.reason === "held" && run;
  });
  expect(JSON.stringify(held)).toMatch(/w is recorded as event/);
  makes.broken = false;
  await post(`/runs/${runId}/resume`);
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toEqual({ n: 5 });
});

test("a run that no longer reaches a wait is held, and keeps what arrives meanwhile", async () => {
  const makes = { broken: false };
  const fn = createFunction({ id: "unreaching", retries: 0 }, async ({ step }) => {
    if (makes.broken) return "ended early";
    const [got] = await Promise.all([
      step.waitForEvent<{ n: number }>("w", { event: "late", timeout: "1h" }),
      step.waitForEvent("other", { event: "poke", timeout: "1h" }),
    ]);
    return got?.n;
  });
  await faultyApp(server, "unreaching", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  await eventually("the wait", async () => (await server.rotor.runs.get(runId)).reason === "event");
  makes.broken = true;
  await server.rotor.send({ name: "poke", data: {} });
  await eventually("the hold", async () => (await server.rotor.runs.get(runId)).reason === "held");
  await server.rotor.send({ name: "late", data: { n: 3 } });
  makes.broken = false;
  await post(`/runs/${runId}/resume`);
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toBe(3);
});

test("a cancel aborts the signal of the running step, and the run stays cancelled", async () => {
  let begun = () => {};
  const started = new Promise<void>((resolve) => (begun = resolve));
  let ended: (reason: unknown) => void = () => {};
  const aborted = new Promise((resolve) => (ended = resolve));
  let after = 0;
  const fn = createFunction({ id: "cancelled" }, async ({ step }) => {
    await step.run("long", ({ signal }) => {
      begun();
      return new Promise<void>((_, reject) => {
        signal.addEventListener("abort", () => {
          ended(signal.reason);
          reject(signal.reason);
        });
      });
    });
    await step.run("after", () => ++after);
  });
  await faultyApp(server, "cancels", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  await started;
  await server.rotor.runs.cancel(runId);
  expect(await aborted).toMatchObject({ name: "AbortError" });
  expect([(await server.rotor.runs.get(runId)).state, after]).toEqual(["cancelled", 0]);
});

test("a job that needs approval is delivered after it, and fails when it is rejected", async () => {
  const bodies: string[] = [];
  const url = await server.serve(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    bodies.push(body);
    response.end();
  });
  await server.rotor.queues.create("careful", { callbackUrl: url, approvalRequired: true });
  const fn = createFunction({ id: "asks" }, async ({ step }) =>
    Promise.all(
      ["yes", "no"].map((answer) =>
        step.enqueue(answer, "careful", { payload: answer }, { wait: true }).then(
          () => "done",
          (error: Error) => error.name,
        ),
      ),
    ),
  );
  await faultyApp(server, "asks", [fn]);
  const { runId } = await server.rotor.runs.start(fn, {});
  const jobs = await eventually("both jobs", async () => {
    const { data } = await server.rotor.jobs.list("careful", { state: "pending_approval" }).page();
    return data.length === 2 && data;
  });
  // Ids are made in the order of the code.
  const [yes, no] = jobs.map(({ id }) => id).sort();
  await post(`/approvals/${yes}/approve`);
  await post(`/approvals/${no}/reject`);
  expect(await server.rotor.runs.result(runId, { timeout: "20s" })).toEqual(["done", "WorkflowFailedError"]);
  expect(bodies).toEqual(['"yes"']);
});
