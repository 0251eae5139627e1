/** What signs the deliveries of a workspace, or of one of its queues, over HTTP: changed, and shown only then. */
import { z } from "@hono/zod-openapi";
import { newSecret } from "@rotorsh/sdk/signature";
import { getQueue } from "../store/queues.js";
import { TooManySigningKeys } from "../store/signing-keys.js";
import { type Api, endpoint } from "./endpoint.js";
import type { Engine } from "./engine.js";
import { conflict, notFound } from "./errors.js";
import { OVERLAP_MS, overlap } from "./keys.js";
import { name } from "./schemas.js";

/** As the SDK makes them: `whsec_` and 32 bytes in base64, of which the last character but the padding has four bits. */
export const signingSecret = z
  .string()
  .regex(/^whsec_[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/, "write whsec_ and 32 random bytes in base64")
  .openapi({ format: "password", example: "whsec_…", description: "Signs; it is not to be had again." });

/**
 * Gives a queue a signing secret of its own, or with null takes it away; the one before signs along for a day. `isNew`: nothing
 * of the queue has been signed yet.
 * @throws Refusal 409 where too many sign already.
 */
export async function setQueueSecret(
  engine: Engine,
  workspace: string,
  queueId: number,
  secret: string | null,
  isNew: boolean,
): Promise<void> {
  await replaceSigning(engine, workspace, queueId, secret ?? undefined, OVERLAP_MS, isNew);
}

/**
 * Resolves when every node signs so: whoever is answered may verify with the new key alone. Where there are several nodes that
 * takes as long as they remember keys, some seconds.
 * @throws Refusal 409 where too many sign already.
 */
export async function replaceSigning(
  { keyring }: Engine,
  workspace: string,
  queueId: number | undefined,
  secret: string | undefined,
  overlapMs: number,
  isNew = false,
): Promise<void> {
  try {
    const changed = await keyring.replaceSigning(workspace, queueId, secret, overlapMs);
    if (changed && !isNew) await keyring.heardByAll();
  } catch (error) {
    if (error instanceof TooManySigningKeys) throw conflict(error.message);
    throw error;
  }
}

const rotated = z
  .object({
    secret: z.string().openapi({ description: "Signs from now on, shown this once." }),
    queue: z.string().nullable().openapi({ description: "Null: the workspace's." }),
  })
  .openapi("RotatedSigningKey");

/** Hangs the route that rotates signing keys. */
export function signingKeys(api: Api): void {
  const { engine } = api;

  endpoint(
    api,
    "admin",
    {
      method: "post",
      path: "/v1/keys/rotate-signing",
      summary: "Sign with a new key; the one before signs along for a while, so that no delivery is rejected",
      tag: "keys",
      audit: "signing-key.rotate",
      body: z
        .strictObject({
          queue: name.optional().openapi({ description: "A queue's own secret; it gets one where it has none." }),
          secret: signingSecret.optional(),
          overlap,
        })
        .openapi("SigningRotation"),
      answers: { 200: ["The new key.", rotated] },
    },
    async ({ c, workspace, body }) => {
      const queue = body.queue === undefined ? undefined : await getQueue(engine.db, workspace, "callback", body.queue);
      if (body.queue !== undefined && queue === undefined) throw notFound("queue", body.queue);
      const secret = body.secret ?? newSecret();
      await replaceSigning(engine, workspace, queue?.id, secret, body.overlap ?? OVERLAP_MS);
      return c.json({ secret, queue: queue?.name ?? null });
    },
  );
}
