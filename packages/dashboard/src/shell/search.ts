/** What stands behind the `?` of an address, read with care: anybody can write it. */

export type Search = Record<string, unknown>;

/** A text that is not empty; numbers are taken for what was written. */
export function text(search: Search, key: string): string | undefined {
  const value = search[key];
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" && value !== "" ? value.slice(0, 500) : undefined;
}

/** One of these, or nothing. */
export function choice<Value extends string>(search: Search, key: string, values: readonly Value[]): Value | undefined {
  return values.find((value) => value === search[key]);
}

/** A reader of an address's filters: texts by these names. */
export const texts =
  <Key extends string>(...keys: readonly Key[]) =>
  (search: Search): { readonly [key in Key]?: string } =>
    Object.fromEntries(
      keys.flatMap((key) => {
        const value = text(search, key);
        return value === undefined ? [] : [[key, value]];
      }),
    ) as { readonly [key in Key]?: string };
