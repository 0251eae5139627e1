/** JSON as a step really makes it: the type of a value after its journey, and its text. No schemas and no revivers. */

import { NonRetriableError } from "./errors.js";
import type { Json } from "./protocol.js";

/** What `JSON.parse` gives: the one type for data that nobody has described yet. It is `any`, so the code may use it freely. */
export type Untyped = ReturnType<typeof JSON.parse>;

type Dropped = ((...args: never[]) => unknown) | symbol;

/** A property keeps being optional, where it may be left out: it does not become null as a lone `undefined` does. */
type JsonifyProperty<T> =
  | Jsonify<Exclude<T, undefined | Dropped>>
  | (Extract<T, undefined | Dropped> extends never ? never : undefined);

/** Whose content JSON does not see. */
type Hollow = ReadonlyMap<Untyped, Untyped> | ReadonlySet<Untyped> | RegExp;

/** `T` after JSON: a `Date` is a string, a `Map` or `Set` is `{}`, a lone `undefined` is null, functions are gone. */
export type Jsonify<T> = 0 extends 1 & T
  ? T
  : unknown extends T
    ? T
    : T extends Json
      ? T
      : T extends bigint
        ? never
        : T extends Dropped
          ? null
          : T extends { toJSON(): infer J }
            ? Jsonify<J>
            : T extends readonly unknown[]
              ? { [I in keyof T]: Jsonify<T[I]> }
              : T extends Hollow
                ? Record<string, never>
                : T extends ArrayBufferView
                  ? { [index: string]: number }
                  : T extends object
                    ? {
                        [K in keyof T as K extends symbol ? never : T[K] extends Dropped ? never : K]: JsonifyProperty<
                          T[K]
                        >;
                      }
                    : null;

const encoder = new TextEncoder();

// Three bytes is the most that one UTF-16 unit takes, so short texts are not encoded to be measured.
const isLonger = (text: string, maxBytes: number): boolean =>
  text.length * 3 > maxBytes && encoder.encode(text).length > maxBytes;

/**
 * The JSON text of a value; `undefined` is `null`.
 * @param what begins the error's sentence, such as `The output of step "a"`.
 * @throws NonRetriableError when the value has no JSON (a BigInt, a cycle) or its text is longer than `maxBytes`.
 */
export function toJsonText(value: unknown, what: string, maxBytes: number): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n", 1)[0] : String(cause);
    throw new NonRetriableError(`${what} cannot be written as JSON: ${reason}`, { cause });
  }
  if (text === undefined) return "null";
  if (isLonger(text, maxBytes)) {
    const limit = `${maxBytes / (1024 * 1024)} MiB`;
    throw new NonRetriableError(`${what} is larger than ${limit}: store it elsewhere and hand on a reference to it`);
  }
  return text;
}
