/**
 * `${{ secrets.NAME }}` in a queue's URL and headers: found, filled in, and taken out again of whatever is kept or shown.
 * Where the values come from, and whether the result may be sent, is decided elsewhere.
 */

/** The names that a template may have; the database's CHECK says the same. */
export const SECRET_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

const TEMPLATE = /\$\{\{ {0,8}secrets\.([A-Za-z_][A-Za-z0-9_]{0,63}) {0,8}\}\}/g;
const OPENING = "${{";

/** What of a queue may hold templates. */
export type Templated = { readonly url: string; readonly headers: Readonly<Record<string, string>> };

/** Whether a text is to be filled in before it can be used. */
export const isTemplated = (text: string): boolean => text.includes(OPENING);

const textsOf = ({ url, headers }: Templated): string[] => [url, ...Object.values(headers)];

/** Names of the secrets that are used, each once. */
export const secretNamesOf = (templated: Templated): string[] => [
  ...new Set(textsOf(templated).flatMap((text) => [...text.matchAll(TEMPLATE)].map((match) => match[1]!))),
];

/** A template that is none of ours, shortened; undefined where all of them can be filled in. */
export function malformedTemplate(text: string): string | undefined {
  const rest = text.replaceAll(TEMPLATE, "");
  const at = rest.indexOf(OPENING);
  return at < 0 ? undefined : rest.slice(at, at + 40);
}

export type Filled =
  | {
      readonly ok: true;
      readonly url: string;
      readonly headers: Readonly<Record<string, string>>;
      /** The values that were put in: what is kept of the call is redacted by them. */
      readonly values: readonly string[];
    }
  /** The secret that has no value. */
  | { readonly ok: false; readonly missing: string };

/** Puts values in the place of templates. A value that looks like a template stays as it is. */
export function fill(templated: Templated, values: ReadonlyMap<string, string>): Filled {
  const names = secretNamesOf(templated);
  const missing = names.find((name) => !values.has(name));
  if (missing !== undefined) return { ok: false, missing };
  const filled = (text: string): string => text.replaceAll(TEMPLATE, (_, name: string) => values.get(name)!);
  return {
    ok: true,
    url: filled(templated.url),
    headers: Object.fromEntries(Object.entries(templated.headers).map(([name, text]) => [name, filled(text)])),
    values: names.map((name) => values.get(name)!),
  };
}

/** What stands for a value. */
const REDACTED = "…";

/** How a value may come back: as it is, in JSON, in a URL, in the name of a host. The longest first. */
const formsOf = (values: readonly string[]): string[] =>
  [
    ...new Set(
      values.flatMap((value) => [
        value,
        JSON.stringify(value).slice(1, -1),
        encodeURIComponent(value),
        encodeURI(value),
        value.toLowerCase(),
      ]),
    ),
  ]
    .filter((form) => form !== "")
    .sort((a, b) => b.length - a.length);

/** A text without these values, in whichever of their usual forms. */
export function redact(text: string, values: readonly string[]): string {
  let clean = text;
  for (const form of formsOf(values)) clean = clean.replaceAll(form, REDACTED);
  return clean;
}

/** The beginning of a value that is shorter than this is told by no one from other text. */
const TELLING = 4;

/** The same for a text that was cut: its end may be the beginning of a value. */
export function redactCut(text: string, values: readonly string[]): string {
  const clean = redact(text, values);
  for (const form of formsOf(values)) {
    for (let length = form.length - 1; length >= TELLING; length--) {
      if (clean.endsWith(form.slice(0, length))) return `${clean.slice(0, -length)}${REDACTED}`;
    }
  }
  return clean;
}
