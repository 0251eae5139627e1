/** `step.waitForAny`: what its parts may be, checked and written as the wire has them. Nothing runs here. */

import { RotorInputError } from "./errors.js";
import { nameOfEvent } from "./events.js";
import type { AnyReport, MatchObject } from "./protocol.js";
import type { WaitPart } from "./step.js";

/** As many as the server takes. */
const MAX_PARTS = 20;
const MAX_NAME_LENGTH = 64;
const KEYS = new Set(["event", "match", "signal"]);

export type Parts = (key: string, runId: string) => AnyReport["parts"];

/**
 * The parts of a wait, in the order of the code. The id of a signal that is not given is `<run id>/<step id>/<name>`.
 * @param checkMatch refuses a condition that would not mean what it says.
 * @throws RotorInputError for none, too many, or one that is neither an event nor a signal.
 */
export function partsOf(
  id: string,
  given: Readonly<Record<string, WaitPart>>,
  checkMatch: (match: string | MatchObject | undefined) => void,
): Parts {
  const all = typeof given === "object" && given !== null ? Object.entries(given) : [];
  if (all.length === 0 || all.length > MAX_PARTS)
    throw new RotorInputError(
      `Step "${id}": name from 1 to ${MAX_PARTS} things to wait for, such as { paid: { event: "order.paid" } }`,
    );
  const parts = all.map(([name, part]) => {
    const where = `Step "${id}": ${name}`;
    if (name === "" || name.length > MAX_NAME_LENGTH)
      throw new RotorInputError(`${where}: a name has 1 to ${MAX_NAME_LENGTH} characters`);
    if (typeof part !== "object" || part === null)
      throw new RotorInputError(`${where}: write { event, match? } or { signal? }`);
    const stray = Object.keys(part).find((key) => !KEYS.has(key));
    if (stray !== undefined)
      throw new RotorInputError(`${where}: unknown ${stray}; write { event, match? } or { signal? }`);
    const { event, match, signal } = part as { event?: unknown; match?: string | MatchObject; signal?: unknown };
    if (event === undefined) {
      if (match !== undefined) throw new RotorInputError(`${where}: match is for an event; a signal has an id`);
      if (signal !== undefined && (typeof signal !== "string" || signal === ""))
        throw new RotorInputError(`${where}: signal is its id, a text`);
      return { name, signal };
    }
    if (signal !== undefined) throw new RotorInputError(`${where}: it is an event or a signal, not both`);
    const eventName = nameOfEvent(event as Parameters<typeof nameOfEvent>[0]);
    if (typeof eventName !== "string" || eventName === "") throw new RotorInputError(`${where}: event: write its name`);
    checkMatch(match);
    return { name, event: eventName, ...(match !== undefined && { match }) };
  });
  return (key, runId) =>
    parts.map((part) =>
      "event" in part
        ? part
        : { name: part.name, signal: (part.signal as string | undefined) ?? `${runId}/${key}/${part.name}` },
    );
}
