/** What went wrong, as one sentence and an exit code: 0 it worked, 1 it failed, 2 it was called wrongly. */

import { RotorApiError, RotorConnectionError, RotorInputError } from "@rotorsh/sdk";

/** The command was called in a way that cannot be meant; the message says what to write. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** A command failed for a reason that a sentence tells in full. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

export type Failure = { readonly message: string; readonly exitCode: 1 | 2 };

/** Faults of this program rather than of its surroundings: the place in the code is what helps then. */
const isFault = (error: unknown): error is Error =>
  error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;

/** Connecting to a name with several addresses fails with an error that has no message, but parts that have. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== "") return error.message;
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  return "code" in error ? String(error.code) : error.name;
}

/** The sentence for a server that is not there. */
export const noServer = (baseUrl: string): string =>
  `No Rotor answers at ${baseUrl}. Start one with \`rotor dev\`, or set ROTOR_BASE_URL.`;

/** @param baseUrl the server that was spoken to, for the case that none is there. */
export function failureOf(error: unknown, baseUrl: string): Failure {
  if (error instanceof UsageError || error instanceof RotorInputError) return { message: error.message, exitCode: 2 };
  if (error instanceof RotorApiError) return { message: error.message, exitCode: 1 };
  if (error instanceof RotorConnectionError) {
    return { message: error.reason === "unreachable" ? noServer(baseUrl) : error.message, exitCode: 1 };
  }
  if (isFault(error)) return { message: error.stack ?? error.message, exitCode: 1 };
  return { message: messageOf(error), exitCode: 1 };
}
