/**
 * Headers of a request as Node has them. Asked for through the web's `Headers`, which are made for it, they cost a small
 * request more than its JSON.
 */
import type { IncomingMessage } from "node:http";
import type { Context } from "hono";

const rawOf = (c: Context): readonly string[] | undefined =>
  (c.env as { incoming?: IncomingMessage } | undefined)?.incoming?.rawHeaders;

/** The value of a header, whose name is in lower case; what is given twice is joined by a comma, of every header. */
export function headerOf(c: Context, name: string): string | undefined {
  const raw = rawOf(c);
  if (raw === undefined) return c.req.header(name);
  let found: string | undefined;
  for (let n = 0; n < raw.length; n += 2) {
    if (raw[n]!.length !== name.length || raw[n]!.toLowerCase() !== name) continue;
    found = found === undefined ? raw[n + 1]! : `${found}, ${raw[n + 1]!}`;
  }
  return found;
}

/** All headers whose names begin so, by their names in lower case. */
export function headersFrom(c: Context, prefix: string): [name: string, value: string][] {
  const raw = rawOf(c);
  if (raw === undefined) return Object.entries(c.req.header()).filter(([name]) => name.startsWith(prefix));
  const names = new Set<string>();
  for (let n = 0; n < raw.length; n += 2) {
    const name = raw[n]!.toLowerCase();
    if (name.startsWith(prefix)) names.add(name);
  }
  return [...names].map((name) => [name, headerOf(c, name)!]);
}
