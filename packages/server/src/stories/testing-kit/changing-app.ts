/** An app whose code is changed while its runs go on. Real HTTP; no test of its own. */
import type { RotorFunction } from "@rotorsh/sdk";
import { nodeHandler, workflowHandler } from "@rotorsh/sdk";
import { eventually, type TestServer } from "../../testing-kit/server.js";

export type ChangingApp = {
  readonly url: string;
  /** Deploys other code at the same address, without telling the server. */
  readonly deploy: (functions: readonly RotorFunction[]) => void;
  /** Serves code at another address, as before a deployment; answers that. */
  readonly preview: (functions: readonly RotorFunction[]) => Promise<string>;
};

/** An app of this name, registered with these functions. */
export async function changingApp(
  server: TestServer,
  app: string,
  functions: readonly RotorFunction[],
): Promise<ChangingApp> {
  const listener = (served: readonly RotorFunction[]) =>
    nodeHandler(workflowHandler({ app, dev: true, functions: served }));
  let current = listener(functions);
  const base = await server.serve((request, response) => current(request, response));
  await server.rotor.functions.sync({ url: `${base}/api/rotor` });
  return {
    url: `${base}/api/rotor`,
    deploy: (served) => {
      current = listener(served);
    },
    preview: async (served) => `${await server.serve(listener(served))}/api/rotor`,
  };
}

/** Waits until a run stands so: `event`, `held`, `sleeping`, … */
export const standing = (server: TestServer, runId: string, reason: string) =>
  eventually(`${runId} ${reason}`, async () => {
    const run = await server.rotor.runs.get(runId);
    return run.reason === reason && run;
  });
