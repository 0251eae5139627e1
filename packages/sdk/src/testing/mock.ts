/** A function some of whose steps run other code in a test. Everything else about them, retries included, stays. */

import type { RotorFunction } from "../function.js";
import type { Step, StepContext } from "../step.js";

type Mocks = { readonly [stepId: string]: (context: StepContext) => unknown };

export function mocked(fn: RotorFunction, mocks: Mocks): RotorFunction {
  if (Object.keys(mocks).length === 0) return fn;
  return {
    ...fn,
    handler: (context) => {
      const { step } = context;
      const run = (id: string, code: (context: StepContext) => unknown, options?: object) =>
        step.run(id, Object.hasOwn(mocks, id) ? mocks[id]! : code, options);
      return fn.handler({ ...context, step: { ...step, run: run as Step["run"] } });
    },
  };
}
