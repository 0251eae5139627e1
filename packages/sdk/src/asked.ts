/** A step that the code has asked for and awaits. Types only: what moves it from phase to phase is `replay.ts`. */

import type { LazyAbort } from "./lazy-abort.js";
import type { Json } from "./protocol.js";
import type { StepCall } from "./step-call.js";

/** Where an asked step stands. */
export type Phase =
  /** Finished at the server; resolves when its turn comes. */
  | { readonly at: "stored" }
  /** Its code may start. */
  | { readonly at: "ready" }
  | { readonly at: "running"; readonly abort: LazyAbort }
  /** In the outbox, or on its way; `output` is what a finished attempt gave. */
  | { readonly at: "reported"; readonly output?: Json }
  /** The server holds it unfinished; due by the monotonic clock. */
  | { readonly at: "waiting"; readonly dueMs: number }
  | { readonly at: "settled" };

export type Asked = {
  readonly key: string;
  readonly call: StepCall;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Key of the step whose result the code had received last when it asked; undefined at the run's beginning. */
  readonly before: string | undefined;
  phase: Phase;
  /** Attempts begun. */
  attempt: number;
};
