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

/**
 * The JSON text of a call's `Detail`. It is made for each attempt there is, and took a quarter of what a drain allocates: so it is put
 * together as text, and what is the same for each call is made once.
 */
export function detailText({ url, sent, configured, tokens, values, response, timing }: Call): string {
  const hide = hiding([...tokens, ...tellingValues(sent)], values);
  const shownUrl = inJson(cut(hide(withoutQuerySecrets(url)), URL_LENGTH));
  const room = limits.detailBytes - ROOM_FOR_THE_REST - bytesOf(shownUrl);
  const asked = shown(sent, ownOf(configured), hide, room / 2);
  const answered = response && shown(response, undefined, hide, room - asked.bytes);
  const ofAnswer = answered === undefined ? "" : `,"response":{"headers":{${answered.text}}}`;
  return `{"request":{"url":${shownUrl},"headers":{${asked.text}}}${ofAnswer},"timing":{${timesInJson(timing)}}}`;
}

/** By its name in lower case, as it is sent. Most queues have none. */
function ownOf(configured: Headers): ReadonlyMap<string, string> | undefined {
  const names = Object.keys(configured);
  return names.length === 0 ? undefined : new Map(names.map((name) => [name.toLowerCase(), configured[name]!]));
}

function timesInJson({ queueMs, connectMs, waitMs, readMs }: Call["timing"]): string {
  const all = time("queueMs", queueMs) + time("connectMs", connectMs) + time("waitMs", waitMs) + time("readMs", readMs);
  return all.slice(1);
}

/** To a tenth of a millisecond. */
const time = (part: string, ms: number | undefined): string =>
  ms === undefined ? "" : `,"${part}":${Math.round(ms * 10) / 10}`;

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

/** A header's name: as a member of a JSON object, and whether its value opens doors. */
type Name = { readonly json: string; readonly bytes: number; readonly secret: boolean };

/** The same few come with every call. */
const known = new Map<string, Name>();
const KNOWN = 1_000;

function nameOf(name: string): Name {
  let judged = known.get(name);
  if (judged !== undefined) return judged;
  judged = judge(name, name);
  // Names are the other side's to choose.
  if (known.size >= KNOWN) known.clear();
  known.set(name, judged);
  return judged;
}

function judge(name: string, shownName: string): Name {
  const json = `${inJson(cut(shownName, limits.detailValueLength))}:`;
  return { json, bytes: bytesOf(json), secret: SECRET_NAME.test(name) };
}

/** A text without what must not be kept. */
type Hide = (text: string) => string;

function hiding(secrets: readonly string[], values: readonly string[]): Hide {
  const telling = secrets.filter((text) => text.length >= SHORTEST_SECRET);
  let shortest = Number.POSITIVE_INFINITY;
  for (const { length } of telling) shortest = Math.min(shortest, length);
  return (text) => {
    let left = text;
    // Most texts are shorter than any of them.
    if (text.length >= shortest)
      for (const secret of telling) if (left.includes(secret)) left = left.replaceAll(secret, HIDDEN);
    return values.length === 0 ? left : redact(left, values);
  };
}

/** Members of a JSON object, and what they weigh. Of those in `own` that is shown. */
function shown(
  headers: Headers,
  own: ReadonlyMap<string, string> | undefined,
  hide: Hide,
  room: number,
): { text: string; bytes: number } {
  let text = "";
  let count = 0;
  let bytes = 0;
  for (const name of Object.keys(headers)) {
    if (count === limits.detailHeaders) break;
    const shownName = hide(name);
    const { json, bytes: nameBytes, secret } = shownName === name ? nameOf(name) : judge(name, shownName);
    const value = own?.get(name) ?? headers[name]!;
    // A template says which secret is meant, and not what it is.
    const hidden = secret && !isTemplated(value);
    // Hidden before it is cut, or half a secret would be left.
    const left = hidden ? "" : cut(hide(value), limits.detailValueLength);
    const plain = !hidden && PLAIN.test(left);
    const shownValue = hidden ? HIDDEN_IN_JSON : plain ? left : inJson(left);
    const more = nameBytes + (plain ? left.length + QUOTES : bytesOf(shownValue)) + ",".length;
    if (bytes + more > room) continue;
    bytes += more;
    if (count++ > 0) text += ",";
    text += plain ? `${json}"${shownValue}"` : json + shownValue;
  }
  return { text, bytes };
}

/** What nearly all texts are: the same in JSON, and as many bytes as characters. */
const PLAIN = /^[ !#-[\]-~]*$/;
const QUOTES = 2;
const HIDDEN_IN_JSON = `"${ESCAPED}"`;

const inJson = (text: string): string =>
  PLAIN.test(text) ? `"${text}"` : JSON.stringify(text).replaceAll(HIDDEN, ESCAPED);

const bytesOf = (text: string): number => Buffer.byteLength(text);

/** What an answer might repeat. */
const tellingValues = (sent: Headers): string[] =>
  Object.keys(sent)
    .filter((name) => nameOf(name).secret)
    .map((name) => sent[name]!);

const cut = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length - 1)}${HIDDEN}` : text;

/** A URL with the values of telling members of its query replaced. */
const withoutQuerySecrets = (url: string): string =>
  !url.includes("?")
    ? url
    : url.replace(/([?&])([^=&#]*)=([^&#]*)/g, (whole, mark: string, name: string, value: string) =>
        SECRET_NAME.test(name) && !isTemplated(value) ? `${mark}${name}=${HIDDEN}` : whole,
      );
