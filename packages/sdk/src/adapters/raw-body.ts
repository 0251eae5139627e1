/** Finds the exact bytes of a Node request that something may have read before us. It parses nothing. */

import type { IncomingMessage } from "node:http";
import { utf8 } from "../bytes.js";

/** Where frameworks leave what they read of a body: on Node's request, on their own, or on both. */
export type BodyHolder = { readonly rawBody?: unknown; readonly body?: unknown };

function bytesOf(value: unknown): Uint8Array | undefined {
  if (typeof value === "string") return utf8(value);
  return ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : undefined;
}

function streamOf(request: IncomingMessage): ReadableStream<Uint8Array> {
  // A body given up half-way must not take the connection, on which the refusal has yet to be written.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
  return new ReadableStream({
    async pull(stream) {
      const { done, value } = await chunks.next();
      if (done) stream.close();
      else stream.enqueue(new Uint8Array(value));
    },
    async cancel() {
      await chunks.return?.();
    },
  });
}

// A parser makes a string of a JSON string too: "abc" arrives as abc. The length that was announced tells them apart.
function isWhole(
  text: Uint8Array,
  { "content-length": length, "content-encoding": encoding }: IncomingMessage["headers"],
) {
  return length === undefined || encoding !== undefined || Number(length) === text.length;
}

/** The first of `rawBody`, a body of bytes or text, the unread stream; undefined when only a parsed body is left. */
export function rawBodyOf(
  request: IncomingMessage & BodyHolder,
  holder: BodyHolder = request,
): Uint8Array | ReadableStream<Uint8Array> | undefined {
  const kept = bytesOf(holder.rawBody) ?? bytesOf(request.rawBody);
  if (kept) return kept;
  const body = bytesOf(holder.body);
  if (body && (typeof holder.body !== "string" || isWhole(body, request.headers))) return body;
  if (request.headers["content-length"] === "0") return new Uint8Array();
  return request.readableDidRead || !request.readable ? undefined : streamOf(request);
}
