/** One trace from whoever sends an event, through the run's deliveries and steps, to all that they start. */
import { createFunction, type RotorFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { faultyApp } from "../testing-kit/faulty-app.js";
import { eventually, type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
const traceOf = (text: string | undefined): string => text!.split("-")[1]!;

const post = (path: string, body: unknown, headers: Record<string, string> = { traceparent }) =>
  fetch(`${server.baseUrl}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

/** By what was delivered: the traceparents that it saw. */
const seen = new Map<string, string[]>();
const note = (who: string, what: string | undefined) => seen.set(who, [...(seen.get(who) ?? []), what!]);

test("an event's trace is that of the run that it starts, and of its children, jobs and events", async () => {
  const endpoint = await server.serve((request, response) => {
    note(request.url!.slice(1), request.headers.traceparent as string);
    response.end();
  });
  for (const queue of ["by-step", "by-client"])
    await server.rotor.queues.create(queue, { callbackUrl: `${endpoint}/${queue}` });
  const noting = (id: string, event?: string) =>
    createFunction({ id, ...(event !== undefined && { trigger: { event } }) }, (context) =>
      note(id, context.traceparent),
    );
  const child = noting("traced-child");
  const root = createFunction({ id: "traced", trigger: { event: "trace.begin" } }, async (context) => {
    const { step } = context;
    note("traced", context.traceparent);
    await step.run("look", (own) => note("traced-step", own.traceparent));
    await step.sleep("pause", "5ms");
    await step.invoke("child", { workflow: child, data: undefined, timeout: "1m" });
    await step.enqueue("job", "by-step", { payload: 1 });
    await step.sendEvent("tell", { name: "trace.sent", data: 1 });
    await step.run("client", async () => {
      await server.rotor.jobs.enqueue("by-client", { payload: 1 });
      await server.rotor.send({ name: "trace.by-client" });
      await server.rotor.runs.start("traced-started");
    });
  });
  await faultyApp(server, "traces", [
    root,
    child,
    noting("traced-sent", "trace.sent"),
    noting("traced-by-client", "trace.by-client"),
    noting("traced-started"),
  ] as RotorFunction[]);
  expect((await post("/v1/events", { name: "trace.begin" })).status).toBe(200);
  const all = ["traced", "traced-step", "traced-child", "by-step", "by-client", "traced-sent"];
  const last = ["traced-by-client", "traced-started"];
  await eventually("all that follows", () => [...all, ...last].every((who) => seen.has(who)));
  for (const who of [...all, ...last]) expect([who, ...seen.get(who)!.map(traceOf)]).toContain(TRACE);
  for (const [who, heard] of seen) expect([who, new Set(heard.map(traceOf))]).toEqual([who, new Set([TRACE])]);
  // Each delivery is a span of its own; a step is part of its delivery's.
  expect(new Set(seen.get("traced")).size).toBeGreaterThan(1);
  expect(seen.get("traced")).toContain(seen.get("traced-step")![0]);
  expect([...seen.values()].flat()).not.toContain(traceparent);
});

test("a run that is started directly is part of its caller's trace; without one, its id is the trace", async () => {
  const direct = createFunction({ id: "traced-direct" }, (context) => context.traceparent);
  await faultyApp(server, "direct", [direct]);
  const given = (await (await post("/v1/functions/traced-direct/runs", {})).json()) as { run_id: string };
  expect(traceOf(await server.rotor.runs.result(given.run_id, { timeout: "20s" }))).toBe(TRACE);
  for (const none of [{}, { traceparent: "nonsense" }] as Record<string, string>[]) {
    const own = (await (await post("/v1/functions/traced-direct/runs", {}, none)).json()) as { run_id: string };
    const heard = await server.rotor.runs.result<string>(own.run_id, { timeout: "20s" });
    expect(traceOf(heard)).toBe(own.run_id.replaceAll("-", ""));
  }
});
