/** When a queue's endpoint is left alone for a while. Off unless a queue asks for it. */
import type { End } from "./job.js";

export type Breaker = {
  /** Failures of the endpoint in a row (not reached, too slow, 5xx, 429) that open it. */
  readonly failures: number;
  /** How long it is open first, in milliseconds; twice as long each time that the one job sent then fails too. */
  readonly minMs: number;
  readonly maxMs: number;
};

export const DEFAULT_BREAKER: Breaker = { failures: 5, minMs: 5_000, maxMs: 60_000 };

/** Of an attempt that never left: a secret is missing, a header cannot be sent. It says nothing of the endpoint. */
const UNSENT = new Set(["UnknownSecretError", "DeliveryError"]);

/** A failure that says something of the endpoint and not of the job: it was not reached, took too long, or is unwell. */
export const isEndpoints = (end: End, status: number | null): boolean =>
  end.kind === "unreached" ||
  (end.kind === "failed" && (status === null ? !UNSENT.has(end.error.name) : status >= 500 || status === 429));
