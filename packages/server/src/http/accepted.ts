/**
 * How a callback's endpoint that answered 202 reports back: complete, fail, heartbeat. Whoever holds the capability from
 * `x-rotor-complete-url` may, for that one delivery; so may an API key of the job's workspace that may write.
 */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { isId } from "../core/ids.js";
import { limits } from "../core/limits.js";
import { type Capability, readToken } from "../core/token.js";
import { listJobs } from "../store/views.js";
import { allows } from "./auth.js";
import { rawMember } from "./body.js";
import { type Api, openEndpoint } from "./endpoint.js";
import { conflict, notFound, Refusal } from "./errors.js";
import { duration, json } from "./schemas.js";

const params = z.object({ id: z.string() });
const query = z.object({
  token: z.string().max(500).optional().openapi({ description: "The capability; else it is the bearer." }),
});
const done = z.object({ id: z.string(), ok: z.literal(true) });

const completion = z.strictObject({ output: json.optional() }).openapi("Completion");
const failure = z
  .strictObject({
    error: z
      .union(
        [
          z.string().max(limits.errorMessageLength),
          z.strictObject({ name: z.string().max(200).optional(), message: z.string().max(limits.errorMessageLength) }),
        ],
        'write a text, or { "name": "…", "message": "…" }',
      )
      .optional(),
    retriable: z.boolean().optional().openapi({ description: "False: no further attempt is made. Default true." }),
    retry_after: duration({ maxMs: limits.retryAfterMs }).optional(),
  })
  .openapi("Failure");

/** Hangs the routes by which accepted jobs end. */
export function accepted(api: Api): void {
  const { engine } = api;

  /** The delivery that the request may speak for. */
  const authorize = async (c: Context, id: string, token: string | undefined): Promise<Capability> => {
    const bearer = /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
    const text = token ?? (bearer?.startsWith("rt_ws_") === true ? undefined : bearer);
    if (text !== undefined) {
      const capability = readToken(engine.tokenSecret, "complete", text);
      if (capability === undefined || capability.jobId !== id)
        throw new Refusal(401, "unauthorized", "The token is not one for this job.");
      return capability;
    }
    const caller = await api.auth.authenticate(c, "write");
    const [job] =
      isId(id) && allows(caller, "write")
        ? await listJobs(engine.db, caller.workspace, { id, kind: "callback" }, 1)
        : [];
    if (job === undefined) throw notFound("job", id);
    if (job.state !== "active")
      throw conflict(`The job is ${job.state}: nobody is expected to report on it.`, { state: job.state });
    return { jobId: job.id, delivery: job.delivery };
  };

  const answer = (c: Context, id: string, taken: boolean): Response => {
    if (!taken)
      throw conflict(
        "This delivery is over: the job has ended, was cancelled, or is delivered anew. Nothing was changed.",
      );
    return c.json({ id, ok: true });
  };

  const route = { method: "post", tag: "jobs", params, query, answers: { 200: ["It is recorded.", done] } } as const;

  openEndpoint(
    api,
    { ...route, path: "/v1/jobs/{id}/complete", summary: "Complete an accepted job", body: completion },
    async ({ c, params: { id }, query: { token }, text }) => {
      const { jobId, delivery } = await authorize(c, id, token);
      const output = rawMember(text, "output") ?? null;
      return answer(c, id, (await engine.settleAccepted(jobId, delivery, { kind: "done", output })) === "settled");
    },
  );

  openEndpoint(
    api,
    { ...route, path: "/v1/jobs/{id}/fail", summary: "Fail this attempt of an accepted job", body: failure },
    async ({ c, params: { id }, query: { token }, body }) => {
      const { jobId, delivery } = await authorize(c, id, token);
      const given = typeof body.error === "string" ? { message: body.error } : body.error;
      const error = { name: given?.name ?? "Error", message: given?.message ?? "The endpoint reported a failure." };
      const end = { kind: "failed", error, final: body.retriable === false, retryAfterMs: body.retry_after } as const;
      return answer(c, id, (await engine.settleAccepted(jobId, delivery, end)) === "settled");
    },
  );

  openEndpoint(
    api,
    { ...route, path: "/v1/jobs/{id}/heartbeat", summary: "Say that an accepted job is being worked on" },
    async ({ c, params: { id }, query: { token } }) => {
      const { jobId, delivery } = await authorize(c, id, token);
      return answer(c, id, await engine.heartbeat(jobId, delivery));
    },
  );
}
