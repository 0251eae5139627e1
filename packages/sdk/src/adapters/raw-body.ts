/** Finds the exact bytes of a Node request that something may have read before us. It parses nothing. */

import type { IncomingMessage } from "node:http";
import { utf8 } from "../bytes.js";

/** Where frameworks leave what they read of a body: on Node's request, on their own, or on both. */
export type BodyHolder = { readonly rawBody?: unknown; readonly body?: unknown };

function bytesOf(value: unknown): Uint8Array | undefined {
  if (typeof value === "string") return utf8(value);
  return ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : undefined;
}

/** The unread body of a request as a stream of the web. */
export function streamOf(request: IncomingMessage): ReadableStream<Uint8Array> {
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

/** The unread body of a request, up to `maxBytes`; undefined beyond them: the rest of it is then not read. */
export function bytesUnread(request: IncomingMessage, maxBytes: number): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const take = (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) {
        chunks.push(chunk);
        return;
      }
      // The connection stays: the refusal has yet to be written on it.
      request.off("data", take);
      request.pause();
      resolve(undefined);
    };
    request.on("data", take);
    request.once("end", () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, size)));
    request.once("error", reject);
    request.once("close", () => {
      if (!request.readableEnded) reject(new Error("the connection was closed before the body had come"));
    });
  });
}

/** The first of `rawBody`, a body of bytes or text, the request itself, unread; undefined when only a parsed body is left. */
export function rawBodyOf(
  request: IncomingMessage & BodyHolder,
  holder: BodyHolder = request,
): Uint8Array | IncomingMessage | undefined {
  const kept = bytesOf(holder.rawBody) ?? bytesOf(request.rawBody);
  if (kept) return kept;
  const body = bytesOf(holder.body);
  if (body && (typeof holder.body !== "string" || isWhole(body, request.headers))) return body;
  if (request.headers["content-length"] === "0") return new Uint8Array();
  return request.readableDidRead || !request.readable ? undefined : request;
}
