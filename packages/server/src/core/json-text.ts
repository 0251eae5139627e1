/**
 * JSON as text: what is wrong with it before it is parsed, and where a value stands in it. A payload is passed on as it
 * was written, with all digits of its numbers, so it is cut out of the text, not written anew.
 */

const QUOTE = 34;
const BACKSLASH = 92;
const isOpen = (code: number): boolean => code === 91 || code === 123;
const isClose = (code: number): boolean => code === 93 || code === 125;

/** What a look over a text finds, whether it is JSON or not. */
export type Glance = {
  /** The deepest nesting; a scalar has 0. */
  readonly depth: number;
  /** A string that Postgres, or any UTF-8, cannot hold. */
  readonly unstorable: string | undefined;
};

/** Where it stands next; the text's length where it does not. */
const next = (text: string, what: string, from: number): number => {
  const at = text.indexOf(what, from);
  return at === -1 ? text.length : at;
};

/** Looks over a text in one pass without recursion, so that no nesting can hurt. */
export function glance(text: string): Glance {
  let depth = 0;
  let deepest = 0;
  let unstorable: string | undefined;
  /** The next backslash: strings before it end at the next quote, and are passed over at once. */
  let backslash = next(text, "\\", 0);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      const end = next(text, '"', i + 1);
      if (backslash < i) backslash = next(text, "\\", i);
      if (end < backslash) {
        i = end;
        continue;
      }
      for (i++; i < text.length && text.charCodeAt(i) !== QUOTE; i++) {
        if (text.charCodeAt(i) !== BACKSLASH) continue;
        i++;
        if (text[i] !== "u") continue;
        const unit = Number.parseInt(text.slice(i + 1, i + 5), 16);
        if (unit === 0)
          unstorable ??= 'the character "\\u0000", which no text column can hold; leave it out or encode it';
        if (unit < 0xd800 || unit > 0xdfff) continue;
        const second = unit < 0xdc00 ? /^\\u(d[c-f][0-9a-f]{2})/i.exec(text.slice(i + 5, i + 11)) : null;
        if (second) i += 10;
        else unstorable ??= `half of a surrogate pair, "\\u${unit.toString(16)}", which is no character`;
      }
    } else if (isOpen(code)) deepest = Math.max(deepest, ++depth);
    else if (isClose(code)) depth--;
  }
  return { depth: deepest, unstorable };
}

/** Where a value stands: `text.slice(start, end)` is its JSON. */
export type Span = { readonly start: number; readonly end: number };

const skipSpace = (text: string, from: number): number => {
  let i = from;
  while (i < text.length && text.charCodeAt(i) <= 32) i++;
  return i;
};

function endOfString(text: string, from: number): number {
  const quote = text.indexOf('"', from + 1);
  if (text.charCodeAt(quote - 1) !== BACKSLASH) return quote + 1;
  let i = from + 1;
  while (text.charCodeAt(i) !== QUOTE) i += text.charCodeAt(i) === BACKSLASH ? 2 : 1;
  return i + 1;
}

/** The end of the value that begins at `from`. */
function endOfValue(text: string, from: number): number {
  const first = text.charCodeAt(from);
  if (first === QUOTE) return endOfString(text, from);
  if (isOpen(first)) {
    let depth = 0;
    for (let i = from; ; ) {
      const code = text.charCodeAt(i);
      if (code === QUOTE) i = endOfString(text, i);
      else {
        i++;
        if (isOpen(code)) depth++;
        else if (isClose(code) && --depth === 0) return i;
      }
    }
  }
  let i = from;
  while (i < text.length && !/[\s,\]}]/.test(text[i]!)) i++;
  return i;
}

/** The members of an object. `repeated` is a name that stands there twice. */
export type Members = { readonly spans: ReadonlyMap<string, Span>; readonly repeated: string | undefined };

/** The members of the object that begins at or after `from`, in a text that `JSON.parse` took. None, if it is no object. */
export function members(text: string, from = 0): Members {
  const spans = new Map<string, Span>();
  let repeated: string | undefined;
  let i = skipSpace(text, from);
  if (text[i] !== "{") return { spans, repeated };
  for (i = skipSpace(text, i + 1); text[i] !== "}"; ) {
    const keyEnd = endOfString(text, i);
    const written = text.slice(i + 1, keyEnd - 1);
    const name = written.includes("\\") ? (JSON.parse(`"${written}"`) as string) : written;
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = endOfValue(text, start);
    if (spans.has(name)) repeated ??= name;
    spans.set(name, { start, end });
    i = skipSpace(text, end);
    if (text[i] === ",") i = skipSpace(text, i + 1);
  }
  return { spans, repeated };
}

/** The elements of the array that begins at or after `from`, in a text that `JSON.parse` took. None, if it is no array. */
export function elements(text: string, from = 0): Span[] {
  const spans: Span[] = [];
  let i = skipSpace(text, from);
  if (text[i] !== "[") return spans;
  for (i = skipSpace(text, i + 1); text[i] !== "]"; ) {
    const end = endOfValue(text, i);
    spans.push({ start: i, end });
    i = skipSpace(text, end);
    if (text[i] === ",") i = skipSpace(text, i + 1);
  }
  return spans;
}
