/** The root of the SDK's errors, and the one for values that Rotor cannot take. Apart from the others, since durations throw it too. */

/** All errors of this SDK. */
export class RotorError extends Error {
  // Written out in each class, since a bundler that shortens class names must not change what is stored of an error.
  override readonly name: string = "RotorError";
}

/** A value that Rotor cannot take; the message says what to write instead. */
export class RotorInputError extends RotorError {
  override readonly name = "RotorInputError";
  readonly code = "invalid_input";
}
