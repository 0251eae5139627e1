/** Identifiers made by the server. UUID version 7 (RFC 9562): ordered by time, so lists and indexes stay local. */
import { randomBytes } from "./random.js";

let lastMs = 0;
let counter = 0;

/**
 * A new id, greater than all that this process made before: what is made in one go, such as a batch, keeps its order.
 * The twelve bits after the time count within a millisecond (RFC 9562, 6.2, method 1).
 */
export function newId(): string {
  const nowMs = Date.now();
  const bytes = randomBytes(16);
  if (nowMs > lastMs) {
    lastMs = nowMs;
    // From a random start below the middle, so that two processes rarely agree and there is room to count.
    counter = bytes.readUInt16BE(6) & 0x7ff;
  } else if (++counter > 0xfff) {
    // More than there is room for, or a clock that was set back: time runs ahead a little.
    lastMs++;
    counter = 0;
  }
  bytes.writeUIntBE(lastMs, 0, 6);
  bytes.writeUInt16BE(0x7000 | counter, 6);
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** True of a canonical lower-case UUID of any version. */
export const isId = (text: string): boolean => UUID.test(text);

/** The last millisecond that an id can be of. */
const LAST_MS = 2 ** 48 - 1;

/** The least id of a millisecond: ids made before it are less, those made from then on are not. */
export function firstIdAt(ms: number): string {
  const hex = Math.min(Math.max(0, Math.floor(ms)), LAST_MS)
    .toString(16)
    .padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}
