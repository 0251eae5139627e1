/** Signals over HTTP: somebody completes what a run waits for. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { completeSignal } from "../store/signals.js";
import { rawMember } from "./body.js";
import { type Api, endpoint } from "./endpoint.js";
import { Refusal, shown } from "./errors.js";
import { json } from "./schemas.js";

/** Hangs the route of signals. */
export function signals(api: Api): void {
  const { engine } = api;
  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/signals/{id}/complete",
      summary: "Give data to the run that waits for this signal",
      tag: "signals",
      params: z.object({ id: z.string() }).openapi({ description: "A slash in it is written %2F." }),
      body: z.strictObject({ data: json.optional() }),
      answers: { 200: ["The run goes on.", z.object({ run_id: z.string() })] },
    },
    async ({ c, workspace, params: { id }, text }) => {
      const data = rawMember(text, "data") ?? "null";
      const runId = id.length <= limits.keyLength ? await completeSignal(engine.db, workspace, id, data) : undefined;
      if (runId === undefined) {
        throw new Refusal(
          404,
          "not_found",
          `No run waits for the signal ${shown(id)}: it was completed, its time is over, or the wait has not begun yet.`,
        );
      }
      engine.wake();
      return c.json({ run_id: runId });
    },
  );
}
