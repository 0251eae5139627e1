/** What a queue may be given, and how it is shown: the API's words for the store's settings, both ways. */
import { z } from "@hono/zod-openapi";
import { formatDuration } from "@rotorsh/sdk/duration";
import type { Backoff } from "../core/backoff.js";
import { type Breaker, DEFAULT_BREAKER } from "../core/breaker.js";
import { limits } from "../core/limits.js";
import { checkKeyExpression } from "../core/rate-key.js";
import type { Retention } from "../core/retention.js";
import { isTemplated } from "../core/templates.js";
import { checkUrl } from "../delivery/guard.js";
import { checkHeaders } from "../delivery/headers.js";
import type { Queue, QueueSettings } from "../store/queues.js";
import type { Engine } from "./engine.js";
import { invalid } from "./errors.js";
import { attempts, duration, maxAttemptsOf, NOT_BOTH, name, notBoth, time } from "./schemas.js";
import { signingSecret } from "./signing-keys.js";

const backoffDelay = duration({ maxMs: limits.delayMs });

const retry = z
  .strictObject({
    ...attempts,
    backoff: z
      .unknown()
      .transform((value, context): { kind: Backoff["kind"]; listMs: readonly number[] } => {
        if (value === "exponential" || value === "linear" || value === "fixed") return { kind: value, listMs: [] };
        const list = z.array(backoffDelay).min(1).max(100).safeParse(value);
        if (list.success) return { kind: "list", listMs: list.data };
        const reason = Array.isArray(value) ? list.error.issues[0]?.message : undefined;
        context.addIssue({
          code: "custom",
          message: reason ?? 'write "exponential", "linear", "fixed", or a list such as ["5s", "1m"]',
        });
        return z.NEVER;
      })
      .openapi({
        type: ["string", "array"],
        example: "exponential",
        description: '"exponential", "linear", "fixed", or the delay after each attempt, such as ["5s", "1m"].',
      })
      .optional(),
    factor: z.number().min(1).max(100).optional(),
    min: backoffDelay.optional(),
    max: backoffDelay.optional(),
    jitter: z.enum(["half", "none"]).optional(),
  })
  .refine(notBoth, NOT_BOTH);

const kept = duration({ minMs: limits.retentionMinMs, maxMs: limits.retentionMaxMs });

const options = {
  callback_url: z.string().nullable().optional().openapi({ example: "https://example.com/jobs" }),
  headers: z.record(z.string(), z.string()).optional(),
  concurrency: z
    .number()
    .int()
    .min(1)
    .max(limits.concurrency)
    .nullable()
    .optional()
    .openapi({ description: "Deliveries at one time; null: no limit. Default 10." }),
  retry: retry.optional(),
  timeout: duration({ minMs: 1, maxMs: limits.timeoutMs }).optional(),
  async_timeout: duration({ minMs: 1, maxMs: limits.asyncTimeoutMs }).optional(),
  approval_required: z.boolean().optional(),
  approval_timeout: duration({ minMs: 1, maxMs: limits.delayMs }).optional(),
  standard_webhooks: z.boolean().optional(),
  secret: signingSecret.nullable().optional().openapi({
    description: "Signs this queue's deliveries in place of the workspace's key; null: that one signs again.",
  }),
  strict_concurrency: z.boolean().optional().openapi({
    description:
      "A slot is free only when the endpoint answered or the time limit passed: even after a crash it never sees one delivery more.",
  }),
  rate_limit: z
    .strictObject({
      limit: z.number().int().min(1).max(limits.rate),
      period: duration({ minMs: limits.ratePeriodMinMs, maxMs: limits.ratePeriodMaxMs }),
      key: z.string().min(1).max(limits.expressionLength).optional().openapi({
        description: "CEL over `payload`: each of its values has the limit to itself.",
        example: "payload.customer",
      }),
    })
    .nullable()
    .optional()
    .openapi({ description: "Deliveries that begin in any span of `period`. Delays, never drops." }),
  breaker: z
    .strictObject({
      failures: z.number().int().min(1).max(limits.breakerFailures).optional(),
      min: duration({ minMs: limits.breakerPauseMinMs, maxMs: limits.breakerPauseMaxMs }).optional(),
      max: duration({ minMs: limits.breakerPauseMinMs, maxMs: limits.breakerPauseMaxMs }).optional(),
    })
    .nullable()
    .optional()
    .openapi({
      description:
        "After so many failures of the endpoint in a row, jobs wait for `min`, then one goes first; twice as long each time that it fails, at most `max`.",
    }),
  retention: z
    .strictObject({
      completed: kept.optional(),
      failed: kept.optional(),
      cancelled: kept.optional(),
    })
    .optional()
    .openapi({ description: "How long finished jobs are kept; what is left out follows the server's." }),
};

