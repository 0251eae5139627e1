/** Approvals over HTTP: jobs that wait for a person's yes. An approval has the id of its job. */
import { z } from "@hono/zod-openapi";
import { limits } from "../core/limits.js";
import { listApproved } from "../store/approvals.js";
import { approve, reject } from "../store/control.js";
import type { Queryable } from "../store/db.js";
import { type JobView, listJobs } from "../store/views.js";
import { type Api, endpoint } from "./endpoint.js";
import { conflict } from "./errors.js";
import { errorName, jobJson, jobView } from "./job-views.js";
import { findJob } from "./jobs.js";
import { idCursor, LARGE_ITEMS, type Page, type PageQuery, pageOf, pageOfJobs } from "./paging.js";
import { json, listOf, page, time } from "./schemas.js";

const STATUSES = ["pending", "approved", "rejected", "expired"] as const;

const approvalJson = z
  .object({
    id: z.string(),
    job_id: z.string(),
    queue: z.string(),
    status: z.enum(STATUSES),
    expires_at: time.nullable().openapi({ description: "Until when it can be decided." }),
    reason: z.string().nullable().openapi({ description: "As given with the decision." }),
    payload: json,
    content_type: z.string(),
    payload_encoding: jobJson.shape.payload_encoding,
    tags: z.array(z.string()),
    created_at: time,
  })
  .openapi("Approval");

type Approval = z.infer<typeof approvalJson>;

const viewOf = (job: JobView, status: Approval["status"], reason: string | null = null): Approval => {
  const { queue, payload, content_type, payload_encoding, tags, created_at } = jobView(job);
  const expiresAt = status === "pending" ? job.until : null;
  return {
    id: job.id,
    job_id: job.id,
    queue,
    status,
    expires_at: expiresAt?.toISOString() ?? null,
    reason,
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

/** What was said when it was turned down. */
const errorMessage = (job: JobView): string | null => jobView(job).error?.message ?? null;

/** A page of approvals that were given, the newest job first. */
async function approvedOnes(db: Queryable, workspace: string, query: PageQuery): Promise<Page<Approval>> {
  const { data, next_cursor } = await pageOf(
    { ...query, cursor: idCursor(query.cursor) },
    (after, limit) => listApproved(db, workspace, after, limit),
    (approved) => approved.jobId,
    (approved) => approved,
    LARGE_ITEMS,
  );
  const found: Approval[] = [];
  for (const { jobId, reason } of data) {
    const [job] = await listJobs(db, workspace, { id: jobId }, 1);
    if (job !== undefined) found.push(viewOf(job, "approved", reason));
  }
  return { data: found, next_cursor };
}

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
      query: z.object({ ...page, status: z.enum(STATUSES).optional() }),
      answers: { 200: ["A page.", listOf(approvalJson)] },
    },
    async ({ c, workspace, query }) => {
      const { status = "pending" } = query;
      if (status === "pending")
        return c.json(
          await pageOfJobs(db, workspace, { state: "pending_approval" }, query, (job) => viewOf(job, status)),
        );
      if (status === "approved") return c.json(await approvedOnes(db, workspace, query));
      const wanted = status === "rejected" ? "RejectedError" : "ExpiredError";
      return c.json(
        await pageOfJobs(
          db,
          workspace,
          { kind: "callback", state: "failed" },
          query,
          (job) => viewOf(job, status, errorMessage(job)),
          { keep: (job) => errorName(job) === wanted },
        ),
      );
    },
  );

  for (const [verb, status, summary] of [
    ["approve", "approved", "Let the job go"],
    ["reject", "rejected", "Fail the job: it is a dead letter that no bulk replay takes"],
  ] as const) {
    endpoint(
      api,
      "approve",
      {
        method: "post",
        path: `/v1/approvals/{id}/${verb}`,
        summary,
        tag,
        audit: `approval.${verb}`,
        params,
        body: decision,
        answers: { 200: ["It is decided.", approvalJson] },
      },
      async ({ c, workspace, params: { id }, body }) => {
        const before = await findJob(db, workspace, id, {}, "approval");
        const decide = verb === "approve" ? approve : reject;
        const moved = await decide(db, [before.id], body.reason ?? null);
        const job = await findJob(db, workspace, before.id, {}, "approval");
        if (moved.length === 0)
          throw conflict(`There is nothing to decide: the job is ${job.state}.`, { state: job.state });
        engine.wake();
        return c.json(viewOf(job, status, body.reason));
      },
    );
  }
}
