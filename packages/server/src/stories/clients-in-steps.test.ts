/** A client used in a step: what it enqueues, sends and starts is there once, however often the step is repeated. */
import { createFunction } from "@rotorsh/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Faults, faultyApp } from "../testing-kit/faulty-app.js";
import { type TestServer, testServer } from "../testing-kit/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

/** How the first attempt of the step goes wrong after it has called. */
const mishaps: Record<string, { readonly fails: boolean; readonly faults: Faults }> = {
  "that fails": { fails: true, faults: {} },
  "whose result is lost with its connection": {
    fails: false,
    faults: {
      checkpoint: ({ delivery }) => (delivery === 1 ? "cut" : "none"),
      delivery: (_, n) => (n === 1 ? "answer lost" : "none"),
    },
  },
};

test.each(Object.entries(mishaps))("of a step %s, nothing is there twice", async (name, { fails, faults }) => {
  const id = name.replaceAll(" ", "-");
  const { rotor } = server;
  await rotor.queues.create(id, { callbackUrl: await server.serve((_, response) => response.end()) });
  let calls = 0;
  const started = createFunction({ id: `${id}-started` }, () => "started");
  const caller = createFunction({ id }, ({ step }) =>
    step.run(
      "call",
      async () => {
        calls += 1;
        const jobs = [await rotor.jobs.enqueue(id, { payload: 1 }), await rotor.jobs.enqueue(id, { payload: 1 })];
        const batch = await rotor.jobs.enqueueBatch(id, [{ payload: 2 }, { payload: 3 }]);
        const sent = await rotor.send({ name: `${id}.sent`, data: 1 });
        const { runId } = await rotor.runs.start(started, undefined);
        if (calls === 1 && fails) throw new Error("after it has called");
        return [...jobs.map((job) => job.id), ...batch.map((job) => job.id), sent.id, runId];
      },
      { backoff: ["1ms"] },
    ),
  );
  await faultyApp(server, id, [caller, started], faults);
  const { runId } = await rotor.runs.start(caller, undefined);
  const ids = await rotor.runs.result<string[]>(runId, { timeout: "20s" });
  expect(calls).toBe(2);
  expect(new Set(ids).size).toBe(6);
  expect((await rotor.jobs.list(id).page()).data.map((job) => job.id).sort()).toEqual(ids.slice(0, 4).sort());
  expect((await rotor.events.list({ name: `${id}.sent` }).page()).data.map((event) => event.id)).toEqual([ids[4]]);
  expect((await rotor.runs.list({ function: started.id }).page()).data.map((run) => run.id)).toEqual([ids[5]]);
});
