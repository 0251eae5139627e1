/** Approvals over HTTP: jobs that wait for a person's yes. An approval has the id of its job. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { approve, reject } from "../store/control.js";
import type { JobView } from "../store/views.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict } from "./errors.js";
import { errorName, jobJson, jobView } from "./job-views.js";
import { findJob } from "./jobs.js";
import { pageOfJobs } from "./paging.js";
import { json, listOf, page, time } from "./schemas.js";

const approvalJson = z
  .object({
    id: z.string(),
    job_id: z.string(),
    queue: z.string(),
    status: z.enum(["pending", "approved", "rejected", "expired"]),
    expires_at: time.nullable(),
    payload: json,
    content_type: z.string(),
    payload_encoding: jobJson.shape.payload_encoding,
    tags: z.array(z.string()),
    created_at: time,
  })
  .openapi("Approval");

type Approval = z.infer<typeof approvalJson>;

const viewOf = (job: JobView, status: Approval["status"]): Approval => {
  const { queue, payload, content_type, payload_encoding, tags, created_at } = jobView(job);
  const expiresAt = status === "pending" ? job.until : null;
  return {
    id: job.id,
    job_id: job.id,
    queue,
    status,
    expires_at: expiresAt?.toISOString() ?? null,
    payload,
    content_type,
    payload_encoding,
    tags,
    created_at,
  };
};

const tag = "approvals";
const params = z.object({ id: z.string() });
const decision = z.strictObject({ reason: z.string().max(limits.errorMessageLength).optional() });

/** Hangs the routes of approvals. */
export function approvals(api: Api): void {
  const { engine } = api;
  const { db } = engine;

  endpoint(
    api,
    "read",
    {
      method: "get",
      path: "/v1/approvals",
      summary: "List approvals, the newest first; by default those that are pending",
      tag,
      query: z.object({ ...page, status: z.enum(["pending", "rejected", "expired"]).optional() }),
      answers: { 200: ["A page.", listOf(approvalJson)] },
    },
    async ({ c, workspace, query }) => {
      const { status = "pending" } = query;
      const view = (job: JobView): Approval => viewOf(job, status);
      if (status === "pending")
        return c.json(await pageOfJobs(db, workspace, { state: "pending_approval" }, query, view));
      const wanted = status === "rejected" ? "RejectedError" : "ExpiredError";
      return c.json(
        await pageOfJobs(db, workspace, { state: "failed" }, query, view, (job) => errorName(job) === wanted),
      );
    },
  );

  for (const [verb, status, summary] of [
    ["approve", "approved", "Let the job go"],
    ["reject", "rejected", "Fail the job"],
  ] as const) {
    endpoint(
      api,
      "approve",
      {
        method: "post",
        path: `/v1/approvals/{id}/${verb}`,
        summary,
        tag,
        params,
        body: decision,
        answers: { 200: ["It is decided.", approvalJson] },
      },
      async ({ c, workspace, params: { id }, body }) => {
        const before = await findJob(db, workspace, id, {}, "approval");
        const moved =
          verb === "approve" ? await approve(db, [before.id]) : await reject(db, [before.id], body.reason ?? null);
        const job = await findJob(db, workspace, before.id, {}, "approval");
        if (moved.length === 0)
          throw conflict(`There is nothing to decide: the job is ${job.state}.`, { state: job.state });
        engine.wake();
        return c.json(viewOf(job, status));
      },
    );
  }
}
