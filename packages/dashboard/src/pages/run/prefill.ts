/** What to send so that a wait ends: the data of an event that its condition asks for. Pure. */
import type { Json, MatchObject } from "@rotorsh/sdk";

export type WaitPart = {
  /** Null where the wait is for one thing only. */
  readonly name: string | null;
  readonly event?: string;
  readonly signal?: string;
  readonly cel?: string;
  readonly equals?: MatchObject;
};

type Stored = Omit<WaitPart, "name"> & { readonly name?: string; readonly parts?: readonly WaitPart[] };

/** What a step waits for, in parts; none where it waits for time or a child. */
export function partsOf(wait: unknown): readonly WaitPart[] {
  if (typeof wait !== "object" || wait === null) return [];
  const { parts, ...one } = wait as Stored;
  if (Array.isArray(parts)) return parts;
  return one.event === undefined && one.signal === undefined ? [] : [{ ...one, name: null }];
}

type Data = { [key: string]: Json | undefined };

function put(data: Data, path: string, value: Json): void {
  const names = path.split(".");
  const last = names.pop()!;
  let place = data;
  for (const name of names) {
    const found = Object.hasOwn(place, name) ? place[name] : undefined;
    const next = typeof found === "object" && found !== null && !Array.isArray(found) ? (found as Data) : {};
    Object.defineProperty(place, name, { value: next, enumerable: true, configurable: true, writable: true });
    place = next;
  }
  Object.defineProperty(place, last, { value, enumerable: true, configurable: true, writable: true });
}

function at(value: unknown, path: string): Json | undefined {
  let found = value;
  for (const name of path.split("."))
    found =
      typeof found === "object" && found !== null && Object.hasOwn(found, name)
        ? (found as Record<string, unknown>)[name]
        : undefined;
  return found as Json | undefined;
}

const EQUALITY =
  /\bdata((?:\.[A-Za-z_]\w*)+)\s*==\s*(?:trigger\.data((?:\.[A-Za-z_]\w*)+)|("(?:[^"\\]|\\.){0,300}")|'([^'\\]{0,300})'|(-?\d+(?:\.\d+)?|true|false|null)\b)/g;

/**
 * Data that meets a part's equalities. Of an expression only plain ones are read (`data.a == "x"`, `data.a == trigger.data.b`): it is a
 * beginning for a person to look at, not a proof.
 */
export function dataFor(part: WaitPart, triggerData: unknown): Data {
  const data: Data = {};
  for (const [path, value] of Object.entries(part.equals ?? {})) put(data, path, value);
  for (const [, path, ofTrigger, double, single, plain] of (part.cel ?? "").matchAll(EQUALITY)) {
    const value = ofTrigger
      ? at(triggerData, ofTrigger.slice(1))
      : double !== undefined
        ? parse(double)
        : (single ?? parse(plain!));
    if (value !== undefined) put(data, path!.slice(1), value);
  }
  return data;
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    // An escape of CEL's own: the person writes it.
    return undefined;
  }
}
