/** `POST /v1/functions/check`: how code that is about to be deployed fares with stored runs. It changes nothing. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { checkUrl } from "../delivery/guard.js";
import { type Api, endpoint } from "./endpoint.js";
import { invalid, Refusal } from "./errors.js";
import { json, name } from "./schemas.js";

const count = z.number().int();

const checkJson = z
  .object({
    app: z.string(),
    functions: z.array(
      z.object({
        function: z.string(),
        served: z
          .boolean()
          .openapi({ description: "False: the app no longer has it, so its unfinished runs would wait in vain." }),
        unfinished: count.openapi({ description: `Unfinished runs, counted up to ${limits.checkLooked}.` }),
        fits: count,
        otherwise: count.openapi({ description: "Finished runs that come to another end." }),
        diverges: count.openapi({ description: "Runs that would be held." }),
        errors: count.openapi({ description: "Runs in which the code throws, or that could not be told of." }),
        unchecked: count.openapi({ description: "Unfinished runs that were not asked about." }),
      }),
    ),
    diverging: z.array(
      z.object({
        function: z.string(),
        run_id: z.string(),
        step: z.string(),
        recorded: z.string(),
        asked: z.string().nullable().openapi({ description: "Null: the code no longer reaches the step." }),
      }),
    ),
    failing: z.array(z.object({ function: z.string(), run_id: z.string(), error: json })),
  })
  .openapi("Check");

/** Hangs the route. */
export function checks(api: Api): void {
  const { engine } = api;
  endpoint(
    api,
    // Code is run at an address of the caller's choice, as by a sync.
    "write",
    {
      method: "post",
      path: "/v1/functions/check",
      summary: "Replay stored runs against the code at this address: nothing is run, stored or changed",
      tag: "functions",
      body: z.strictObject({
        url: z.string(),
        function: name.optional(),
        limit: z
          .number()
          .int()
          .min(1)
          .max(limits.checkRunsMax)
          .optional()
          .openapi({ description: `Runs of each function; ${limits.checkRuns} unless given.` }),
      }),
      answers: { 200: ["How it fares, by function.", checkJson] },
    },
    async ({ c, workspace, body: { url, function: only, limit = limits.checkRuns } }) => {
      const checked = checkUrl(url, engine.policy);
      if (!checked.ok) throw invalid("url", checked.reason);
      const result = await engine.check(workspace, checked.url.href, { function: only, limit });
      if (!result.ok)
        throw new Refusal(
          result.status,
          ({ 404: "not_found", 422: "invalid", 424: "app_unreachable" } as const)[result.status],
          result.message,
        );
      return c.json({
        app: result.app,
        functions: result.functions,
        diverging: result.diverging.map(({ runId, ...rest }) => ({ run_id: runId, ...rest })),
        failing: result.failing.map(({ runId, ...rest }) => ({ run_id: runId, ...rest })),
      });
    },
  );
}
