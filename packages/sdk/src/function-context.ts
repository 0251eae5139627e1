/** What a function is given in one delivery. The step object comes from outside; nothing here knows what it does. */

import type { FunctionContext, Logger } from "./function.js";
import type { LazyAbort } from "./lazy-abort.js";
import type { DeliveryRequest } from "./protocol.js";

/** The console, silent while stored results are replayed. `speaks` is asked at each line. */
function loggerWhile(speaks: () => boolean): Logger {
  const line =
    (level: keyof Logger) =>
    (...values: unknown[]) => {
      if (speaks()) console[level](...values);
    };
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}

type Surroundings = Pick<FunctionContext<never>, "step" | "traceparent" | "env"> & {
  readonly over: LazyAbort;
  readonly speaks: () => boolean;
};

/** The event's data has the type that the function's trigger promises; nobody can check that here. */
export function contextFor(
  { event, events = [event], run, attempt }: DeliveryRequest,
  { step, over, traceparent, env, speaks }: Surroundings,
): FunctionContext<never> {
  return {
    event: { ...event, data: event.data as never },
    events: events.map((each) => ({ ...each, data: each.data as never })),
    step,
    runId: run,
    attempt,
    logger: loggerWhile(speaks),
    get signal() {
      return over.signal;
    },
    traceparent,
    env,
  };
}
