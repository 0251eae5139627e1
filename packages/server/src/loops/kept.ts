/** What of a call is kept with its attempt: heads and timing as text. What of them may be shown is `core/detail.ts`'s business. */
import { type Call, detailText } from "../core/detail.js";
import type { DeliveryResult } from "../delivery/deliver.js";
import type { LoadedJob } from "../store/load.js";

/** However it ended; nothing of a call that is given back, since no attempt is logged. */
export function keptOf(
  job: LoadedJob,
  call: Pick<Call, "sent" | "configured" | "tokens" | "values">,
  { kind, durationMs, head, timing }: DeliveryResult,
): { durationMs: number; detail: string | null } {
  if (kind === "aborted") return { durationMs, detail: null };
  const queued = job.queuedMs === null ? {} : { queueMs: Math.max(0, job.queuedMs) };
  return {
    durationMs,
    detail: detailText({
      ...call,
      url: job.queue.url,
      response: head?.headers,
      timing: { ...queued, ...timing },
    }),
  };
}