export const changes = z.strictObject(options).openapi("QueueOptions");
export const creation = z.strictObject({ name, ...options }).openapi("NewQueue");

export const queueJson = z
  .object({
    name: z.string(),
    kind: z.enum(["callback", "function"]),
    callback_url: z.string().nullable(),
    headers: z.record(z.string(), z.string()),
    concurrency: z.number().int().nullable(),
    retry: z.object({
      max_attempts: z.number().int(),
      backoff: z.union([z.enum(["exponential", "linear", "fixed"]), z.array(z.string())]),
      factor: z.number(),
      min: z.string(),
      max: z.string(),
      jitter: z.enum(["half", "none"]),
    }),
    timeout: z.string(),
    async_timeout: z.string(),
    approval_required: z.boolean(),
    approval_timeout: z.string(),
    standard_webhooks: z.boolean(),
    has_secret: z.boolean().openapi({ description: "Its deliveries are signed with a secret of its own." }),
    strict_concurrency: z.boolean(),
    rate_limit: z.object({ limit: z.number().int(), period: z.string(), key: z.string().optional() }).nullable(),
    breaker: z
      .object({
        failures: z.number().int(),
        min: z.string(),
        max: z.string(),
        open_until: time.nullable().openapi({ description: "Set while it is open: no job is sent before." }),
      })
      .nullable(),
    retention: z.object({
      completed: z.string().optional(),
      failed: z.string().optional(),
      cancelled: z.string().optional(),
    }),
    paused_at: time.nullable(),
    created_at: time,
  })
  .openapi("Queue");

export const queueView = (queue: Queue): z.infer<typeof queueJson> => ({
  name: queue.name,
  kind: queue.kind,
  callback_url: queue.url,
  headers: { ...queue.headers },
  concurrency: queue.concurrency,
  retry: {
    max_attempts: queue.maxAttempts,
    backoff: queue.backoff.kind === "list" ? queue.backoff.listMs.map(formatDuration) : queue.backoff.kind,
    factor: queue.backoff.factor,
    min: formatDuration(queue.backoff.minMs),
    max: formatDuration(queue.backoff.maxMs),
    jitter: queue.backoff.jitter,
  },
  timeout: formatDuration(queue.timeoutMs),
  async_timeout: formatDuration(queue.asyncTimeoutMs),
  approval_required: queue.approvalRequired,
  approval_timeout: formatDuration(queue.approvalTimeoutMs),
  standard_webhooks: queue.standardWebhooks,
  has_secret: queue.hasSecret,
  strict_concurrency: queue.strictConcurrency,
  rate_limit:
    queue.rate === null
      ? null
      : {
          limit: queue.rate.limit,
          period: formatDuration(queue.rate.periodMs),
          ...(queue.rate.key === null ? {} : { key: queue.rate.key }),
        },
  breaker:
    queue.breaker === null
      ? null
      : {
          failures: queue.breaker.failures,
          min: formatDuration(queue.breaker.minMs),
          max: formatDuration(queue.breaker.maxMs),
          open_until: queue.openAt?.toISOString() ?? null,
        },
  retention: retentionView(queue.retention),
  paused_at: queue.pausedAt?.toISOString() ?? null,
  created_at: queue.createdAt.toISOString(),
});

type Changes = z.infer<typeof changes>;

/**
 * What a queue's settings become: what is left out stays as it is.
 * @throws Refusal 422 for an address or a header that deliveries may not have.
 */
