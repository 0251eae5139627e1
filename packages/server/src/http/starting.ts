/** How a function's runs are started and ended, as the API shows it: the manifest's words, and durations as texts. */
import { z } from "@hono/zod-openapi";
import { formatDuration } from "@rotorsh/sdk/duration";
import { ONE_FOR_ALL } from "../core/rate-key.js";
import type { Queue } from "../store/queues.js";
import type { Startable } from "../store/start-plan.js";

const key = z.string().optional();
const optionalText = z.string().optional();

/** Fields of a function; those that its app did not give are left out. */
export const startingJson = {
  concurrency_keys: z.array(z.object({ limit: z.number().int(), key: z.string() })).optional(),
  singleton: z.object({ key, mode: z.enum(["wait", "skip", "cancel"]) }).optional(),
  rate_limit: z.object({ limit: z.number().int(), period: z.string(), key }).optional(),
  debounce: z.object({ period: z.string(), key, max_wait: optionalText }).optional(),
  batch: z.object({ size: z.number().int(), timeout: z.string(), key }).optional(),
  priority: optionalText,
  idempotency_key: optionalText,
  timeout: optionalText,
  cancel_on: z
    .array(
      z.object({
        event: z.string(),
        match: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
        timeout: optionalText,
      }),
    )
    .optional(),
  on_failure: optionalText.openapi({ description: "Id of the function that is started when a run has failed." }),
};

type StartingJson = { [Field in keyof typeof startingJson]?: z.infer<(typeof startingJson)[Field]> };

const optional = <Name extends string>(name: Name, ms: number | undefined) =>
  ms === undefined ? {} : { [name]: formatDuration(ms) };

export function startingView({ starting, rate }: Queue): StartingJson {
  const { keys, singleton, debounce, batch, priority, idempotency_key, timeout_ms, cancel_on, on_failure } = starting;
  return {
    ...(keys && { concurrency_keys: keys.map(({ limit, key: expression }) => ({ limit, key: expression })) }),
    ...(singleton && { singleton }),
    ...(rate && {
      rate_limit: {
        limit: rate.limit,
        period: formatDuration(rate.periodMs),
        ...(rate.key !== null && rate.key !== ONE_FOR_ALL && { key: rate.key }),
      },
    }),
    ...(debounce && {
      debounce: {
        period: formatDuration(debounce.period_ms),
        ...(debounce.key !== undefined && { key: debounce.key }),
        ...optional("max_wait", debounce.max_wait_ms),
      },
    }),
    ...(batch && {
      batch: {
        size: batch.size,
        timeout: formatDuration(batch.timeout_ms),
        ...(batch.key !== undefined && { key: batch.key }),
      },
    }),
    ...(priority !== undefined && { priority }),
    ...(idempotency_key !== undefined && { idempotency_key }),
    ...optional("timeout", timeout_ms),
    ...(cancel_on && {
      cancel_on: cancel_on.map(({ timeout_ms: limit, match, event }) => ({
        event,
        ...(match !== undefined && { match: match as string | Record<string, unknown> }),
        ...optional("timeout", limit),
      })),
    }),
    ...(on_failure !== undefined && { on_failure }),
  };
}

/** A function as its starts need it. */
export const startable = ({ id, workspace, starting }: Queue): Startable => ({ queueId: id, workspace, starting });
