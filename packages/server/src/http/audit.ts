/** The audit over HTTP: who did what, as JSON or as CSV. It is written in `endpoint.ts`. */
import { z } from "@hono/zod-openapi";
import { csv } from "../core/csv.js";
import { type AuditEvent, listAudit } from "../store/audit.js";
import { type Api, endpoint } from "./endpoint.js";
import { idCursor, pageOf } from "./paging.js";
import { filterText, instant, listOf, page, time } from "./schemas.js";

const auditJson = z
  .object({
    id: z.string(),
    at: time,
    actor: z.string().openapi({ example: "key:0197f2d0-1c5e-7b6e-9d2e-2f3a4b5c6d7e ci" }),
    action: z.string().openapi({ example: "queue.update" }),
    subject: z.string(),
    details: z.object({ fields: z.array(z.string()).optional() }),
  })
  .openapi("AuditEvent");

const view = (event: AuditEvent): z.infer<typeof auditJson> => ({
  id: event.id,
  at: event.at.toISOString(),
  actor: event.actor,
  action: event.action,
  subject: event.subject,
  details: { ...(event.details.fields === undefined ? {} : { fields: [...event.details.fields] }) },
});

const HEAD = ["id", "at", "actor", "action", "subject", "fields"];

/** Hangs the route of the audit. */
export function auditTrail(api: Api): void {
  const { db } = api.engine;

  endpoint(
    api,
    "admin",
    {
      method: "get",
      path: "/v1/audit",
      summary: "List who changed what, the newest first",
      tag: "audit",
      query: z.object({
        ...page,
        action: filterText.optional().openapi({ example: "queue.update" }),
        subject: filterText.optional().openapi({ description: "Name or id of what was changed." }),
        after: instant.optional().openapi({ description: "At or after this time." }),
        before: instant.optional().openapi({ description: "Before this time." }),
        format: z
          .enum(["json", "csv"])
          .optional()
          .openapi({ description: "Default: what `Accept` asks for. The cursor of CSV is in x-rotor-next-cursor." }),
      }),
      answers: { 200: ["A page; with format=csv, or `Accept: text/csv`, text/csv.", listOf(auditJson)] },
    },
    async ({ c, workspace, query }) => {
      const { data, next_cursor } = await pageOf(
        { ...query, cursor: idCursor(query.cursor) },
        (before, limit) => listAudit(db, workspace, query, before, limit),
        (event) => event.id,
        view,
      );
      const asCsv = query.format === "csv" || (query.format === undefined && wantsCsv(c.req.header("accept")));
      if (!asCsv) return c.json({ data, next_cursor });
      const rows = data.map((each) => [
        each.id,
        each.at,
        each.actor,
        each.action,
        each.subject,
        (each.details.fields ?? []).join(" "),
      ]);
      return c.body(csv(HEAD, rows), 200, {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": 'attachment; filename="audit.csv"',
        ...(next_cursor === null ? {} : { "x-rotor-next-cursor": next_cursor }),
      });
    },
  );
}

/** Whether CSV is named before JSON. */
const wantsCsv = (accept = ""): boolean => {
  const named = accept.split(",").map((part) => part.split(";")[0]!.trim().toLowerCase());
  return named.find((type) => type === "text/csv" || type === "application/json") === "text/csv";
};
