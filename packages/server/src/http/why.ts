/** Why does it not move? One job or run, explained. The words are `core/why.ts`'s. */
import { z } from "@hono/zod-openapi";
import { explain } from "../core/why.js";
import { whyFacts } from "../store/why.js";
import { type Api, endpoint } from "./endpoint.js";
import { notFound } from "./errors.js";
import { findJob } from "./jobs.js";
import { json, time } from "./schemas.js";

const whyJson = z
  .object({
    id: z.string(),
    state: z.string(),
    reason: z.string().nullable(),
    since: time.nullable(),
    until: time.nullable(),
    sentence: z.string().openapi({ description: "What it waits for, since and until when, in words." }),
    blocked_by: z.array(z.object({ id: z.string(), queue: z.string(), until: time.nullable() })),
    unblock: z.array(z.string()).openapi({ description: "Commands that unblock it; none where only time does." }),
    near_misses: z
      .array(
        z.object({
          event_id: z.string(),
          received_at: time,
          part: z.string().nullable().openapi({ description: "Of a wait for several things: which it missed." }),
          differences: z.array(z.object({ path: z.string(), wanted: json, found: json })),
        }),
      )
      .openapi({ description: "Of a wait for an event: the last events of that name that did not match." }),
  })
  .openapi("Why");

/** Hangs the route. */
export function why(api: Api): void {
  const { engine } = api;
  const { db } = engine;
  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/jobs/{id}/why",
      summary: "Why a job or run does not move, and what unblocks it",
      tag: "jobs",
      params: z.object({ id: z.string() }),
      answers: { 200: ["The explanation.", whyJson] },
    },
    async ({ c, workspace, params }) => {
      const job = await findJob(db, workspace, params.id, {});
      const facts = await whyFacts(db, workspace, job.id);
      if (facts === undefined) throw notFound("job", params.id);
      const { sentence, since, until, unblock, blockedBy, nearMisses } = explain(job, {
        ...facts,
        held: facts.held || engine.isHeld(),
      });
      const answer: z.infer<typeof whyJson> = {
        id: job.id,
        state: job.state,
        reason: job.reason,
        since: since?.toISOString() ?? null,
        until: until?.toISOString() ?? null,
        sentence,
        blocked_by: blockedBy.map((holder) => ({ ...holder, until: holder.until?.toISOString() ?? null })),
        unblock: [...unblock],
        near_misses: nearMisses.map((event) => ({
          event_id: event.id,
          received_at: event.receivedAt.toISOString(),
          part: event.part,
          differences: [...event.differences],
        })),
      };
      return c.json(answer);
    },
  );
}
