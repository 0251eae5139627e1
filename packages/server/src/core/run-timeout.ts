/** What is said of a run that did not end within the time limit of its function. */
import { formatDuration } from "@rotorsh/sdk/duration";

/** JSON text of the error. */
export const runTimeoutText = (limitMs: number): string =>
  JSON.stringify({
    name: "RunTimeoutError",
    message: `The run did not end within ${formatDuration(limitMs)}, the timeout of its function.`,
  });
