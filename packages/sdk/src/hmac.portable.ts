/**
 * SHA-256 and HMAC where `node:crypto` does not exist. Same exports as `hmac.node.ts`. Not WebCrypto, which is
 * asynchronous: verifying a signature is a plain call on every runtime.
 */

import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

const bytesOf = (value: string | Uint8Array): Uint8Array =>
  typeof value === "string" ? new TextEncoder().encode(value) : value;

/** HMAC-SHA256 as 64 lower-case hex digits. A string key stands for its UTF-8 bytes. */
export const hmacSha256Hex = (key: string | Uint8Array, message: Uint8Array): string =>
  bytesToHex(hmac(sha256, bytesOf(key), message));

/** SHA-256 as 64 lower-case hex digits. A string stands for its UTF-8 bytes. */
export const sha256Hex = (message: string | Uint8Array): string => bytesToHex(sha256(bytesOf(message)));

/** Whether two ASCII texts are equal, in a time that depends on their length only. */
export function equalInConstantTime(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}
