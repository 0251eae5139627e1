/** Which event a wait or a trigger means, as the server decides it. CEL is whoever writes the test's to bring. */

import { RotorInputError } from "../errors.js";
import type { MatchObject, WireEvent } from "../protocol.js";

/** What an expression sees: the event in hand, its data once more, and for waits the event that started the run. */
export type MatchContext = { readonly event: WireEvent; readonly data: unknown; readonly trigger: WireEvent | null };

/** Evaluates a CEL expression; anything but true, and anything that it throws, is no match. */
export type Matches = (expression: string, context: MatchContext) => unknown;

const MISSING =
  "testRotor evaluates no expressions by itself. Write `match` as an object of equalities, or give testRotor a library of CEL: " +
  'npm i -D @marcbachmann/cel-js, import { evaluate } from "@marcbachmann/cel-js", and testRotor({ functions, matches: evaluate })';

/** @throws RotorInputError where the test has brought none. */
export function celOf(matches: Matches | undefined, expression: string): Matches {
  if (matches) return matches;
  throw new RotorInputError(`The expression ${JSON.stringify(expression)}: ${MISSING}`);
}

/** Why an expression is none, by the name that libraries of CEL give to that error; undefined where it can be read. */
export function mistakeIn(expression: string, matches: Matches, trigger: WireEvent): string | undefined {
  try {
    matches(expression, { event: trigger, data: trigger.data, trigger });
  } catch (error) {
    if (error instanceof Error && error.name === "ParseError") return error.message;
    // A field that this event does not have: others may.
  }
  return undefined;
}

export function isTrue(expression: string, matches: Matches, context: MatchContext): boolean {
  try {
    return matches(expression, context) === true;
  } catch {
    // In CEL a missing field is an error; as a condition it says no.
    return false;
  }
}

function valueAt(data: unknown, path: string): unknown {
  let here = data;
  for (const name of path.split(".")) {
    if (here === null || typeof here !== "object" || Array.isArray(here) || !Object.hasOwn(here, name))
      return undefined;
    here = (here as Record<string, unknown>)[name];
  }
  return here;
}

export const equals = (match: MatchObject, data: unknown): boolean =>
  Object.entries(match).every(([path, value]) => valueAt(data, path) === value);
