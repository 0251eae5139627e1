/** Who changed what. */

import type { AuditEvent } from "../api.js";
import type { Call } from "./call.js";
import { type ListOptions, listingOf } from "./listing.js";

export type AuditFilter = ListOptions & {
  /** Such as `queue.update`. */
  readonly action?: string;
  /** Name or id of what was changed. */
  readonly subject?: string;
  /** At or after this time. */
  readonly after?: Date;
  readonly before?: Date;
};

/** The calls of `rotor.audit`. */
export const auditOf = (call: Call) => ({
  /** The newest first. */
  list: ({ action, subject, after, before, ...options }: AuditFilter = {}) =>
    listingOf<AuditEvent>(call, "/v1/audit", options, {
      action,
      subject,
      after: after?.toISOString(),
      before: before?.toISOString(),
    }),
});
