/** What has this id or name, over HTTP: for whoever has one in hand and does not know of what. */
import { z } from "@hono/zod-openapi";
import { isId } from "../core/ids.js";
import { findAnything } from "../store/find.js";
import { type Api, endpoint } from "./endpoint.js";
import { filterText, listOf } from "./schemas.js";

const foundJson = z
  .object({
    type: z.enum(["run", "job", "event", "queue", "function", "schedule", "webhook"]),
    id: z.string(),
    name: z.string().nullable().openapi({ description: "Of a job or run its job_id; of an event its name." }),
    queue: z.string().nullable().openapi({ description: "Of a job its queue, of a run its function." }),
    state: z.string().nullable(),
  })
  .openapi("Found");

/** Hangs the route. */
export function find(api: Api): void {
  const { db } = api.engine;

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/find",
      summary: "Find what has exactly this id or name",
      tag: "find",
      query: z.object({ q: filterText.openapi({ description: "An id, a job_id, an event's id, or a name." }) }),
      answers: { 200: ["Twenty at most.", listOf(foundJson)] },
    },
    async ({ c, workspace, query: { q } }) => {
      const lower = q.toLowerCase();
      const data = await findAnything(db, workspace, q, isId(lower) ? lower : null);
      // Keys of our own making say nothing to anybody.
      const isOurs = (name: string | null): boolean => name?.startsWith("rotor:") === true;
      return c.json({
        data: data.map((each) => ({ ...each, name: isOurs(each.name) ? null : each.name })),
        next_cursor: null,
      });
    },
  );
}
