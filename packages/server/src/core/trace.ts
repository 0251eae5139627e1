/**
 * W3C trace context (https://www.w3.org/TR/trace-context/), version 00: who set something in motion, and all that follows
 * from it, seen as one trace. Rotor hands it on and records no spans itself.
 */
import { randomBytes } from "./random.js";

/** Whether a header is a traceparent that names a trace and a span. */
export const isTraceparent = (text: string | undefined): text is string =>
  text !== undefined && /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/.test(text);

/**
 * A trace of its own. An id that is a UUID is the trace, so all attempts of a job, or deliveries of a run, are seen
 * together; the parent is new each time. Marked as sampled: the app's own settings shall decide, and most tracers drop
 * whatever comes in unsampled.
 */
export function newTraceparent(id?: string): string {
  const hex = id?.replaceAll("-", "").toLowerCase() ?? "";
  const trace = /^(?!0{32})[0-9a-f]{32}$/.test(hex) ? hex : randomHex(16);
  return `00-${trace}-${randomHex(8)}-01`;
}

/** A new span of the trace that started a run, or of one of the run's own. */
export const spanOf = (traceparent: string | null | undefined, run?: string): string =>
  isTraceparent(traceparent ?? undefined)
    ? traceparent!.replace(/-[0-9a-f]{16}-/, `-${randomHex(8)}-`)
    : newTraceparent(run);

/** All zeros would be an invalid id; it is as likely as guessing a key. */
const randomHex = (bytes: number): string => randomBytes(bytes).toString("hex");
