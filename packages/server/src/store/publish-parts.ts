/**
 * What one event of a list does may rest on what another one before it has done: it cancels a run that the other has started,
 * or starts one whose singleton was held by a run that the other has cancelled; in one `send`, or in an inbox that was not
 * read for a while. So such a list is published in parts, one after the other in one transaction. Reads and writes nothing.
 */
import { eventKey, keysOfEvent } from "../core/wait-key.js";
import { compileCancel } from "./cancel-on.js";
import type { Coming, Triggered } from "./triggers.js";

/**
 * The events in their order, with a new part before each that may rest on the part so far. May: conditions are tested where they are looked
 * up, here it is names and, of what a run is cancelled by, the first equality.
 */
export function partsOf<E extends Coming>(
  events: readonly E[],
  triggered: readonly Triggered[],
): readonly (readonly E[])[] {
  const starts = new Map<string, Triggered[]>();
  for (const start of triggered)
    if (start.plan.special?.to.starting.cancel_on !== undefined)
      starts.set(start.eventId, [...(starts.get(start.eventId) ?? []), start]);
  if (starts.size === 0 || events.length === 1) return [events];
  const parts: E[][] = [[]];
  let part = new Part();
  for (const event of events) {
    const started = starts.get(event.id) ?? [];
    if (part.mayCancel(event) || started.some((start) => part.mayFree(start))) {
      parts.push([]);
      part = new Part();
    }
    parts.at(-1)!.push(event);
    part.add(event, started);
  }
  return parts;
}

class Part {
  /** Of its events. */
  readonly #names = new Set<string>();
  /** Of the events that cancel the runs which it has started; of any other no leaf need be hashed. */
  readonly #cancelling = new Set<string>();
  /** The same, by what such an event is found by. */
  readonly #keys = new Set<string>();

  add({ workspace, name }: Coming, started: readonly Triggered[]): void {
    this.#names.add(nameOf(workspace, name));
    for (const start of started) {
      const { to, event, gathering } = start.plan.special!;
      for (const { event: cancelling, match } of cancelOnOf(start)) {
        const compiled = compileCancel(match, event);
        this.#cancelling.add(nameOf(to.workspace, cancelling));
        // What an earlier event has it be cancelled by no longer holds of a run that gathers this one, too.
        const equality = gathering === undefined ? compiled.equality : undefined;
        this.#keys.add(eventKey(to.workspace, cancelling, equality));
      }
    }
  }

  /** This event may cancel one of its runs. */
  mayCancel({ workspace, name, data }: Coming): boolean {
    if (!this.#cancelling.has(nameOf(workspace, name))) return false;
    const keys = keysOfEvent(workspace, name, JSON.parse(data));
    // It has more leaves than are looked up.
    return keys === undefined || keys.some((key) => this.#keys.has(key));
  }

  /** Its events may cancel the run that holds this start's singleton. */
  mayFree(start: Triggered): boolean {
    const { to, singleton } = start.plan.special!;
    return (
      singleton !== undefined && cancelOnOf(start).some(({ event }) => this.#names.has(nameOf(to.workspace, event)))
    );
  }
}

const cancelOnOf = ({ plan }: Triggered) => plan.special!.to.starting.cancel_on!;
const nameOf = (workspace: string, name: string): string => `${workspace}/${name}`;
