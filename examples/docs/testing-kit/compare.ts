/** Whether what a page shows is what came: ids and times differ from run to run, and `…` stands for anything. */

const ID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const INSTANT = /\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?/g;

/** How long until, or since, as `rotor why` writes it. */
const UNTIL = /\bin \d+(?:ms|s|m|h| \w+)(?![\w])/g;
const SINCE = /\b(?:now|\d+ \w+ ago)$/;

/** A text without what differs from run to run. Columns may be wider with other values in them. */
const masked = (text: string): string =>
  text
    .trim()
    .split("\n")
    .map((line) =>
      line
        .trim()
        .replace(ID, "ID")
        .replace(INSTANT, "INSTANT")
        .replace(UNTIL, "in SPAN")
        .replace(SINCE, "SINCE")
        .replaceAll(/ {2,}/g, "  "),
    )
    .join("\n");

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Whether a text that came fits the one that is shown. */
export const fits = (shown: string, came: string): boolean =>
  new RegExp(`^${masked(shown).split("…").map(escaped).join("[\\s\\S]*")}$`).test(masked(came));

/**
 * In what two values of JSON differ, as a path; undefined where they do not. `isWhole` says that what came may have no
 * members beside those that are shown.
 */
export function difference(shown: unknown, came: unknown, isWhole: boolean, path = "$"): string | undefined {
  if (typeof shown === "string" && typeof came === "string") return fits(shown, came) ? undefined : path;
  if (typeof shown !== "object" || shown === null) return shown === came ? undefined : path;
  if (typeof came !== "object" || came === null || Array.isArray(shown) !== Array.isArray(came)) return path;
  const [a, b] = [shown as Record<string, unknown>, came as Record<string, unknown>];
  const extra = Object.keys(b).find((key) => !(key in a));
  if (extra !== undefined && (isWhole || Array.isArray(shown))) return `${path}.${extra}`;
  for (const key of Object.keys(a)) {
    const found = key in b ? difference(a[key], b[key], isWhole, `${path}.${key}`) : `${path}.${key}`;
    if (found !== undefined) return found;
  }
  return undefined;
}
