/** How the API says no: one envelope, a code for programs and a sentence for people. Which status means what is here. */

import type { Context } from "hono";
import type { z } from "zod";
import { isUnavailable } from "../store/outage.js";

export type Status = 400 | 401 | 403 | 404 | 405 | 409 | 413 | 415 | 422 | 424 | 429 | 500 | 503;

/** Thrown by a route to answer with an error; whatever else is thrown is a fault of ours. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: Status;
  readonly code: string;
  readonly details: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: Status,
    code: string,
    message: string,
    more: { details?: unknown; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = more.details;
    this.headers = more.headers ?? {};
  }
}

/** Unknown, or another workspace's: the same answer, so that nobody learns of what is not his. */
export const notFound = (what: string, id: string): Refusal =>
  new Refusal(404, "not_found", `There is no ${what} ${shown(id)}.`);

export const conflict = (message: string, details?: unknown): Refusal =>
  new Refusal(409, "conflict", message, { details });

/** A body or parameter that is well-formed but cannot be taken. `path` is the dotted path of the culprit. */
export const invalid = (path: string, message: string): Refusal =>
  new Refusal(422, "invalid", path === "" ? message : `${path}: ${message}`, {
    details: { issues: [{ path, message }] },
  });

/** A user's text in a sentence: quoted, and short. */
export const shown = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

/** What a schema has against a value. `place` begins each path, such as `query`. */
export function refusalOfSchema(error: z.ZodError, place: string): Refusal {
  const issues = error.issues.map((issue) => ({
    path: [place, ...issue.path.map(String)].filter((part) => part !== "").join("."),
    message:
      issue.code === "unrecognized_keys"
        ? `unknown key ${issue.keys.slice(0, 5).map(shown).join(", ")}`
        : plainly(issue.message),
  }));
  const first = issues[0] ?? { path: place, message: "It is not valid." };
  const message = first.path === "" ? first.message : `${first.path}: ${first.message}`;
  return new Refusal(422, "invalid", message, { details: { issues: issues.slice(0, 20) } });
}

/** The commonest words of the schema's library, for people: it speaks of a value that is not there as of one of a wrong type. */
const plainly = (message: string): string =>
  message.endsWith("received undefined")
    ? "it is missing"
    : message.startsWith("Invalid input: expected int,")
      ? "write a whole number"
      : message;

/** Where what nobody expected is told; pino's shape. Never given payloads or keys. */
export type Log = {
  error(details: { readonly method: string; readonly path: string; readonly err: unknown }, message: string): void;
};

/** Turns whatever was thrown into an answer. What we did not expect is logged, and shows nothing of its inside. */
export function answerError(thrown: unknown, c: Context, log: Log): Response {
  if (thrown instanceof Refusal) return envelope(c, thrown);
  const where = { method: c.req.method, path: c.req.path, err: thrown };
  if (isUnavailable(thrown)) {
    log.error(where, "the database did not answer");
    const message = "The database cannot be reached just now. Nothing is known of this request; try it again.";
    return envelope(c, new Refusal(503, "unavailable", message, { headers: { "retry-after": "1" } }));
  }
  log.error(where, "a request failed");
  return envelope(c, new Refusal(500, "internal", "Something is wrong in the server; its log says what."));
}

function envelope(c: Context, { status, code, message, details, headers }: Refusal): Response {
  return c.json({ error: { code, message, ...(details === undefined ? {} : { details }) } }, status, { ...headers });
}
