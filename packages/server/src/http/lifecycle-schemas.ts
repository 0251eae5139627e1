/** What webhooks are sent, as `/doc` describes it. What is really sent is built in `core/lifecycle.ts`; a test compares. */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { EVERYTHING, LIFECYCLE_TYPES } from "../core/lifecycle.js";
import { error, time } from "./schemas.js";

export const typeSchema = z.enum(LIFECYCLE_TYPES);

/** What a webhook wants to be told of. */
export const wantedTypes = z
  .array(z.enum([EVERYTHING, ...LIFECYCLE_TYPES], `write types such as "job.failed", or "${EVERYTHING}" for all`))
  .min(1)
  .max(LIFECYCLE_TYPES.length + 1)
  .transform((types) => (types.includes(EVERYTHING) ? [EVERYTHING] : [...new Set(types)].sort()))
  .openapi({
    type: "array",
    items: { type: "string", enum: [EVERYTHING, ...LIFECYCLE_TYPES] },
    example: ["job.failed", "queue.late", "queue.late.recovered"],
    description: `Default ["${EVERYTHING}"]: all.`,
  });

const kind = z.enum(["callback", "function"]);
const shortError = error.omit({ stack: true }).nullable();

const subject = {
  id: z.string(),
  job_id: z.string().nullable(),
  state: z.string(),
  attempt: z.number().int(),
  max_attempts: z.number().int(),
  tags: z.array(z.string()),
  error: shortError,
  parent_id: z.string().nullable(),
  created_at: time,
  run_at: time,
};

const data = z
  .strictObject({
    job: z.strictObject({ queue: z.string(), ...subject }),
    run: z.strictObject({ function: z.string(), ...subject }),
    approval: z.strictObject({
      id: z.string(),
      status: z.enum(["pending", "approved", "rejected", "expired"]),
      reason: z.string().nullable(),
    }),
    queue: z.strictObject({
      name: z.string(),
      kind,
      since: time.optional(),
      deliveries: z.number().int().optional(),
      failed: z.number().int().optional(),
    }),
    app: z.strictObject({ name: z.string(), url: z.string().optional(), since: time }),
    schedule: z.strictObject({ name: z.string(), due_at: time.optional(), since: time }),
    webhook: z.strictObject({ name: z.string() }),
  })
  .partial()
  .openapi({
    description: "The subject of the event. Payloads and outputs are never part of it: read them by the id.",
  });

export const lifecycleEvent = z
  .strictObject({
    id: z.string().openapi({ description: "The same on each attempt to deliver it." }),
    type: typeSchema,
    created_at: time,
    workspace: z.string(),
    data,
  })
  .openapi("LifecycleEvent");

const text = z.string();

/** Describes the requests that webhooks get. */
export function documentLifecycle(app: OpenAPIHono): void {
  app.openAPIRegistry.registerWebhook({
    method: "post",
    path: "lifecycle",
    summary: "Something happened in the workspace",
    request: {
      headers: z.object({
        "Rotor-Webhook-Id": text.openapi({ description: "The event's id." }),
        "Rotor-Webhook-Timestamp": text.openapi({ description: "When this attempt was made, in Unix seconds." }),
        "Rotor-Webhook-Signature": text.openapi({
          description: "`v1,` and the base64 of HMAC-SHA256(secret, id.timestamp.body); one for each active secret.",
        }),
      }),
      body: { content: { "application/json": { schema: lifecycleEvent } } },
    },
    responses: { "2XX": { description: "It was heard. Anything else is tried again, ten times in about two hours." } },
  });
}
