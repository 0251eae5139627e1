/** `onFailure`: the handler of a function's failed runs, as a function of its own that the server starts when one fails. */

import { fromWireError } from "./errors.js";
import type { EventOf, FunctionContext, RotorFunction } from "./function.js";
import type { WireError } from "./protocol.js";

/** What `onFailure` is given. It is the code of a run of its own: steps, retries and sleeps work as in any. */
export type FailureContext<Data> = Omit<FunctionContext<Data>, "event" | "events" | "runId"> & {
  /** Why the run failed. */
  readonly error: Error;
  /** The event of the run that failed. */
  readonly event: EventOf<Data>;
  /** The run that failed. */
  readonly runId: string;
  /** Key of the step whose failure ended it; null where that was the code between steps, or a time limit. */
  readonly failedStep: string | null;
  /** The run that this handler is executed in. */
  readonly ownRunId: string;
};

/** The `data` of the event `rotor/run.failed`. */
type Failure = {
  readonly error: WireError;
  readonly event: EventOf<never>;
  readonly run_id: string;
  readonly function: string;
  readonly failed_step: string | null;
};

export const failureId = (id: string): string => `${id}.on-failure`;

/** These functions, and behind each that has an `onFailure` the function that handles its failures. */
export const withFailures = (functions: readonly RotorFunction[]): RotorFunction[] =>
  functions.flatMap((one) => (one.onFailure === undefined ? [one] : [one, failureFunction(one)]));

function failureFunction({ id, onFailure }: RotorFunction): RotorFunction {
  return {
    id: failureId(id),
    config: { id: failureId(id) },
    handler: ({ event, events: _, runId, ...rest }) => {
      const failure = event.data as Failure;
      return onFailure!({
        ...rest,
        error: fromWireError(failure.error),
        event: failure.event,
        runId: failure.run_id,
        failedStep: failure.failed_step,
        ownRunId: runId,
      });
    },
  };
}
