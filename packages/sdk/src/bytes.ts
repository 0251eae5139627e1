/** Text, base64 and pieces as bytes. No cryptography. */

/** The UTF-8 bytes of a text. */
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** `head` as UTF-8, then `tail`. */
export function concat(head: string, tail: string | Uint8Array): Uint8Array {
  if (typeof tail === "string") return utf8(head + tail);
  const first = utf8(head);
  const whole = new Uint8Array(first.length + tail.length);
  whole.set(first);
  whole.set(tail, first.length);
  return whole;
}

/** Base64 with padding. Meant for keys and digests: each byte becomes an argument of one call. */
export const toBase64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

/** The bytes of a base64 text; undefined when it is none. */
export function fromBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    // `atob` has no other way to say that the text is not base64.
    return undefined;
  }
}

/** The bytes that an even number of hex digits stand for. */
export const fromHex = (hex: string): Uint8Array =>
  Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
