/** What of a call is kept with its attempt: heads and timing as text. What of them may be shown is `core/detail.ts`'s business. */
import { type Call, detailText } from "../core/detail.js";
import type { DeliveryResult } from "../delivery/deliver.js";
import type { LoadedJob } from "../store/load.js";

/** However it ended; null of a call that is given back, since no attempt is logged. */
export function keptOf(
  job: LoadedJob,
  { sent, configured, tokens, values }: Pick<Call, "sent" | "configured" | "tokens" | "values">,
  { kind, head, timing }: DeliveryResult,
): string | null {
  if (kind === "aborted") return null;
  return detailText({
    url: job.queue.url,
    sent,
    configured,
    tokens,
    values,
    response: head?.headers,
    timing: {
      queueMs: job.queuedMs === null ? undefined : Math.max(0, job.queuedMs),
      connectMs: timing.connectMs,
      waitMs: timing.waitMs,
      readMs: timing.readMs,
    },
  });
}
