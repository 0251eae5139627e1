/** Concurrency keys over HTTP: how many jobs of a key may be active at a time, over all queues, and how many are. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { type ConcurrencyKey, getConcurrencyKey, limitKey, listConcurrencyKeys } from "../store/concurrency-keys.js";
import { type Api, endpoint } from "./endpoint.js";
import { notFound } from "./errors.js";
import { pageOf } from "./paging.js";
import { key, listOf, page } from "./schemas.js";

const keyJson = z
  .object({
    key: z.string(),
    limit: z.number().int().openapi({ description: "Active jobs at a time; 1 unless it was set." }),
    active: z.number().int(),
    blocked: z.number().int().openapi({ description: "Due jobs that wait for the key; counted up to 1,000." }),
  })
  .openapi("ConcurrencyKey");

const view = ({ key, limit, active, blocked }: ConcurrencyKey): z.infer<typeof keyJson> => ({
  key,
  limit,
  active,
  blocked,
});

/** Each of them is counted anew: a page costs as much. */
const LISTED = 100;

const tag = "concurrency keys";

/** Hangs the routes of concurrency keys. */
export function concurrencyKeys(api: Api): void {
  const { engine } = api;
  const { db } = engine;
  const params = z.object({ key });

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/concurrency-keys",
      summary: "List the keys that jobs have named, by name",
      tag,
      query: z.object(page),
      answers: { 200: ["A page.", listOf(keyJson)] },
    },
    async ({ c, workspace, query }) =>
      c.json(
        await pageOf(
          query,
          (after, limit) => listConcurrencyKeys(db, workspace, after ?? "", limit),
          (each) => each.key,
          view,
          LISTED,
        ),
      ),
  );

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/concurrency-keys/{key}",
      summary: "Read a key",
      tag,
      params,
      answers: { 200: ["The key.", keyJson] },
    },
    async ({ c, workspace, params }) => {
      const found = await getConcurrencyKey(db, workspace, params.key);
      if (found === undefined) throw notFound("concurrency key", params.key);
      return c.json(view(found));
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "put",
      path: "/v1/concurrency-keys/{key}",
      audit: "concurrency-key.put",
      summary: "Say how many jobs of a key may be active at a time",
      tag,
      params,
      body: z.strictObject({ limit: z.number().int().min(1).max(limits.concurrency) }).openapi("ConcurrencyKeyLimit"),
      answers: { 200: ["The key. Lowering a limit ends nothing that is active.", keyJson] },
    },
    async ({ c, workspace, params, body }) => {
      await limitKey(db, workspace, params.key, body.limit);
      engine.wake();
      return c.json(view((await getConcurrencyKey(db, workspace, params.key))!));
    },
  );
}
