/**
 * Arrays as parameters in Postgres' binary format ("array_recv" in its source; the driver sends a Buffer as binary). As text each
 * element is quoted and escaped here, and read there character by character, bytes as twice as many hex digits; as
 * binary they are copied. What an encoder does not know for sure is left to the driver, and Postgres says what is wrong with it.
 */
import type { Value } from "./db.js";

type Items = Extract<Value, readonly unknown[]>;
/** Undefined where an element is not of the type. */
type Encoder = (items: Items) => Buffer | undefined;

const HEAD_BYTES = 20;
const LENGTH_BYTES = 4;

/** An array of one dimension; `oid` is the type of its elements, as in `pg_type`. */
function begin(oid: number, count: number, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(HEAD_BYTES + count * LENGTH_BYTES + bytes);
  buffer.writeInt32BE(1, 0);
  // Whether there are nulls: Postgres takes either for what it then finds.
  buffer.writeInt32BE(1, 4);
  buffer.writeInt32BE(oid, 8);
  buffer.writeInt32BE(count, 12);
  buffer.writeInt32BE(1, 16);
  return buffer;
}

/** Of elements that are all of one size. `put` answers whether the element is of the type. */
const fixed =
  (oid: number, size: number, put: (buffer: Buffer, value: unknown, at: number) => boolean): Encoder =>
  (items) => {
    const buffer = begin(oid, items.length, items.length * size);
    let at = HEAD_BYTES;
    for (const item of items) {
      if (item === null) {
        at = buffer.writeInt32BE(-1, at);
        continue;
      }
      at = buffer.writeInt32BE(size, at);
      if (!put(buffer, item, at)) return undefined;
      at += size;
    }
    return buffer.subarray(0, at);
  };

/** By the code of a hex digit its value; 255 for what is none. */
const HEX = new Uint8Array(128).fill(255);
for (const [value, digit] of [..."0123456789abcdef"].entries())
  for (const each of [digit, digit.toUpperCase()]) HEX[each.charCodeAt(0)] = value;

const UUID_LENGTH = 36;
const DASH = "-".charCodeAt(0);

/** RFC 9562, section 4: 32 digits in five groups. */
function putUuid(buffer: Buffer, value: unknown, at: number): boolean {
  if (typeof value !== "string" || value.length !== UUID_LENGTH) return false;
  let to = at;
  let all = 0;
  for (let n = 0; n < UUID_LENGTH; n += 2) {
    if (n === 8 || n === 13 || n === 18 || n === 23) {
      if (value.charCodeAt(n) !== DASH) return false;
      n++;
    }
    const high = HEX[value.charCodeAt(n)] ?? 255;
    const low = HEX[value.charCodeAt(n + 1)] ?? 255;
    all |= high | low;
    buffer[to++] = (high << 4) | low;
  }
  return all < 16;
}

function putInt(buffer: Buffer, value: unknown, at: number): boolean {
  if (typeof value !== "number" || (value | 0) !== value) return false;
  buffer.writeInt32BE(value, at);
  return true;
}

function putFloat(buffer: Buffer, value: unknown, at: number): boolean {
  if (typeof value !== "number") return false;
  buffer.writeDoubleBE(value, at);
  return true;
}

/** Of texts, and of bytes. */
const varying =
  (oid: number, sizeOf: (value: unknown) => number, put: (buffer: Buffer, value: never, at: number) => void): Encoder =>
  (items) => {
    const sizes = new Array<number>(items.length);
    let bytes = 0;
    for (let n = 0; n < items.length; n++) {
      const item = items[n];
      const size = item === null ? 0 : sizeOf(item);
      if (size === -1) return undefined;
      sizes[n] = size;
      bytes += size;
    }
    const buffer = begin(oid, items.length, bytes);
    let at = HEAD_BYTES;
    for (let n = 0; n < items.length; n++) {
      const item = items[n];
      if (item === null) {
        at = buffer.writeInt32BE(-1, at);
        continue;
      }
      at = buffer.writeInt32BE(sizes[n]!, at);
      put(buffer, item as never, at);
      at += sizes[n]!;
    }
    return buffer;
  };

const sizeOfText = (value: unknown): number => (typeof value === "string" ? Buffer.byteLength(value) : -1);
const sizeOfBytes = (value: unknown): number => (Buffer.isBuffer(value) ? value.length : -1);

/** By the name that a statement gives the type of an element. */
const ENCODERS: Readonly<Record<string, Encoder>> = {
  uuid: fixed(2950, 16, putUuid),
  int: fixed(23, 4, putInt),
  float8: fixed(701, 8, putFloat),
  text: varying(25, sizeOfText, (buffer, value: string, at) => void buffer.write(value, at)),
  bytea: varying(17, sizeOfBytes, (buffer, value: Buffer, at) => void value.copy(buffer, at)),
};

/** An encoder for each parameter of a statement, by its number, where the text says everywhere the same of its type. */
export type Encoders = readonly (Encoder | undefined)[];

const known = new Map<string, Encoders>();

/** Reads from a statement's text what its parameters are: `$1::uuid[]`. */
export function encodersOf(text: string): Encoders {
  let encoders = known.get(text);
  if (encoders === undefined) {
    encoders = readEncoders(text);
    known.set(text, encoders);
  }
  return encoders;
}

function readEncoders(text: string): Encoders {
  const types = new Map<number, Set<string>>();
  for (const [, number, type = ""] of text.matchAll(/\$(\d+)(?:::(\w+(?:\[\])?))?/g)) {
    const seen = types.get(Number(number)) ?? new Set();
    types.set(Number(number), seen.add(type));
  }
  const encoders: (Encoder | undefined)[] = [];
  for (const [number, seen] of types) {
    const [type = ""] = seen;
    if (seen.size === 1 && type.endsWith("[]")) encoders[number - 1] = ENCODERS[type.slice(0, -2)];
  }
  return encoders;
}

/** The values as they are to be sent: arrays that can be as binary, all else as it is. */
export const encoded = (encoders: Encoders, values: readonly Value[]): Value[] =>
  values.map((value, index) => (Array.isArray(value) ? (encoders[index]?.(value) ?? value) : value));
