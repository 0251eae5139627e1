// DBOS: in process, on Postgres. Workflows are started directly, not by its queues, which is its fastest way.
import { DBOS } from "@dbos-inc/dbos-sdk";
import { createLedger } from "./ledger.mjs";

export const kinds = ["runs"];

export async function open({ databaseUrl }) {
  const ledger = createLedger();
  const texts = new Map();
  const text = (bytes) => texts.get(bytes) ?? texts.set(bytes, "x".repeat(bytes)).get(bytes);
  const step = (n, result) =>
    DBOS.runStep(
      async () => {
        ledger.do(DBOS.workflowID, n);
        return result;
      },
      { name: `step-${n}` },
    );
  let woken = [];
  const functions = {
    async sequence({ steps, bytes = 100 }) {
      for (let n = 0; n < steps; n++) await step(n, text(bytes));
    },
    async parallel({ steps }) {
      await Promise.all(Array.from({ length: steps }, (_, n) => step(n, null)));
    },
    async sleeper({ dueAt }) {
      // Not `DBOS.now()`: that is a step, whose time would be added.
      await DBOS.sleep(dueAt - Date.now());
      woken.push(Date.now() - dueAt);
    },
  };
  const workflows = Object.fromEntries(
    Object.entries(functions).map(([name, body]) => [name, DBOS.registerWorkflow(body, { name })]),
  );
  DBOS.setConfig({ name: "bench", systemDatabaseUrl: databaseUrl, systemDatabasePoolSize: 20, logLevel: "error" });
  await DBOS.launch();
  /** The ends of all runs that were started. */
  let ends = [];
  async function start(name, data) {
    const handle = await DBOS.startWorkflow(workflows[name])(data);
    ledger.give(handle.workflowID, data.steps ?? 0);
    return handle;
  }
  return {
    rotor: {
      runs: {
        async start(name, data) {
          const handle = await start(name, data);
          ends.push(handle.getResult());
          return { runId: handle.workflowID };
        },
      },
    },
    finish: async (name, data) => (await start(name, data)).getResult(),
    async untilDone() {
      await Promise.all(ends);
      ends = [];
    },
    async ask() {
      const taken = woken;
      woken = [];
      return { woken: taken };
    },
    async close() {
      await Promise.all(ends);
      ledger.check("DBOS");
      await DBOS.shutdown();
    },
  };
}
