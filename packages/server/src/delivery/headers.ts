/** Which headers a user may add to the deliveries of a queue. The ones that Rotor sets itself are in `request.ts`. */
import { limits } from "../core/limits.js";

/** `headers` has lower-case names; `reason` is a sentence for whoever wrote them. */
export type HeadersCheck =
  | { readonly ok: true; readonly headers: Record<string, string> }
  | { readonly ok: false; readonly reason: string };

/** They frame the message, steer the connection, or carry what Rotor alone may say. */
const forbiddenNames: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "upgrade",
  "expect",
  "te",
  "trailer",
  // Answers are kept as they come; a compressed one would be unreadable.
  "accept-encoding",
  "traceparent",
]);

/** Whether only Rotor, or nobody, may set a header. `name` in lower case. */
export const isForbiddenHeader = (name: string): boolean =>
  forbiddenNames.has(name) || name.startsWith("proxy-") || name.startsWith("x-rotor-");

/** RFC 9110, 5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** RFC 9110, 5.5, without the bytes above ASCII, whose encoding nobody agrees on. */
const value = /^[\t\x20-\x7e]*$/;

/**
 * Checks the headers of a queue when they are stored; a template counts as it is written, and what it becomes is checked
 * again when it is sent. Names that differ in case only are one header given twice, and refused.
 */
export function checkHeaders(record: Readonly<Record<string, string>>): HeadersCheck {
  const entries = Object.entries(record).map(([name, text]) => [name.toLowerCase(), text] as const);
  if (entries.length > limits.headers)
    return refuse(`there are ${entries.length} headers; the limit is ${limits.headers}`);
  let bytes = 0;
  const seen = new Set<string>();
  for (const [name, text] of entries) {
    bytes += name.length + text.length + 4;
    if (bytes > limits.headersBytes) return refuse(`the headers have more than ${limits.headersBytes} bytes together`);
    if (!token.test(name)) return refuse(`${JSON.stringify(name.slice(0, 80))} is not a header name`);
    if (isForbiddenHeader(name)) return refuse(`the header ${name} cannot be set: Rotor or the connection needs it`);
    if (seen.has(name)) return refuse(`the header ${name} is given twice`);
    if (!value.test(text)) return refuse(`the header ${name} holds a line break, a control or a non-ASCII character`);
    seen.add(name);
  }
  return { ok: true, headers: Object.fromEntries(entries) };
}

const refuse = (reason: string): HeadersCheck => ({ ok: false, reason });
