/** Why a stored event did not end a wait: the values in which it differs from what was asked for. */
import { equalitiesOf, type Match, type MatchedEvent, matches, valueAt } from "./match.js";

export type Difference = {
  /** A path into the event's data, or the whole expression where no single value says it. */
  readonly path: string;
  readonly wanted: unknown;
  readonly found: unknown;
};

/** The differences between an event and a wait's condition; undefined where it matches. */
export function differences(match: Match, event: MatchedEvent): Difference[] | undefined {
  if (matches(match, event)) return undefined;
  const parts = match.equals === undefined ? equalitiesOf(match) : Object.entries(match.equals).map(toEquality);
  const differing = parts
    .map(({ path, value }) => ({ path, wanted: value as unknown, found: valueAt(event.data, path) ?? null }))
    .filter(({ wanted, found }) => wanted !== found);
  return differing.length > 0 ? differing : [{ path: match.cel ?? "", wanted: true, found: false }];
}

const toEquality = ([path, value]: [string, string | number | boolean | null]) => ({ path, value });
