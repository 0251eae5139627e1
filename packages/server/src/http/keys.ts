/** API keys of the caller's own workspace over HTTP. A key is shown once, in the answer that made it. */
import { z } from "@hono/zod-openapi";
import { isId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { readClock } from "../store/schedules.js";
import { type ApiKey, getApiKey, listApiKeys, revokeApiKey, rotateApiKey, type Scope } from "../store/workspaces.js";
import { allows, type Caller, createApiKey, makeApiKey, SCOPES } from "./auth.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict, notFound, Refusal } from "./errors.js";
import { duration, isPlain, listOf, time } from "./schemas.js";

const scopesShape = z
  .array(z.enum(SCOPES))
  .min(1)
  .max(20)
  .transform((scopes) => [...new Set(scopes)]);

export const keyJson = z
  .object({
    id: z.string(),
    name: z.string(),
    scopes: z.array(z.enum(SCOPES)),
    created_at: time,
    expires_at: time.nullable(),
    revoked_at: time.nullable(),
  })
  .openapi("ApiKey");

export const keyView = (row: ApiKey): z.infer<typeof keyJson> => ({
  id: row.id,
  name: row.name,
  scopes: [...row.scopes],
  created_at: row.createdAt.toISOString(),
  expires_at: row.expiresAt?.toISOString() ?? null,
  revoked_at: row.revokedAt?.toISOString() ?? null,
});

const newKey = z
  .strictObject({
    name: z.string().max(limits.nameLength).refine(isPlain, "it holds a control character").optional(),
    scopes: scopesShape.optional().openapi({
      type: "array",
      items: { type: "string", enum: [...SCOPES] },
      description: 'Default ["read", "write"].',
    }),
    expires_in: duration({ minMs: 1, maxMs: limits.delayMs }).optional().openapi({ description: "Default: never." }),
  })
  .openapi("NewApiKey");

/** What was made before goes on for this long, unless the caller says otherwise. */
export const OVERLAP_MS = 86_400_000;

export const overlap = duration({ maxMs: limits.overlapMs })
  .optional()
  .openapi({ example: "24h", description: 'How long the old one goes on. Default "24h"; "0s" ends it at once.' });

const rotation = z.strictObject({ overlap }).openapi("Rotation");

/** @throws Refusal 403 where a key would be given more than its maker has. */
function checkScopes(caller: Pick<Caller, "scopes">, scopes: readonly Scope[]): void {
  const beyond = scopes.find((scope) => !allows(caller, scope));
  if (beyond === undefined) return;
  throw new Refusal(403, "forbidden", `A key cannot give the scope "${beyond}", which it lacks itself.`, {
    details: { scope: beyond },
  });
}

const tag = "keys";

/** Hangs the routes of keys. */
export function keys(api: Api): void {
  const { db } = api.engine;

  endpoint(
    api,
    "admin",
    {
      method: "get",
      path: "/v1/keys",
      summary: "List keys",
      tag,
      answers: { 200: ["All of them, revoked ones too.", listOf(keyJson)] },
    },
    async ({ c, workspace }) => c.json({ data: (await listApiKeys(db, workspace)).map(keyView), next_cursor: null }),
  );

  endpoint(
    api,
    "admin",
    {
      method: "post",
      path: "/v1/keys",
      summary: "Make a key",
      tag,
      audit: "key.create",
      body: newKey,
      answers: { 201: ["The key, shown this once.", keyJson.extend({ key: z.string() })] },
    },
    async ({ c, workspace, scopes: own, body }) => {
      const scopes = body.scopes ?? ["read", "write"];
      checkScopes({ scopes: own }, scopes);
      const expiresAt =
        body.expires_in === undefined ? null : new Date((await readClock(db)).getTime() + body.expires_in);
      const { key, row } = await createApiKey(db, workspace, body.name ?? "key", scopes, expiresAt);
      return c.json({ ...keyView(row), key }, 201);
    },
  );

  endpoint(
    api,
    "admin",
    {
      method: "post",
      path: "/v1/keys/{id}/rotate",
      summary: "Make a key in place of another, with its name, scopes and length of life",
      tag,
      audit: "key.rotate",
      params: z.object({ id: z.string() }),
      body: rotation,
      answers: { 201: ["The new key, shown this once.", keyJson.extend({ key: z.string() })] },
    },
    async ({ c, workspace, scopes: own, params: { id }, body }) => {
      const before = isId(id) ? await getApiKey(db, workspace, id) : undefined;
      if (before === undefined) throw notFound("key", id);
      checkScopes({ scopes: own }, before.scopes);
      const { key, row } = makeApiKey(workspace, before.name, before.scopes);
      const made = await rotateApiKey(db, workspace, id, row, body.overlap ?? OVERLAP_MS);
      if (made === undefined) throw conflict("The key has ended already. Make another one with POST /v1/keys.");
      api.auth.forget();
      return c.json({ ...keyView(made), key }, 201);
    },
  );

  endpoint(
    api,
    "admin",
    {
      method: "delete",
      path: "/v1/keys/{id}",
      summary: "Revoke a key; it works at most 5 seconds longer",
      tag,
      audit: "key.revoke",
      params: z.object({ id: z.string() }),
      answers: { 204: ["It is revoked."] },
    },
    async ({ c, workspace, params: { id } }) => {
      if (!isId(id) || !(await revokeApiKey(db, workspace, id))) throw notFound("key", id);
      api.auth.forget();
      return c.body(null, 204);
    },
  );
}
