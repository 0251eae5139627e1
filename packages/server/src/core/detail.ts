/**
 * What of a call is kept with its attempt, for the person who asks why it failed: both heads, and where the time went.
 * Never a secret, never a body, never more than `limits.detailBytes`.
 */
import { limits } from "./limits.js";
import { isTemplated, redact } from "./templates.js";

export type Headers = Readonly<Record<string, string>>;

/** Of one delivery. Times are in milliseconds; a part that was not reached is left out. */
export type Detail = {
  /** As sent; the values of signatures, capabilities and of headers that hold secrets are replaced by `…`. */
  readonly request?: { readonly url: string; readonly headers: Headers };
  readonly response?: { readonly headers: Headers };
  readonly timing?: {
    /** From being due to being claimed and sent off. */
    readonly queueMs?: number;
    /** Until there was a connection: nearly 0 for one that was kept alive. */
    readonly connectMs?: number;
    /** From the request's first byte to the answer's head. */
    readonly waitMs?: number;
    /** Of the answer's body. */
    readonly readMs?: number;
  };
};

/** A call as `detailText` is told of it. */
export type Call = {
  /** As configured: a template in it stands as it was written. */
  readonly url: string;
  /** All that was sent. */
  readonly sent: Headers;
  /** The user's own among them as configured, templates not filled in. They are shown in place of what was sent. */
  readonly configured: Headers;
  /** Capabilities among what was sent; kept nowhere, in what the other side said neither. */
  readonly tokens: readonly string[];
  /** Values of secrets that templates became; kept nowhere, in no usual form. */
  readonly values: readonly string[];
  readonly response: Headers | undefined;
  readonly timing: NonNullable<Detail["timing"]>;
};

/** The JSON text of a call's `Detail`: put together as text, since it is made for each attempt there is. */
export function detailText({ url, sent, configured, tokens, values, response, timing }: Call): string {
  // By its name in lower case, as it is sent.
  const own = new Map(Object.entries(configured).map(([name, value]) => [name.toLowerCase(), value]));
  const ofOwn = own.size === 0 ? asItIs : (name: string, value: string) => own.get(name) ?? value;
  const hide = hiding([...tokens, ...tellingValues(sent)], values);
  const shownUrl = inJson(cut(hide(withoutQuerySecrets(url)), URL_LENGTH));
  const room = limits.detailBytes - ROOM_FOR_THE_REST - bytesOf(shownUrl);
  const asked = shown(sent, ofOwn, hide, room / 2);
  const answered = response && shown(response, asItIs, hide, room - asked.bytes);
  const ofAnswer = answered === undefined ? "" : `,"response":{"headers":{${answered.text}}}`;
  return `{"request":{"url":${shownUrl},"headers":{${asked.text}}}${ofAnswer},"timing":{${timesInJson(timing)}}}`;
}

const asItIs = (_name: string, value: string): string => value;

/** To a tenth of a millisecond. */
const timesInJson = (timing: Call["timing"]): string =>
  Object.entries(timing)
    .filter(([, ms]) => ms !== undefined)
    .map(([part, ms]) => `"${part}":${Math.round(ms * 10) / 10}`)
    .join(",");

/** For names of members, punctuation and times. */
const ROOM_FOR_THE_REST = 300;

/** Of the shown URL: enough to know it by, and to leave room for headers. */
const URL_LENGTH = 1_000;

/** To hide every `a` because a token is `a` would hide the answer, and not the token. */
const SHORTEST_SECRET = 6;

const HIDDEN = "…";
/** The same in JSON: one character beyond Latin-1 would have V8 keep, and write, all of the text as UTF-16. */
const ESCAPED = "\\u2026";

/** Names of headers and of members of a query whose values open doors. */
const SECRET_NAME =
  /auth(?!enticate)|token|secret|signature|password|passwd|cookie|credential|session|(?:^|[-_])(?:api-?)?key$|^sig$/i;

/** Judged once each: the same few names come with every call. */
const judged = new Map<string, boolean>();
const JUDGED = 1_000;

function isSecretName(name: string): boolean {
  const known = judged.get(name);
  if (known !== undefined) return known;
  const secret = SECRET_NAME.test(name);
  // Names are the other side's to choose.
  if (judged.size >= JUDGED) judged.clear();
  judged.set(name, secret);
  return secret;
}

/** A text without what must not be kept. */
type Hide = (text: string) => string;

function hiding(secrets: readonly string[], values: readonly string[]): Hide {
  const telling = secrets.filter((text) => text.length >= SHORTEST_SECRET);
  const shortest = Math.min(...telling.map((text) => text.length));
  return (text) => {
    let left = text;
    // Most texts are shorter than any of them.
    if (text.length >= shortest)
      for (const secret of telling) if (left.includes(secret)) left = left.replaceAll(secret, HIDDEN);
    return values.length === 0 ? left : redact(left, values);
  };
}

/** Members of a JSON object, and what they weigh. */
function shown(
  headers: Headers,
  shownOf: (name: string, value: string) => string,
  hide: Hide,
  room: number,
): { text: string; bytes: number } {
  let text = "";
  let count = 0;
  let bytes = 0;
  for (const [name, sent] of Object.entries(headers)) {
    if (count === limits.detailHeaders) break;
    const shownName = inJson(cut(hide(name), limits.detailValueLength));
    const member = `${shownName}:${inJson(shownValue(name, shownOf(name, sent), hide))}`;
    const more = bytesOf(member) + ",".length;
    if (bytes + more > room) continue;
    bytes += more;
    count++;
    text += text === "" ? member : `,${member}`;
  }
  return { text, bytes };
}

/** Plain texts, which nearly all are, need no second look. */
const inJson = (text: string): string =>
  /^[ !#-[\]-~]*$/.test(text) ? `"${text}"` : JSON.stringify(text).replaceAll(HIDDEN, ESCAPED);

const bytesOf = (text: string): number => Buffer.byteLength(text);

/** What an answer might repeat. */
const tellingValues = (sent: Headers): string[] =>
  Object.entries(sent)
    .filter(([name]) => isSecretName(name))
    .map(([, value]) => value);

function shownValue(name: string, value: string, hide: Hide): string {
  // A template says which secret is meant, and not what it is.
  if (isSecretName(name) && !isTemplated(value)) return HIDDEN;
  // Hidden before it is cut, or half a secret would be left.
  return cut(hide(value), limits.detailValueLength);
}

const cut = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length - 1)}${HIDDEN}` : text;

/** A URL with the values of telling members of its query replaced. */
const withoutQuerySecrets = (url: string): string =>
  !url.includes("?")
    ? url
    : url.replace(/([?&])([^=&#]*)=([^&#]*)/g, (whole, mark: string, name: string, value: string) =>
        SECRET_NAME.test(name) && !isTemplated(value) ? `${mark}${name}=${HIDDEN}` : whole,
      );
