/** The one shape that every framework's call is turned into, and its refusal when the body's bytes are gone. */

import { refusal } from "../answer.js";

/** @param env what the platform hands over beside the request (Workers' bindings). */
export type FetchHandler = ((request: Request, env?: unknown) => Promise<Response>) & {
  readonly [PLAIN]?: PlainHandler;
};

/** Where a handler has a second door beside the fetch-style one. */
export const PLAIN: unique symbol = Symbol("rotor.plain");

/** A POST whose bytes are in hand; undefined: they were more than `MAX_BODY_BYTES`. */
export type PlainCall = {
  readonly header: (name: string) => string | undefined;
  readonly body: Uint8Array | undefined;
};

/**
 * Answers a POST without a `Request` and a `Response`: on Node, making them and reading them costs more than all else that a
 * delivery needs. Never rejects.
 */
export type PlainHandler = (call: PlainCall) => Promise<PlainAnswer>;

/** `text` may come later: until then a space is sent every so often. */
export type PlainAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string | { readonly later: Promise<string>; readonly lifeEveryMs: number };
};

/** Something before the handler has parsed the body, and a signature covers its exact bytes. `remedy` is what to write, where. */
export const rawBodyMissing = (remedy: string): Response =>
  refusal(
    500,
    "raw_body_missing",
    `The body was parsed before this handler saw it, and a signature covers its exact bytes. ${remedy}`,
  );

/** For a `Request` whose body somebody else has read. */
export const FETCH_REMEDY = "Whoever needs the body before it reads a copy: await request.clone().text()";

/** By its shape, since frameworks bring subclasses and look-alikes of `Request`. */
export const isRequest = (value: unknown): value is Request =>
  typeof value === "object" && value !== null && "arrayBuffer" in value && "headers" in value && "bodyUsed" in value;
