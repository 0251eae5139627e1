/**
 * Anything that was thrown ⇄ the error of the wire. What is thrown is not ours: getters that throw, causes in a circle and
 * stacks of 50 MB all become a small plain object. Import it from `errors.ts`.
 */

import {
  NonRetriableError,
  SignalTimeoutError,
  WorkflowCancelledError,
  WorkflowFailedError,
  WorkflowSkippedError,
  WorkflowTimeoutError,
} from "./error-classes.js";
import { RotorError } from "./input-error.js";
import type { WireError } from "./protocol.js";

/** Bytes of UTF-8. A message longer than this is a document; a stack longer than this is a loop. */
const LIMITS = { name: 256, code: 256, message: 8 * 1024, stack: 16 * 1024 } as const;

/** Causes below the fifth say nothing about the first. */
const MAX_DEPTH = 5;

/** Room for the deepest chain with ordinary stacks. */
const DEFAULT_MAX_BYTES = 64 * 1024;

// `encodeInto` stops at a whole character and mends lone surrogates, which Postgres refuses, as it does NUL.
function cut(text: string, maxBytes: number): string {
  const bytes = new Uint8Array(Math.min(maxBytes, text.length * 3));
  const { written } = new TextEncoder().encodeInto(text, bytes);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, written)).replaceAll("\0", "\ufffd");
}

function read(value: object, key: string): unknown {
  try {
    return (value as Record<string, unknown>)[key];
  } catch {
    // A getter that throws has nothing to tell.
    return undefined;
  }
}

function describe(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value === "function" ? "a function" : String(value);
  try {
    return JSON.stringify(value) ?? "an object";
  } catch {
    // Cycles, bigints, a toJSON that throws.
    return "an object that has no JSON";
  }
}

// Node's "happy eyeballs" throws an AggregateError without a message when every address refused.
function messageOfParts(value: object): string | undefined {
  const parts = read(value, "errors");
  if (!Array.isArray(parts) || parts.length === 0) return undefined;
  const texts = parts
    .slice(0, 5)
    .map((part) => (typeof part === "object" && part !== null ? read(part, "message") : part));
  return texts.filter((text) => typeof text === "string").join("; ");
}

function wireErrorOf(value: unknown, depth: number): WireError {
  if (typeof value !== "object" || value === null)
    return { name: "Error", message: cut(describe(value), LIMITS.message) };
  const name = read(value, "name");
  const text = read(value, "message");
  const stack = read(value, "stack");
  const code = read(value, "code");
  const cause = depth < MAX_DEPTH ? read(value, "cause") : undefined;
  const message = typeof text === "string" ? text || messageOfParts(value) || "" : describe(value);
  return {
    name: typeof name === "string" && name !== "" ? cut(name, LIMITS.name) : "Error",
    message: cut(message, LIMITS.message),
    ...(typeof stack === "string" && { stack: cut(stack, LIMITS.stack) }),
    ...((typeof code === "string" || typeof code === "number") && { code: cut(String(code), LIMITS.code) }),
    ...(cause !== undefined && cause !== null && { cause: wireErrorOf(cause, depth + 1) }),
  };
}

const sizeOf = (error: WireError): number => new TextEncoder().encode(JSON.stringify(error)).length;

// What tells least goes first: stacks of causes, the causes, the stack, the end of the message.
function fit(error: WireError, maxBytes: number): WireError {
  const withoutStacks = ({ stack: _, cause, ...rest }: WireError): WireError =>
    cause ? { ...rest, cause: withoutStacks(cause) } : rest;
  const { cause, ...alone } = error;
  const { stack, ...bare } = alone;
  const smaller = [error, cause ? { ...alone, cause: withoutStacks(cause) } : error, alone, bare];
  const fitting = smaller.find((candidate) => sizeOf(candidate) <= maxBytes);
  if (fitting) return fitting;
  let message = bare.message;
  while (message !== "" && sizeOf({ ...bare, message }) > maxBytes) message = cut(message, message.length >> 1);
  return { ...bare, message };
}

/**
 * What was thrown, as the wire carries it. Never throws, whatever it is given.
 * @param maxBytes the size of its JSON (default 64 KiB); a name and code alone take up to 1 KiB and are always kept.
 */
export function toWireError(thrown: unknown, maxBytes: number = DEFAULT_MAX_BYTES): WireError {
  try {
    return fit(wireErrorOf(thrown, 1), maxBytes);
  } catch {
    // A revoked proxy, or an engine out of memory: the failure still has to be told.
    return { name: "Error", message: "an error that could not be read" };
  }
}

const CLASSES: Record<string, new (message: string, options: { cause?: unknown }) => Error> = {
  NonRetriableError,
  SignalTimeoutError,
  WorkflowCancelledError,
  WorkflowFailedError,
  WorkflowSkippedError,
  WorkflowTimeoutError,
};

/** An error to throw for one that came over the wire: of its class where it is one of ours, else an `Error` of its name. */
export function fromWireError(wire: WireError, depth = 1): Error {
  const options = wire.cause && depth < MAX_DEPTH ? { cause: fromWireError(wire.cause, depth + 1) } : {};
  const Class = Object.hasOwn(CLASSES, wire.name) ? CLASSES[wire.name] : undefined;
  const error = Class ? new Class(wire.message, options) : new Error(wire.message, options);
  const hidden = (value: unknown) => ({ value, configurable: true, writable: true, enumerable: false });
  if (!(error instanceof RotorError)) Object.defineProperty(error, "name", hidden(wire.name));
  Object.defineProperty(error, "stack", hidden(wire.stack ?? `${wire.name}: ${wire.message}`));
  if (wire.code !== undefined) Object.defineProperty(error, "code", { ...hidden(wire.code), enumerable: true });
  return error;
}
