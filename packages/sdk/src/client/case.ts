/**
 * camelCase here ⇄ snake_case on the wire, for the API's own keys. What belongs to the user (payloads, outputs, header
 * names, …) is passed on untouched.
 */

/** Values under these keys are the user's, or have no keys of ours. `error` is a `WireError`, the same on both sides. */
const OPAQUE = new Set([
  "payload",
  "data",
  "output",
  "input",
  "error",
  "details",
  "headers",
  "tags",
  "match",
  "wait",
  "wanted",
  "found",
]);

const isOpaque = (key: string): boolean => OPAQUE.has(key) || key.endsWith("_headers") || key.endsWith("Headers");

const isPlainObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

function mapKeys(value: unknown, rename: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => mapKeys(item, rename));
  // Dates and the like have their own JSON.
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [rename(key), isOpaque(key) ? item : mapKeys(item, rename)]),
  );
}

/** An answer of the API with camelCase keys. */
export const toCamelCase = (value: unknown): unknown =>
  mapKeys(value, (key) => key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()));

/** A request to the API with snake_case keys. */
export const toSnakeCase = (value: unknown): unknown =>
  mapKeys(value, (key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
