/** Webhooks over HTTP: who is told of what. Their deliveries are jobs, and are listed as such. */
import { z } from "@hono/zod-openapi";
import { newSecret } from "@rotorsh/sdk/signature";
import { EVERYTHING } from "../core/lifecycle.js";
import { limits } from "../core/limits.js";
import { isTemplated } from "../core/templates.js";
import { checkUrl } from "../delivery/guard.js";
import { tellTest } from "../store/tell.js";
import {
  createWebhook,
  deleteWebhook,
  getWebhook,
  listWebhooks,
  updateWebhook,
  type Webhook,
  type WebhookSettings,
} from "../store/webhooks.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict, invalid, notFound } from "./errors.js";
import { jobJson, jobView, readStateFilter, stateFilter } from "./job-views.js";
import { OVERLAP_MS, overlap } from "./keys.js";
import { documentLifecycle, typeSchema, wantedTypes } from "./lifecycle-schemas.js";
import { pageOf, pageOfJobs } from "./paging.js";
import { headersOf } from "./queue-settings.js";
import { checkTemplates } from "./queue-templates.js";
import { listOf, name, page, time } from "./schemas.js";
import { replaceSigning } from "./signing-keys.js";

const options = {
  url: z.string().openapi({ example: "https://example.com/rotor-events" }),
  types: wantedTypes.optional(),
  headers: z.record(z.string(), z.string()).optional().openapi({ description: "Sent with each event." }),
};

const creation = z.strictObject({ name, ...options }).openapi("NewWebhook");
const changes = z.strictObject({ ...options, url: options.url.optional() }).openapi("WebhookOptions");

const webhookJson = z
  .object({
    name: z.string(),
    url: z.string(),
    types: z.array(z.string()),
    headers: z.record(z.string(), z.string()),
    queue: z.string().openapi({ description: "The queue of its deliveries, as dead letters name it." }),
    created_at: time,
  })
  .openapi("Webhook");

const secret = z.string().openapi({ description: "Verifies what it is sent. Shown this once." });
const withSecret = webhookJson.extend({ secret });

const viewOf = (webhook: Webhook): z.infer<typeof webhookJson> => ({
  name: webhook.name,
  url: webhook.url,
  types: [...webhook.types],
  headers: { ...webhook.headers },
  queue: webhook.queue,
  created_at: webhook.createdAt.toISOString(),
});

const tag = "webhooks";
const params = z.object({ name: z.string() });
const one = { 200: ["The webhook.", webhookJson] } as const;

