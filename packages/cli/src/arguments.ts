/** How arguments and options are read. What cannot be meant is refused with a sentence, before anything is sent. */

import type { Duration } from "@rotorsh/sdk";
import { parseDuration } from "@rotorsh/sdk/duration";
import { InvalidArgumentError } from "commander";
import type { Context } from "./context.js";
import { UsageError } from "./failure.js";

/** Reads whole numbers within bounds. */
export const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };

export const portNumber = wholeNumber(0, 65_535);

/** Reads a duration such as `30s`. */
export function duration(text: string): Duration {
  try {
    parseDuration(text);
  } catch (error) {
    throw new InvalidArgumentError(`${(error as Error).message}.`);
  }
  return text as Duration;
}

/** Reads a delay: a duration, or seconds. */
export const delay = (text: string): Duration | number => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : duration(text));

/** Reads an instant; a day without a time begins in UTC. */
export function instant(text: string): string {
  const date = new Date(text);
  if (Number.isNaN(date.getTime()))
    throw new InvalidArgumentError("Write a date such as 2026-11-23 or 2026-11-23T20:00:00Z.");
  return date.toISOString();
}

/** What was given of some flags: those that were not are left out, rather than sent as nothing. */
export const given = <T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };

/** Collects an option that may be given several times. */
export const several = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

/** Collects `NAME: VALUE` pairs. */
export function headerPair(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [, name, value] = /^([^:\s]+):\s*(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('Write it as "name: value".');
  return { ...before, [name]: value };
}

/** Reads a list of words that are separated by commas. */
export const wordsOf =
  <Word extends string>(known: readonly Word[]) =>
  (text: string): readonly Word[] =>
    text.split(",").map((part) => {
      const word = known.find((each) => each === part.trim());
      if (word === undefined) throw new InvalidArgumentError(`Choose from ${known.join(", ")}, separated by commas.`);
      return word;
    });

/** Strings are left out, then every number is looked at. */
const STRINGS = /"(?:[^"\\]|\\.)*"/g;
const NUMBERS = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** A number with more digits than are kept: stored, it would be another one. */
const losesDigits = (token: string): boolean => {
  const digits = token
    .replace(/[eE].*$/, "")
    .replace(/[^\d]/g, "")
    .replace(/^0+/, "");
  return digits.length > 15 && String(Number(token)) !== token;
};

/**
 * The JSON of an argument; `-` reads it from standard input. Undefined where there is none.
 * @throws UsageError for anything else than JSON, and for numbers that would lose digits.
 */
export async function readJson(context: Context, name: string, text: string | undefined): Promise<unknown> {
  if (text === undefined) return undefined;
  const source = text === "-" ? await context.readInput() : text;
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch {
    // What the parser says of a position helps less than an example.
    throw new UsageError(`${name} must be JSON, such as '{"a":1}' or '"a text"', or - to read it from standard input.`);
  }
  const tooLong = source.replace(STRINGS, "").match(NUMBERS)?.find(losesDigits);
  if (tooLong !== undefined)
    throw new UsageError(`${name}: ${tooLong} has more digits than are kept; write it as a string.`);
  return value;
}
