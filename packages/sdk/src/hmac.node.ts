/** SHA-256 and HMAC where `node:crypto` exists. Same exports as `hmac.portable.ts`; what is signed is `signature.ts`'s business. */

import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** HMAC-SHA256 as 64 lower-case hex digits. A string key stands for its UTF-8 bytes. */
export const hmacSha256Hex = (key: string | Uint8Array, message: Uint8Array): string =>
  createHmac("sha256", key).update(message).digest("hex");

/** SHA-256 as 64 lower-case hex digits. A string stands for its UTF-8 bytes. */
export const sha256Hex = (message: string | Uint8Array): string => createHash("sha256").update(message).digest("hex");

/** Whether two ASCII texts are equal, in a time that depends on their length only. */
export function equalInConstantTime(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
