/** Secrets over HTTP: set and forgotten, never read. They are used as `${{ secrets.NAME }}` in queues' URLs and headers. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { SECRET_NAME } from "../core/templates.js";
import { deleteSecret, listSecrets, type Secret } from "../store/secrets.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict, notFound } from "./errors.js";
import { listOf, time } from "./schemas.js";

const name = z
  .string()
  .regex(SECRET_NAME, "write up to 64 letters, digits and underscores, no digit first")
  .openapi({ example: "CRM_TOKEN" });

/** What a header can carry. */
const value = z
  .string()
  .min(limits.secretMinLength, `a secret has at least ${limits.secretMinLength} characters`)
  .max(limits.secretLength, `a secret has at most ${limits.secretLength} characters`)
  .regex(/^[\x20-\x7e]*$/, "it holds a line break, a control or a non-ASCII character, which no header can carry")
  .openapi({ format: "password", description: "It is not to be had again." });

const secretJson = z.object({ name: z.string(), created_at: time, updated_at: time }).openapi("Secret");

const view = (secret: Secret): z.infer<typeof secretJson> => ({
  name: secret.name,
  created_at: secret.createdAt.toISOString(),
  updated_at: secret.updatedAt.toISOString(),
});

const tag = "secrets";

/** Hangs the routes of secrets. */
export function secrets(api: Api): void {
  const { db, keyring } = api.engine;

  const put = async (workspace: string, secret: { name: string; value: string }, mayChange: boolean) => {
    const result = await keyring.putSecret(workspace, secret.name, secret.value, mayChange);
    switch (result.kind) {
      case "too-many":
        throw conflict(`This workspace has ${limits.secrets} secrets, the most there may be: delete one first.`);
      case "taken":
        throw conflict(`A secret ${secret.name} exists: PUT /v1/secrets/${secret.name} changes it.`);
      default:
        return result;
    }
  };

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/secrets",
      summary: "List the names of secrets",
      tag,
      answers: { 200: ["All of them, without their values.", listOf(secretJson)] },
    },
    async ({ c, workspace }) => c.json({ data: (await listSecrets(db, workspace)).map(view), next_cursor: null }),
  );

  endpoint(
    api,
    "admin",
    {
      method: "post",
      path: "/v1/secrets",
      summary: "Set a new secret",
      tag,
      audit: "secret.create",
      body: z.strictObject({ name, value }).openapi("NewSecret"),
      answers: { 201: ["It is set.", secretJson] },
    },
    async ({ c, workspace, body }) => c.json(view((await put(workspace, body, false)).secret), 201),
  );

  endpoint(
    api,
    "admin",
    {
      method: "put",
      path: "/v1/secrets/{name}",
      summary: "Set a secret; deliveries use its new value at once, on other nodes within 5 seconds",
      tag,
      audit: "secret.put",
      params: z.object({ name }),
      body: z.strictObject({ value }).openapi("SecretValue"),
      answers: { 200: ["It was changed.", secretJson], 201: ["It was made.", secretJson] },
    },
    async ({ c, workspace, params, body }) => {
      const { kind, secret } = await put(workspace, { name: params.name, value: body.value }, true);
      return c.json(view(secret), kind === "made" ? 201 : 200);
    },
  );

  endpoint(
    api,
    "admin",
    {
      method: "delete",
      path: "/v1/secrets/{name}",
      summary: "Forget a secret; deliveries of queues that use it fail from then on",
      tag,
      audit: "secret.delete",
      params: z.object({ name: z.string() }),
      answers: { 204: ["It is gone."] },
    },
    async ({ c, workspace, params }) => {
      if (!(await deleteSecret(db, workspace, params.name))) throw notFound("secret", params.name);
      keyring.forget(workspace);
      return c.body(null, 204);
    },
  );
}