export function settingsOf(engine: Engine, current: QueueSettings, given: Changes): QueueSettings {
  // What is to be filled in was judged by `queue-templates.ts`.
  if (typeof given.callback_url === "string" && !isTemplated(given.callback_url)) {
    const checked = checkUrl(given.callback_url, engine.policy);
    if (!checked.ok) throw invalid("callback_url", checked.reason);
  }
  return {
    url: given.callback_url === undefined ? current.url : given.callback_url,
    headers: given.headers === undefined ? current.headers : headersOf(given.headers, "headers"),
    concurrency: given.concurrency === undefined ? current.concurrency : given.concurrency,
    timeoutMs: given.timeout ?? current.timeoutMs,
    asyncTimeoutMs: given.async_timeout ?? current.asyncTimeoutMs,
    maxAttempts: maxAttemptsOf(given.retry ?? {}) ?? current.maxAttempts,
    backoff: backoffOf(current.backoff, given.retry ?? {}),
    approvalRequired: given.approval_required ?? current.approvalRequired,
    approvalTimeoutMs: given.approval_timeout ?? current.approvalTimeoutMs,
    standardWebhooks: given.standard_webhooks ?? current.standardWebhooks,
    strictConcurrency: given.strict_concurrency ?? current.strictConcurrency,
    rate: given.rate_limit === undefined ? current.rate : rateOf(given.rate_limit),
    breaker: given.breaker === undefined ? current.breaker : breakerOf(current.breaker, given.breaker),
    retention: given.retention === undefined ? current.retention : retentionOf(given.retention),
  };
}

function rateOf(given: NonNullable<Changes["rate_limit"]> | null): QueueSettings["rate"] {
  if (given === null) return null;
  const wrong = given.key === undefined ? undefined : checkKeyExpression(given.key);
  if (wrong !== undefined) throw invalid("rate_limit.key", wrong);
  return { limit: given.limit, periodMs: given.period, key: given.key ?? null };
}

function breakerOf(current: Breaker | null, given: NonNullable<Changes["breaker"]> | null): Breaker | null {
  if (given === null) return null;
  const before = current ?? DEFAULT_BREAKER;
  const minMs = given.min ?? before.minMs;
  const maxMs = given.max ?? Math.max(before.maxMs, minMs);
  if (minMs > maxMs)
    throw invalid("breaker.min", `${formatDuration(minMs)} is longer than max, ${formatDuration(maxMs)}`);
  return { failures: given.failures ?? before.failures, minMs, maxMs };
}

const retentionOf = (given: NonNullable<Changes["retention"]>): Retention => ({
  ...(given.completed === undefined ? {} : { completedMs: given.completed }),
  ...(given.failed === undefined ? {} : { failedMs: given.failed }),
  ...(given.cancelled === undefined ? {} : { cancelledMs: given.cancelled }),
});

const retentionView = ({ completedMs, failedMs, cancelledMs }: Retention) => ({
  ...(completedMs === undefined ? {} : { completed: formatDuration(completedMs) }),
  ...(failedMs === undefined ? {} : { failed: formatDuration(failedMs) }),
  ...(cancelledMs === undefined ? {} : { cancelled: formatDuration(cancelledMs) }),
});

/** @throws Refusal 422 for headers that deliveries may not have. */
export function headersOf(headers: Record<string, string>, path: string): Record<string, string> {
  const checked = checkHeaders(headers);
  if (!checked.ok) throw invalid(path, checked.reason);
  return checked.headers;
}

function backoffOf(current: Backoff, given: NonNullable<Changes["retry"]>): Backoff {
  const kind = given.backoff?.kind ?? current.kind;
  const listMs = given.backoff?.listMs ?? current.listMs;
  const minMs = given.min ?? current.minMs;
  // A list says by itself how long it may take.
  const maxMs = given.max ?? Math.max(current.maxMs, ...listMs);
  if (minMs > maxMs)
    throw invalid("retry.min", `${formatDuration(minMs)} is longer than max, ${formatDuration(maxMs)}`);
  return { kind, listMs, minMs, maxMs, factor: given.factor ?? current.factor, jitter: given.jitter ?? current.jitter };
}
