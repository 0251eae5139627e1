/** What one delivery is replayed with. Types only. */

import type { Advice } from "./advice.js";
import type { RotorFunction } from "./function.js";
import type { InHand } from "./in-hand.js";
import type { Lane } from "./lane.js";
import type { DeliveryRequest, WireStep } from "./protocol.js";

export type ReplayOptions = {
  readonly request: DeliveryRequest;
  /** All stored steps: those of the request and of its further pages. */
  readonly steps: readonly WireStep[];
  readonly handler: RotorFunction["handler"];
  readonly lane: Lane;
  /** Steps that the run may ask for (default 1,000). */
  readonly maxSteps?: number | undefined;
  readonly env?: unknown;
  /** W3C trace context of the delivery's request. */
  readonly traceparent?: string | undefined;
  /** No step starts later than this many milliseconds from now. */
  readonly startWithinMs?: number;
  /** In development: whom to tell of code that will surprise. */
  readonly advice?: Advice | undefined;
  /** What this delivery is told while it lives. */
  readonly inHand?: InHand;
  /** How long code that does not reach a stored wait may still be busy with work of its own (default 1 s). */
  readonly graceMs?: number;
};
