/** Who did what to whom: appended to, listed, and removed by the pruner when it is old. Never changed. */
import { newId } from "../core/ids.js";
import { type Queryable, sql } from "./db.js";

export type AuditEvent = {
  readonly id: string;
  readonly at: Date;
  /** `key:<id> <name>`, `local` or `operator`. */
  readonly actor: string;
  /** `queue.update` and its like. */
  readonly action: string;
  /** The name or id of what it was done to; empty where it was many. */
  readonly subject: string;
  /** What was given, by name: never a value. */
  readonly details: { readonly fields?: readonly string[] };
};

const insert = sql(
  "audit.insert",
  `insert into rotor.audit_events (id, workspace_id, actor, action, subject, details) values ($1, $2, $3, $4, $5, $6::jsonb)`,
);

const list = sql(
  "audit.list",
  `select id, at, actor, action, subject, details from rotor.audit_events
    where workspace_id = $1 and ($2::uuid is null or id < $2) and ($3::text is null or action = $3)
      and ($4::text is null or subject = $4) and ($5::timestamptz is null or at >= $5) and ($6::timestamptz is null or at < $6)
    order by id desc limit $7`,
);

export type NewAuditEvent = Omit<AuditEvent, "id" | "at"> & { readonly workspace: string };

export const audit = (db: Queryable, event: NewAuditEvent): Promise<unknown> =>
  db.query(insert, [newId(), event.workspace, event.actor, event.action, event.subject, JSON.stringify(event.details)]);

export type AuditFilter = {
  readonly action?: string | undefined;
  readonly subject?: string | undefined;
  /** At or after. */
  readonly after?: string | undefined;
  readonly before?: string | undefined;
};

/** The newest first, before an id. */
export const listAudit = (
  db: Queryable,
  workspace: string,
  { action, subject, after, before }: AuditFilter,
  beforeId: string | undefined,
  limit: number,
): Promise<AuditEvent[]> =>
  db.query(list, [workspace, beforeId ?? null, action ?? null, subject ?? null, after ?? null, before ?? null, limit]);
