/** The one shape that every framework's call is turned into, and its refusal when the body's bytes are gone. */

import { refusal } from "../answer.js";

/** @param env what the platform hands over beside the request (Workers' bindings). */
export type FetchHandler = (request: Request, env?: unknown) => Promise<Response>;

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
