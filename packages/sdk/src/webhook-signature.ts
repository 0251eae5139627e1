/** Signatures of webhooks: Rotor's own lifecycle webhooks, and the Standard Webhooks form. Import from `signature.ts`. */

import { equalInConstantTime, hmacSha256Hex } from "#hmac";
import { concat, fromBase64, fromHex, toBase64 } from "./bytes.js";
import {
  bytesOfBody,
  type HeaderValue,
  isFresh,
  type Secret,
  type SignedBody,
  usableSecrets,
  type VerifyOptions,
} from "./verifying.js";

/** Headers of a request, as the Fetch API or Node has them. */
export type HeadersLike = Pick<Headers, "get"> | { readonly [name: string]: HeaderValue };

// Without a dot: `<id>.<timestamp>.<body>` must be readable in one way only.
const ID = /^[\w-]{1,256}$/;
const TIMESTAMP = /^\d{10}$/;
const SIGNATURES = /^v1,[A-Za-z0-9+/]{43}=(?: v1,[A-Za-z0-9+/]{43}=){0,9}$/;

const SECRET_PREFIX = "whsec_";

// Lifecycle webhooks are signed with the whole secret as text; the standard signs with the bytes that it encodes.
const FAMILIES = [
  { prefix: "rotor-webhook-", keyOf: (secret: string): string | Uint8Array | undefined => secret },
  {
    prefix: "webhook-",
    keyOf: (secret: string) =>
      fromBase64(secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : secret),
  },
] as const;

function headerReader(headers: HeadersLike): (name: string) => string | undefined {
  if (typeof headers.get === "function") return (name) => (headers as Pick<Headers, "get">).get(name) ?? undefined;
  const byName = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return (name) => {
    const value = byName.get(name);
    const text = Array.isArray(value) && value.length === 1 ? value[0] : value;
    return typeof text === "string" ? text : undefined;
  };
}

const signatureOf = (key: string | Uint8Array, id: string, timestamp: string, body: string | Uint8Array): string =>
  `v1,${toBase64(fromHex(hmacSha256Hex(key, concat(`${id}.${timestamp}.`, body))))}`;

/** The value of `Rotor-Webhook-Signature` for a lifecycle webhook: one `v1,` for each secret. */
export const signRotorWebhook = (
  id: string,
  body: string | Uint8Array,
  secrets: string | readonly string[],
  timestampSeconds: number,
): string =>
  [secrets]
    .flat()
    .map((secret) => signatureOf(secret, id, String(timestampSeconds), body))
    .join(" ");

/**
 * Whether a webhook came from Rotor: `Rotor-Webhook-Id`, `-Timestamp` and `-Signature` of a lifecycle webhook, or the
 * `webhook-…` headers of a queue with `standard_webhooks`. As strict, and as quiet, as `verifyRotorSignature`.
 */
export function verifyRotorWebhook(
  body: SignedBody,
  headers: HeadersLike,
  secret: Secret,
  options?: VerifyOptions,
): boolean {
  try {
    const secrets = usableSecrets(secret);
    const bytes = bytesOfBody(body);
    const header = headerReader(headers);
    const family = FAMILIES.find(({ prefix }) => header(`${prefix}signature`) !== undefined);
    if (!bytes || !family) return false;
    const id = header(`${family.prefix}id`) ?? "";
    const timestamp = header(`${family.prefix}timestamp`) ?? "";
    const signatures = header(`${family.prefix}signature`) ?? "";
    if (!ID.test(id) || !TIMESTAMP.test(timestamp) || !SIGNATURES.test(signatures)) return false;
    if (!isFresh(Number(timestamp), options)) return false;
    let matched = false;
    for (const one of secrets) {
      const key = family.keyOf(one);
      if (!key || key.length === 0) continue;
      const expected = signatureOf(key, id, timestamp, bytes);
      for (const signature of signatures.split(" ")) matched = equalInConstantTime(signature, expected) || matched;
    }
    return matched;
  } catch {
    // Only values that break the types get here; nothing of that is signed.
    return false;
  }
}