/** Hangs the routes of webhooks. */
export function webhooks(api: Api): void {
  const { engine } = api;
  const { db } = engine;
  documentLifecycle(api.app);

  const find = async (workspace: string, webhookName: string): Promise<Webhook> => {
    const webhook = await getWebhook(db, workspace, webhookName);
    if (webhook === undefined) throw notFound("webhook", webhookName);
    return webhook;
  };

  const settingsOf = async (
    workspace: string,
    before: WebhookSettings | undefined,
    given: z.infer<typeof changes>,
  ): Promise<WebhookSettings> => {
    await checkTemplates(engine, workspace, { callback_url: given.url, headers: given.headers }, "url");
    if (given.url !== undefined && !isTemplated(given.url)) {
      const checked = checkUrl(given.url, engine.policy);
      if (!checked.ok) throw invalid("url", checked.reason);
    }
    const url = given.url ?? before?.url;
    if (url === undefined) throw invalid("url", "a new webhook needs one");
    return {
      url,
      types: given.types ?? before?.types ?? [EVERYTHING],
      headers: given.headers === undefined ? (before?.headers ?? {}) : headersOf(given.headers, "headers"),
    };
  };

  /** Undefined where the name is taken. */
  const make = async (
    workspace: string,
    webhookName: string,
    settings: WebhookSettings,
  ): Promise<z.infer<typeof withSecret> | undefined> => {
    const made = await createWebhook(db, workspace, webhookName, settings.url);
    if (made === "taken") return undefined;
    if (made === "too-many")
      throw conflict(
        `There are ${limits.webhooks} webhooks already, which is the limit. Delete one, or give one more types.`,
      );
    const own = newSecret();
    const webhook = await find(workspace, webhookName);
    await replaceSigning(engine, workspace, webhook.queueId, own, 0, true);
    if (!(await updateWebhook(db, webhook, settings))) throw notFound("webhook", webhookName);
    return { ...viewOf({ ...webhook, ...settings }), secret: own };
  };

  const change = async (webhook: Webhook, settings: WebhookSettings): Promise<z.infer<typeof webhookJson>> => {
    if (!(await updateWebhook(db, webhook, settings))) throw notFound("webhook", webhook.name);
    engine.wake();
    return viewOf({ ...webhook, ...settings });
  };

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/webhooks",
      summary: "List webhooks",
      tag,
      query: z.object(page),
      answers: { 200: ["A page, by name.", listOf(webhookJson)] },
    },
    async ({ c, workspace, query }) =>
      c.json(
        await pageOf(
          query,
          (after, limit) => listWebhooks(db, workspace, after ?? "", limit),
          (webhook) => webhook.name,
          viewOf,
        ),
      ),
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/webhooks",
      summary: "Make a webhook",
      tag,
      audit: "webhook.create",
      body: creation,
      answers: { 201: ["The webhook, with its secret.", withSecret] },
    },
    async ({ c, workspace, body: { name: webhookName, ...given } }) => {
      const made = await make(workspace, webhookName, await settingsOf(workspace, undefined, given));
      if (made === undefined)
        throw conflict(`A webhook named ${webhookName} exists: PUT /v1/webhooks/${webhookName} changes it.`);
      return c.json(made, 201);
    },
  );

  endpoint(
    api,
    "read",
    { method: "get", path: "/v1/webhooks/{name}", summary: "Read a webhook", tag, params, answers: one },
    async ({ c, workspace, params: { name: webhookName } }) => c.json(viewOf(await find(workspace, webhookName))),
  );

  endpoint(
    api,
    "write",
    {
      method: "put",
      path: "/v1/webhooks/{name}",
      summary: "Make a webhook, or change one: what is left out gets its default, or stays as it is",
      tag,
      audit: "webhook.put",
      params: z.object({ name }),
      body: changes,
      answers: { ...one, 201: ["It was made.", withSecret] },
    },
    async ({ c, workspace, params: { name: webhookName }, body }) => {
      const current = await getWebhook(db, workspace, webhookName);
      if (current === undefined) {
        const made = await make(workspace, webhookName, await settingsOf(workspace, undefined, body));
        if (made !== undefined) return c.json(made, 201);
      }
      const before = current ?? (await find(workspace, webhookName));
      return c.json(await change(before, await settingsOf(workspace, before, body)), 200);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "patch",
      path: "/v1/webhooks/{name}",
      summary: "Change a webhook",
      tag,
      audit: "webhook.update",
      params,
      body: changes,
      answers: one,
    },
    async ({ c, workspace, params: { name: webhookName }, body }) => {
      const before = await find(workspace, webhookName);
      return c.json(await change(before, await settingsOf(workspace, before, body)));
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "delete",
      path: "/v1/webhooks/{name}",
      summary: "Delete a webhook, and what was not delivered to it yet",
      tag,
      audit: "webhook.delete",
      params,
      answers: { 204: ["It is gone."] },
    },
    async ({ c, workspace, params: { name: webhookName } }) => {
      if (!(await deleteWebhook(db, workspace, webhookName))) throw notFound("webhook", webhookName);
      return c.body(null, 204);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/webhooks/{name}/test",
      summary: "Send it an event of type webhook.test, whatever its types",
      tag,
      audit: "webhook.test",
      params,
      answers: { 202: ["It is on its way.", z.object({ id: z.string().openapi({ description: "Of the event." }) })] },
    },
    async ({ c, workspace, params: { name: webhookName } }) => {
      const webhook = await find(workspace, webhookName);
      const id = await db.transact((t) => tellTest(t, webhook.queueId, webhook.name));
      if (id === undefined) throw notFound("webhook", webhookName);
      engine.wake();
      return c.json({ id }, 202);
    },
  );

  endpoint(
    api,
    "write",
    {
      method: "post",
      path: "/v1/webhooks/{name}/rotate",
      summary: "Give it another secret; with the old one events are signed, too, while they overlap",
      tag,
      audit: "webhook.rotate",
      params,
      body: z.strictObject({ overlap }),
      answers: { 200: ["The webhook, with its new secret.", withSecret] },
    },
    async ({ c, workspace, params: { name: webhookName }, body }) => {
      const webhook = await find(workspace, webhookName);
      const own = newSecret();
      await replaceSigning(engine, workspace, webhook.queueId, own, body.overlap ?? OVERLAP_MS);
      return c.json({ ...viewOf(webhook), secret: own });
    },
  );

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/webhooks/{name}/deliveries",
      summary: "List what it was told, the newest first",
      tag,
      params,
      query: z.object({ ...page, state: stateFilter, type: typeSchema.optional() }),
      answers: { 200: ["A page of jobs; the payload of each is the event.", listOf(jobJson)] },
    },
    async ({ c, workspace, params: { name: webhookName }, query }) => {
      const { queue } = await find(workspace, webhookName);
      const { state, keep } = readStateFilter(query.state);
      const filter = { kind: "callback", queue, state, tag: query.type } as const;
      return c.json(await pageOfJobs(db, workspace, filter, query, (job) => jobView(job), { keep }));
    },
  );
}
