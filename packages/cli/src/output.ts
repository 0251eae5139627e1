/** How results are printed: tables and lists of fields for people, JSON for programs. Where to is the context's. */

/**
 * What a terminal might take for a command: control characters (line ends and tabs too), and those that turn the
 * direction of writing. Names, payloads and errors come from strangers.
 */
const HARMFUL = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** One line of text, safe to print. */
export const clean = (text: string): string =>
  text
    .replace(/\s*[\r\n]+\s*/g, " ")
    .replaceAll("\t", " ")
    .replace(HARMFUL, "");

/** The same for text that has lines of its own. */
export const cleanLines = (text: string): string => text.split("\n").map(clean).join("\n");

/** JSON for programs, which a terminal can show unharmed too. */
export function json(value: unknown, { isOneLine = false } = {}): string {
  const text = JSON.stringify(value === undefined ? null : value, null, isOneLine ? undefined : 2);
  // Raw ones that are left stand inside of strings, but for the line feeds of the indentation.
  return text.replace(HARMFUL, (character) =>
    character === "\n" ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A value as a cell shows it: texts as they are, an instant in local time, nothing as a dash, the rest as JSON. */
export function cell(value: unknown): string {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "string") return clean(INSTANT.test(value) ? localTime(value) : value);
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
    return value.length === 0 ? "–" : value.map((item) => cell(item)).join(", ");
  }
  return clean(JSON.stringify(value));
}

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** `2026-11-23 21:20:12`, where the reader is. */
function localTime(instant: string): string {
  // Swedish writes dates as ISO 8601 does.
  return new Date(instant).toLocaleString("sv-SE");
}

/** Text cut to a width, so that one long value does not spoil a table. */
export const cut = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, width - 1)}…`;

export type Column<T> = readonly [head: string, value: (item: T) => unknown];

const CELL_WIDTH = 60;

/** A table with a head; every column as wide as its widest cell. */
export function table<T>(items: readonly T[], columns: readonly Column<T>[]): string {
  const rows = [
    columns.map(([head]) => head),
    ...items.map((item) => columns.map(([, value]) => cut(cell(value(item)), CELL_WIDTH))),
  ];
  const widths = columns.map((_, index) => Math.max(...rows.map((row) => row[index]!.length)));
  return rows
    .map((row) =>
      row
        .map((text, index) => text.padEnd(widths[index]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

const words = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

/** One thing, a line a field: `callback url  http://…`. Fields that are undefined are left out. */
export function fields(thing: object): string {
  const shown = Object.entries(thing).filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...shown.map(([name]) => words(name).length));
  return shown.map(([name, value]) => `${clean(words(name)).padEnd(width)}  ${cell(value)}`).join("\n");
}
