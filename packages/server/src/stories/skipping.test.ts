/** A person who develops a workflow does not wait for its sleeps. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const post = (path: string, body: object) =>
  fetch(`${server.baseUrl}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

test("a run that sleeps for a month goes on as if the month had passed, and no other step is skipped", async () => {
  const sleeper = createFunction({ id: "sleeper" }, async ({ step }) => {
    const before = await step.run("before", () => "before");
    await step.sleep("month", "30d");
    await step.waitForSignal("signal", { signal: "go", timeout: "1h" });
    return `${before}, after`;
  });
  await faultyApp(server, "skipping", [sleeper]);
  const { runId } = await server.rotor.runs.start("sleeper", null);
  const reason = async () => (await server.rotor.runs.get(runId)).reason;
  await eventually("the sleep", async () => (await reason()) === "sleeping");
  expect((await post(`/v1/runs/${runId}/skip`, { step: "before" })).status).toBe(409);
  expect((await post(`/v1/runs/${runId}/skip`, { step: "month" })).status).toBe(200);
  await eventually("the signal", async () => (await reason()) === "signal");
  expect((await post(`/v1/runs/${runId}/skip`, { step: "signal" })).status).toBe(409);
  expect((await post(`/v1/runs/${runId}/skip`, { step: "month" })).status).toBe(409);
  await server.rotor.signals.complete("go", 1);
  expect(await server.rotor.runs.result(runId)).toBe("before, after");
});
