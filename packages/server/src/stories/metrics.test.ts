/** What Prometheus reads: what was delivered and how, what waits, and nothing of anybody's data. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { testApi } from "../http/testing-kit/api.js";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const read = async (): Promise<string> => (await fetch(`${server.baseUrl}/metrics`)).text();

test("deliveries, steps, events and the backlog are counted, by queue", async () => {
  const { rotor } = server;
  const url = await server.serve((request, response) => {
    request.resume().once("end", () => response.writeHead(request.url === "/bad" ? 410 : 200).end());
  });
  await rotor.queues.create("good", { callbackUrl: `${url}/good`, concurrency: 7 });
  await rotor.queues.create("bad", { callbackUrl: `${url}/bad` });
  await rotor.queues.create("later", {});
  const greet = createFunction({ id: "greet", trigger: { event: "hello" } }, async ({ step }) => {
    await step.run("one", () => "only-a-result");
  });
  await faultyApp(server, "metrics", [greet]);
  await rotor.jobs.enqueue("good", { payload: "only-a-payload" });
  await rotor.jobs.enqueue("bad", { payload: 1 });
  await rotor.jobs.enqueue("later", { payload: 1 });
  await rotor.send({ name: "hello", data: 1 });
  const has = (text: string, line: RegExp): boolean => line.test(text);
  const text = await eventually("the counts", async () => {
    const now = await read();
    const all =
      has(now, /^rotor_deliveries_total\{[^}]*destination_name="good"[^}]*outcome="completed"[^}]*\} 1$/m) &&
      has(now, /^rotor_deliveries_total\{[^}]*destination_name="bad"[^}]*outcome="failed"[^}]*\} 1$/m) &&
      has(now, /^rotor_deliveries_total\{[^}]*destination_name="greet"[^}]*outcome="completed"[^}]*\} 1$/m);
    return all && now;
  });
  for (const line of [
    /^messaging_process_duration_seconds_count\{[^}]*destination_name="good"[^}]*\} 1$/m,
    /^rotor_delivery_wait_seconds_bucket\{le="\+Inf",[^}]*destination_name="bad"[^}]*\} 1$/m,
    /^rotor_steps_total\{[^}]*destination_name="greet"[^}]*kind="run",rotor_step_state="completed"\} 1$/m,
    /^rotor_step_duration_seconds_count\{[^}]*destination_name="greet"[^}]*\} 1$/m,
    /^messaging_client_published_messages_total\{rotor_workspace="default"\} 1$/m,
    /^rotor_event_effects_total\{rotor_workspace="default",rotor_effect="started"\} 1$/m,
    /^rotor_jobs\{[^}]*destination_name="later"[^}]*state="due"\} 1$/m,
    /^rotor_jobs\{[^}]*destination_name="bad"[^}]*state="failed"\} 1$/m,
    /^rotor_concurrency_limit\{[^}]*destination_name="good"[^}]*\} 7$/m,
    /^rotor_oldest_due_seconds\{[^}]*destination_name="later"[^}]*\} \d/m,
    /^rotor_nodes 1$/m,
    /^rotor_db_connections\{rotor_pool="hot",rotor_state="waited_for"\} 0$/m,
    /^process_cpu_seconds_total \d/m,
  ])
    expect(text).toMatch(line);
  expect(text).not.toMatch(/only-a/);
  // One that is gone is told no more.
  await rotor.queues.drain("later", { confirm: true });
  await rotor.queues.delete("later");
  expect(await read()).not.toContain("later");
});

test("they tell of all workspaces, so a key needs that scope", async () => {
  const api = await testApi();
  const asked = async (...scopes: ("admin" | "workspaces")[]) =>
    (await (await api.as("default", scopes))("GET", "/metrics")).status;
  expect([await asked("admin"), await asked("workspaces")]).toEqual([403, 200]);
  expect((await api.anonymous("GET", "/metrics")).status).toBe(401);
  await api.close();
});
