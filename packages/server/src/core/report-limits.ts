/** What reports may weigh and how many steps they may add up to: the sentences for a step that is refused. */
import type { Report, WireError } from "@rotorsh/sdk/protocol";
import { limits } from "./limits.js";

/**
 * Why the first of these reports whose output is too large is not stored; undefined where none is.
 * @param bytes what all of them weigh together at the most: no output weighs more, so small ones are not looked at.
 */
export function outputTooLarge(reports: readonly Report[], bytes: number): WireError | undefined {
  if (bytes <= limits.stepOutputBytes) return undefined;
  for (const report of reports) {
    if (report.kind !== "run" || report.outcome !== "completed") continue;
    const weight = Buffer.byteLength(JSON.stringify(report.output));
    if (weight <= limits.stepOutputBytes) continue;
    const message = `The output of step ${JSON.stringify(report.key)} is ${weight} bytes, and at most ${limits.stepOutputBytes} are kept: store it elsewhere and return a reference to it.`;
    return { name: "OutputTooLargeError", message };
  }
  return undefined;
}

/** A run has as many steps as one may have. */
export const TOO_MANY_STEPS: WireError = {
  name: "StepLimitError",
  message: `A run has at most ${limits.stepsPerRun} steps: give part of the work to a run of its own with step.invoke.`,
};
