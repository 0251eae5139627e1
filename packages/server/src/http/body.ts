/** Reads what a request carries: bounded, strict UTF-8, JSON that can be stored. Shapes are the schemas' business. */
import type { IncomingMessage } from "node:http";
import type { Context } from "hono";
import { glance, type Members, members } from "../core/json-text.js";
import { limits } from "../core/limits.js";
import { Refusal } from "./errors.js";
import { headerOf } from "./request-headers.js";

/** A JSON body: its value, and the text that it was written as. */
export type JsonBody = { readonly value: unknown; readonly text: string };

/**
 * The body's bytes. Stops to read at the limit, whatever the request says of its length.
 * @throws Refusal 413 past `maxBytes`; 415 for a compressed body; 400 if it breaks off.
 */
export async function readBytes(c: Context, maxBytes: number = limits.bodyBytes): Promise<Buffer> {
  const encoding = headerOf(c, "content-encoding");
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new Refusal(415, "unsupported_encoding", "Send the body without content-encoding: it is not decompressed.");
  }
  if (Number(headerOf(c, "content-length") ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const { incoming } = (c.env ?? {}) as { incoming?: IncomingMessage };
  return incoming === undefined ? readStream(c.req.raw, maxBytes) : readIncoming(incoming, maxBytes);
}

/** Straight from Node's request: the web's streams around it cost more than all else that an enqueue does here. */
function readIncoming(incoming: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stop = (refusal: Refusal): void => {
      incoming.off("data", take);
      // What still comes is thrown away once the answer is out.
      incoming.pause();
      reject(refusal);
    };
    const take = (chunk: Buffer): void => {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) stop(tooLarge(maxBytes));
      else chunks.push(chunk);
    };
    incoming.on("data", take);
    incoming.once("end", () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    incoming.once("error", (error) => stop(brokenOff(error)));
    incoming.once("close", () => {
      if (!incoming.readableEnded) stop(brokenOff(new Error("the connection was closed")));
    });
  });
}

/** The same of a request without a socket. */
async function readStream(request: Request, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = request.body?.getReader();
  if (reader === undefined) return Buffer.alloc(0);
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw brokenOff(error);
    });
    if (done) return Buffer.concat(chunks);
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel();
      throw tooLarge(maxBytes);
    }
    chunks.push(value);
  }
}

const brokenOff = (error: unknown): Refusal =>
  new Refusal(400, "incomplete", `The body broke off: ${error instanceof Error ? error.message : String(error)}`);

const tooLarge = (maxBytes: number): Refusal =>
  new Refusal(
    413,
    "too_large",
    `The body is larger than ${maxBytes} bytes. Store large data elsewhere and send a reference to it.`,
  );

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws Refusal 400 for bytes that are no UTF-8, or begin with a byte order mark. */
function decode(bytes: Uint8Array): string {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    // The decoder says nothing of where.
    throw new Refusal(400, "malformed_json", "The body is not UTF-8.");
  }
  if (text.startsWith("\ufeff"))
    throw new Refusal(400, "malformed_json", "The body begins with a byte order mark; leave it out.");
  return text;
}

/**
 * The JSON of these bytes; undefined where there are none.
 * @throws Refusal 400 for what is no JSON; 422 `payload_not_storable` for JSON that is nested too deep or, unless
 * `anyStrings`, holds strings that cannot be stored.
 */
export function parseJson(
  bytes: Uint8Array,
  options: { readonly depth?: number; readonly anyStrings?: boolean } = {},
): JsonBody | undefined {
  if (bytes.byteLength === 0) return undefined;
  const { depth = limits.jsonDepth, anyStrings = false } = options;
  const text = decode(bytes);
  const seen = glance(text);
  // Before anything that recurses.
  if (seen.depth > depth) throw notStorable(`it is nested ${seen.depth} deep; ${depth} is the limit`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // The parser repeats a piece of the body, which may be a secret.
    throw new Refusal(400, "malformed_json", `The body is not JSON: ${message.replace(/, (\.{3})?".*$/s, "")}`);
  }
  if (seen.unstorable !== undefined && !anyStrings) throw notStorable(`it holds ${seen.unstorable}`);
  return { value, text };
}

const notStorable = (reason: string): Refusal =>
  new Refusal(422, "payload_not_storable", `The body cannot be stored: ${reason}.`);

/** Whether a request says that it carries JSON, or says nothing. */
export const mayBeJson = (contentType: string | undefined): boolean =>
  contentType === undefined || /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(contentType);

/**
 * The members of an object in a body, for cutting values out of it.
 * @throws Refusal 422 for a name that stands there twice: readers disagree on which one counts.
 */
export function membersOnce(text: string, from = 0): Members["spans"] {
  const { spans, repeated } = members(text, from);
  if (repeated !== undefined)
    throw new Refusal(422, "invalid", `The key ${JSON.stringify(repeated.slice(0, 80))} stands there twice.`);
  return spans;
}

/** The JSON text of one member, as it was written; undefined if it is not there. */
export function rawMember(text: string, name: string, from = 0): string | undefined {
  const span = membersOnce(text, from).get(name);
  return span && text.slice(span.start, span.end);
}
