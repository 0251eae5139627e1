/** What is said of a run that did not end within the time limit of its function. */
import { formatDuration } from "@rotorsh/sdk/duration";

export const runTimeoutError = (limitMs: number): { name: string; message: string } => ({
  name: "RunTimeoutError",
  message: `The run did not end within ${formatDuration(limitMs)}, the timeout of its function.`,
});
