/**
 * Signatures of requests and of answers, as `docs/protocol.md` section 1 has them; the server signs with this file too.
 * Secrets come in as text: where they are kept is no matter of this file.
 */

import { equalInConstantTime, hmacSha256Hex } from "#hmac";
import { concat, utf8 } from "./bytes.js";
import { RotorInputError } from "./input-error.js";
import { ANSWER_SIGNATURE } from "./protocol.js";
import {
  bytesOfBody,
  type HeaderValue,
  isFresh,
  type Secret,
  type SignedBody,
  usableSecrets,
  type VerifyOptions,
} from "./verifying.js";

export { newSecret } from "./secret.js";
export type { HeaderValue, Secret, SignedBody, VerifyOptions } from "./verifying.js";
export { signRotorWebhook, verifyRotorWebhook } from "./webhook-signature.js";

/** Each `v1` costs an HMAC for each secret; a rotation needs two. */
const MAX_SIGNATURES = 10;

const HEADER = /^t=(\d{10})((?:,v1=[0-9a-f]{64}){1,10})$/;

/** Longest header that `HEADER` takes: no more of an answer is searched for its end. */
const MAX_HEADER_LENGTH = 12 + MAX_SIGNATURES * 68;

type ParsedHeader = { readonly t: number; readonly signatures: readonly string[] };

function parseHeader(header: string): ParsedHeader | undefined {
  const parts = HEADER.exec(header);
  if (!parts) return undefined;
  return {
    t: Number(parts[1]),
    signatures: parts[2]!
      .slice(1)
      .split(",")
      .map((part) => part.slice("v1=".length)),
  };
}

// Every pair is compared, so the time says nothing about which one matched.
function anyMatches(signatures: readonly string[], secrets: readonly string[], message: Uint8Array): boolean {
  let matched = false;
  for (const secret of secrets) {
    const expected = hmacSha256Hex(secret, message);
    for (const signature of signatures) matched = equalInConstantTime(signature, expected) || matched;
  }
  return matched;
}

function headerFor(message: Uint8Array, secrets: string | readonly string[], timestampSeconds: number): string {
  const list = typeof secrets === "string" ? [secrets] : secrets;
  if (list.length === 0 || list.length > MAX_SIGNATURES || list.some((secret) => secret.trim() === "")) {
    throw new RotorInputError(`signing takes 1 to ${MAX_SIGNATURES} secrets, none of them empty`);
  }
  return `t=${timestampSeconds}${list.map((secret) => `,v1=${hmacSha256Hex(secret, message)}`).join("")}`;
}

function checkTimestamp(seconds: number): void {
  if (!/^\d{10}$/.test(String(seconds))) {
    throw new RotorInputError(`a signature's timestamp is whole Unix seconds, ten digits, not ${seconds}`);
  }
}

/**
 * The value of `x-rotor-signature` for a body: one `v1` for each secret.
 * @throws RotorInputError without a secret, with an empty one, or for a timestamp that is not ten digits of seconds.
 */
export function signRotor(
  body: string | Uint8Array,
  secrets: string | readonly string[],
  timestampSeconds: number,
): string {
  checkTimestamp(timestampSeconds);
  return headerFor(concat(`${timestampSeconds}.`, body), secrets, timestampSeconds);
}

/**
 * Whether a request came from Rotor: its raw body, as it was received, was signed with one of your secrets within the last
 * 300 seconds (or the next: clocks differ). Synchronous, constant in time, never throws. A missing or empty secret never
 * verifies and is warned of once, as is a body that a framework has parsed already.
 */
export function verifyRotorSignature(
  body: SignedBody,
  header: HeaderValue,
  secret: Secret,
  options?: VerifyOptions,
): boolean {
  try {
    const secrets = usableSecrets(secret);
    const bytes = bytesOfBody(body);
    const text = Array.isArray(header) && header.length === 1 ? header[0] : header;
    const parsed = typeof text === "string" ? parseHeader(text) : undefined;
    if (!bytes || !parsed || !isFresh(parsed.t, options)) return false;
    return anyMatches(parsed.signatures, secrets, concat(`${parsed.t}.`, bytes));
  } catch {
    // Only values that break the types get here, such as a body behind a proxy that throws: nothing of that is signed.
    return false;
  }
}

/**
 * An answer's JSON with the line that signs it, to send as the body. `context` is the question: see `answerContext` and
 * `manifestContext` of the protocol.
 * @throws RotorInputError as `signRotor`.
 */
export function signAnswer(
  json: string,
  context: string,
  secrets: string | readonly string[],
  timestampSeconds: number,
): string {
  checkTimestamp(timestampSeconds);
  const header = headerFor(utf8(`${context}.${timestampSeconds}.${json}`), secrets, timestampSeconds);
  return `${ANSWER_SIGNATURE} ${header}\n${json}`;
}

const SPACE = 0x20;
const LINE_FEED = 0x0a;
const PREFIX = utf8(`${ANSWER_SIGNATURE} `);

/**
 * The JSON text of a signed answer, or undefined when it was not signed by one of the secrets for this context within
 * 300 seconds. Signs of life before it are skipped. Never throws.
 */
export function verifyAnswer(
  answer: string | Uint8Array,
  context: string,
  secrets: Secret,
  options?: VerifyOptions,
): { json: string } | undefined {
  try {
    const bytes = typeof answer === "string" ? utf8(answer) : answer;
    let start = 0;
    while (bytes[start] === SPACE || bytes[start] === LINE_FEED) start += 1;
    if (!PREFIX.every((byte, i) => bytes[start + i] === byte)) return undefined;
    start += PREFIX.length;
    const length = bytes.subarray(start, start + MAX_HEADER_LENGTH + 1).indexOf(LINE_FEED);
    if (length < 0) return undefined;
    const parsed = parseHeader(new TextDecoder().decode(bytes.subarray(start, start + length)));
    const json = bytes.subarray(start + length + 1);
    if (!parsed || !isFresh(parsed.t, options)) return undefined;
    const message = concat(`${context}.${parsed.t}.`, json);
    if (!anyMatches(parsed.signatures, usableSecrets(secrets), message)) return undefined;
    return { json: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json) };
  } catch {
    // Bytes that are no UTF-8, or no bytes at all: not an answer.
    return undefined;
  }
}
