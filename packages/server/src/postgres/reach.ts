/** What to do about a Postgres that was not reached: the driver's words say what went wrong, and not what to write. */
import { limits } from "../core/limits.js";

/** Node's codes for a certificate that is good for nobody, or for another name. */
const UNTRUSTED = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_HAS_EXPIRED",
  "ERR_TLS_CERT_ALTNAME_INVALID",
]);
const NOBODY_THERE = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT"]);

/** The driver's words for a connection that took longer than it may. */
const TOO_LATE = "timeout expired";

/** The error with a sentence that helps, or as it is. */
export function explained(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { message, code = "" } = error as Error & { code?: string };
  if (UNTRUSTED.has(code))
    return new Error(
      `Postgres's certificate is not trusted: ${message}. In DATABASE_URL, name the certificate of its authority with sslmode=verify-full&sslrootcert=/path/to/ca.pem; sslmode=no-verify encrypts too, and trusts whoever answers.`,
      { cause: error },
    );
  if (message === TOO_LATE || NOBODY_THERE.has(code)) {
    const what = message === TOO_LATE ? `no answer within ${limits.connectTimeoutMs / 1_000} s` : message || code;
    return new Error(
      `The Postgres of DATABASE_URL was not reached: ${what}. Is the address right, and may this machine reach it?`,
      { cause: error },
    );
  }
  return error;
}
