/** Apps over HTTP: the processes that serve functions, each behind one URL. They are read anew by `functions.ts`. */
import { z } from "@hono/zod-openapi";
import { listAppViews } from "../store/apps.js";
import { type Api, endpoint } from "./endpoint.js";
import { listOf, time } from "./schemas.js";

const appJson = z
  .object({
    name: z.string(),
    url: z.string(),
    functions: z.number().int().openapi({ description: "How many it has." }),
    synced_at: time,
    unreachable_since: time.nullable().openapi({ description: "Null: it was reached the last time." }),
  })
  .openapi("App");

/** Hangs the route. */
export function apps(api: Api): void {
  const { db } = api.engine;

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/apps",
      summary: "List apps",
      tag: "functions",
      answers: { 200: ["All of them, by name.", listOf(appJson)] },
    },
    async ({ c, workspace }) => {
      const data = (await listAppViews(db, workspace)).map(
        (app): z.infer<typeof appJson> => ({
          name: app.name,
          url: app.url,
          functions: app.functions,
          synced_at: app.syncedAt.toISOString(),
          unreachable_since: app.unreachableSince?.toISOString() ?? null,
        }),
      );
      return c.json({ data, next_cursor: null });
    },
  );
}
